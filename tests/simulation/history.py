"""Histories: what befalls a world, made from a seed; and how a failing one is made smaller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple

EVENTS_MIN = 200
_EVENTS = 320
# Histories of seeds from here on have TRUNCATEs, which leave little else of a table: they have seeds of their own.
TRUNCATES_FROM = 1_000_000
# From here on the log or the topic can begin anew, in place of TRUNCATEs; control gives its orders.
BREAKS_FROM = 2_000_000
# From here on the change topic loses its beginning, and partitions all that is known of them; seeds that two or three
# divides have TRUNCATEs, or numbers that begin anew, besides.
LOSSES_FROM = 3_000_000
# From here on tables are held and released, by order and where changes may be missing; seeds that two, three or five
# divide have TRUNCATEs, numbers that begin anew, or losses, besides.
HOLDS_FROM = 4_000_000
# From here on owners check all the time, beside a store that others write to; seeds that two, three, five or seven
# divide have TRUNCATEs, numbers that begin anew, losses, or holds, besides.
SCRUBS_FROM = 5_000_000
# From here on the store loses every row in them, too, of which one key of each partition may be named, and no other.
FLOODS_FROM = 5_500_000
# From here on backfills are ordered; seeds that two, three, five, seven or eleven divide have TRUNCATEs, numbers
# that begin anew, losses, holds, or checks all the time, besides.
BACKFILLS_FROM = 6_000_000
# From here on somebody else writes the replica (`mode: verify`), owners check all the time, and write on an order only;
# from the next on readers fill a cache, from which owners delete (`mode: invalidate`). Seeds that two, three, five or
# seven divide have TRUNCATEs, numbers that begin anew, losses, or holds, besides, and of caches those that eleven
# divides backfills.
VERIFY_FROM = 7_000_000
INVALIDATE_FROM = 8_000_000


class Event(NamedTuple):
    """One thing that happens. Its own seed decides its details, so that it stays itself when others are left out."""

    number: int
    kind: str
    seed: int
    pause: float

    def __str__(self) -> str:
        return f"#{self.number} {self.kind}"


@dataclass(frozen=True)
class Settings:
    """What a world is like."""

    keys: int
    partitions: int
    workers: int
    few_values: bool
    filtered: float
    constants: dict[str, Any] = field(default_factory=dict)
    repair: Any = None
    lag: float = 0.0


@dataclass(frozen=True)
class History:
    """A seed, the world it makes, and what happens there, in chapters; each ends at rest.

    spare: what happens at the end of the last one where too many events had nothing to do.
    """

    seed: int
    settings: Settings
    chapters: tuple[tuple[Event, ...], ...]
    spare: tuple[Event, ...] = ()

    @property
    def truncates(self) -> bool:
        """Whether TRUNCATEs happen in it."""
        return has_truncates(self.seed)

    @property
    def breaks(self) -> bool:
        """Whether the log or the topic can begin anew in it."""
        return has_breaks(self.seed)

    @property
    def losses(self) -> bool:
        """Whether the beginning of the change topic is lost in it."""
        return has_losses(self.seed)

    @property
    def holds(self) -> bool:
        """Whether the table is held and released in it."""
        return has_holds(self.seed)

    @property
    def scrubs(self) -> bool:
        """Whether owners check all the time in it."""
        return has_scrubs(self.seed)

    @property
    def floods(self) -> bool:
        """Whether the plan has one key named in each partition, and all others counted."""
        return has_floods(self.seed)

    @property
    def backfills(self) -> bool:
        """Whether backfills are ordered in it."""
        return has_backfills(self.seed)

    @property
    def mode(self) -> str:
        """Who writes the replica: `replicate`, `verify` or `invalidate`."""
        return mode_of(self.seed)

    @property
    def events(self) -> list[Event]:
        """All events, in order."""
        return [event for chapter in self.chapters for event in chapter]

    def without(self, dropped: set[int]) -> History:
        """The same history without some of its events."""
        kept = (tuple(e for e in chapter if e.number not in dropped) for chapter in self.chapters)
        return replace(self, chapters=tuple(kept), spare=())


def has_floods(seed: int) -> bool:
    """Whether the store loses everything in it, and nothing is repaired without being asked."""
    return FLOODS_FROM <= seed < BACKFILLS_FROM


def has_truncates(seed: int) -> bool:
    """Whether TRUNCATEs happen in the history of a seed."""
    return TRUNCATES_FROM <= seed < BREAKS_FROM or (seed >= LOSSES_FROM and seed % 2 == 0)


def has_breaks(seed: int) -> bool:
    """Whether the log or the topic can begin anew in it."""
    return BREAKS_FROM <= seed < LOSSES_FROM or (seed >= LOSSES_FROM and seed % 3 == 0)


def has_losses(seed: int) -> bool:
    """Whether the beginning of the change topic is lost in it, and all that is known."""
    return LOSSES_FROM <= seed < HOLDS_FROM or (seed >= HOLDS_FROM and seed % 5 == 0)


def has_holds(seed: int) -> bool:
    """Whether the table is held and released in it."""
    return HOLDS_FROM <= seed < SCRUBS_FROM or (seed >= SCRUBS_FROM and seed % 7 == 0)


def has_scrubs(seed: int) -> bool:
    """Whether owners check all the time in it."""
    rarely = has_backfills(seed) and seed % 11 == 0
    return SCRUBS_FROM <= seed < BACKFILLS_FROM or rarely or seed >= VERIFY_FROM


def has_backfills(seed: int) -> bool:
    """Whether backfills are ordered in it."""
    return BACKFILLS_FROM <= seed < VERIFY_FROM or (seed >= INVALIDATE_FROM and seed % 11 == 0)


def mode_of(seed: int) -> str:
    """The mode of the table in the history of a seed."""
    if seed < VERIFY_FROM:
        return "replicate"
    return "verify" if seed < INVALIDATE_FROM else "invalidate"


def history(
    seed: int, weights: dict[str, tuple[float, bool]], always: Sequence[str] = (), events: int = _EVENTS
) -> History:
    """The history of a seed. `weights`: kind → (how often, whether it is a fault).

    Each history has only some kinds of fault, at least one, so that each meets others in changing company; and those
    that are `always` there. The last of them befalls every chapter near its end, too: what it does is still to be seen
    when all comes to rest.
    """
    rng = Random(seed)
    settings = Settings(
        keys=rng.choice([3, 3, 4, 6]),
        partitions=rng.choice([1, 1, 2]),
        workers=rng.choice([1, 2, 2]),
        few_values=rng.random() < 0.3,
        filtered=rng.choice([0.0, 0.0, 0.15]),
        constants={
            "streams.agents.inbox.BATCH_RECORDS_MAX": rng.choice([3, 8, 50]),
            "streams.agents.inbox.WAITING_RECORDS_MAX": rng.choice([10, 200]),
            "streams.agents.worker.FINISH_SECONDS": rng.choice([0.05, 0.5]),
            "streams.changes.order.UNPROVEN_MAX": rng.choice([2, 32]),
        },
    )
    if has_scrubs(seed):
        settings = replace(settings, repair=_repair(rng), constants={**settings.constants, **_scrub(rng)})
    if has_floods(seed):
        settings.repair.automatic = ()
    if (mode := mode_of(seed)) != "replicate":
        settings = _of_others(settings, mode, rng)
    faulty = [kind for kind, (_, is_fault) in weights.items() if is_fault]
    chosen = {kind for kind in faulty if rng.random() < 0.35} or {rng.choice(faulty)}
    chosen |= set(always)
    kinds = [kind for kind, (_, is_fault) in weights.items() if not is_fault or kind in chosen]
    drawn = rng.choices(kinds, [weights[kind][0] for kind in kinds], k=events)
    # A fault that no draw has chosen would make a history without any.
    drawn[events // 3] = rng.choice(sorted(chosen))
    pauses = _PAUSES if mode == "replicate" else _LONG_PAUSES
    made = [Event(number, kind, rng.getrandbits(32), rng.choice(pauses)) for number, kind in enumerate(drawn)]
    chapters = rng.choice([1, 2, 2])
    size = len(made) // chapters + 1
    parts = tuple(tuple(made[at : at + size]) for at in range(0, len(made), size))
    if always:
        parts = tuple(_near_the_end(part, Event(-number, always[-1], rng.getrandbits(32), 0.0), rng)
                      for number, part in enumerate(parts, 1))  # fmt: skip
    spare = (Event(events + n, "transaction", rng.getrandbits(32), rng.choice(_PAUSES)) for n in range(EVENTS_MIN))
    return History(seed, settings, parts, tuple(spare))


def _repair(rng: Random) -> Any:
    """What is repaired without being asked: everything, some, or nothing."""
    automatic = rng.choice([("missing", "stale", "mismatch", "orphan", "unapplied"), ("missing", "mismatch"), ()])
    return SimpleNamespace(automatic=automatic, stop_above=1_000)


def _of_others(settings: Settings, mode: str, rng: Random) -> Settings:
    """How late the other writer may be; nothing that is no drift in this mode is repaired without being asked."""
    allowed = ("stale", "mismatch", "orphan") if mode == "invalidate" else ()
    automatic = tuple(kind for kind in settings.repair.automatic if kind in allowed)
    repair = SimpleNamespace(automatic=automatic, stop_above=settings.repair.stop_above)
    return replace(settings, repair=repair, lag=rng.choice([0.3, 2.0]) if mode == "verify" else 0.0)


def _scrub(rng: Random) -> dict[str, Any]:
    return {
        "streams.agents.scrub.TICK_SECONDS": rng.choice([0.02, 0.1]),
        "streams.agents.scrub.AGAIN_SECONDS": rng.choice([0.05, 0.3]),
        "streams.agents.scrub.LOOK_KEYS": rng.choice([2, 500]),
        "streams.agents.scrub.FAILED_SECONDS": 0.2,
        "streams.checks.fresh.READ_BACK_SECONDS": rng.choice([0.0, 0.2]),
        "streams.agents.findings.AGAIN_SECONDS": 0.5,
        "streams.agents.findings.TELL_SECONDS": 0.5,
        "streams.drift.flood.TELL_SECONDS": 0.5,
        "streams.drift.flood.FIRST_SECONDS": 2.0,
    }


def _near_the_end(part: tuple[Event, ...], one: Event, rng: Random) -> tuple[Event, ...]:
    at = len(part) - rng.choice([0, 1, 3, 10])
    return (*part[:at], one, *part[at:])


# Most things happen close together; now and then there is time for everything to be applied.
_PAUSES = (0.0, 0.0, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15)
# What others write is looked at twice, a lag apart: some keys have to stand still for so long.
_LONG_PAUSES = (*_PAUSES, 0.5, 1.0)


def shrunk(failing: History, fails: Callable[[History], bool], tries: int) -> History:
    """A smaller history that still fails: events are left out, many at a time and then few."""
    size = max(1, len(failing.events) // 2)
    while size and tries > 0:
        numbers = [event.number for event in failing.events]
        smaller = None
        for part in _parts(numbers, size):
            tries -= 1
            candidate = failing.without(part)
            if tries > 0 and fails(candidate):
                smaller = candidate
                break
        if smaller is not None:
            failing = smaller
        elif size == 1:
            break
        else:
            size = max(1, size // 2)
        size = min(size, max(1, len(failing.events)))
        if not failing.events:
            break
    return failing


def _parts(numbers: Sequence[int], size: int) -> list[set[int]]:
    # From the end: what came after the cause is easily left out.
    return [set(numbers[max(0, at - size) : at]) for at in range(len(numbers), 0, -size)]
