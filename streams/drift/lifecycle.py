"""The life of a drift: which step may follow which, and what is kept from step to step. Pure.

    suspected → open → repairing → repaired → resolved          superseded: a newer change made it right
                  └──────────→ accepted                          accepted:   an operator's decision, with an end

Events of one drift arrive in the order they were written (one record key, one partition). That order decides; clocks of
different processes do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple


class State(StrEnum):
    """Where in its life a drift is; the symbols of `State` in schemas/drift.avsc."""

    suspected = "suspected"
    open = "open"
    repairing = "repairing"
    repaired = "repaired"
    resolved = "resolved"
    superseded = "superseded"
    accepted = "accepted"


# How replica and source may differ; a table as a whole is `continuity` where changes of it may be missing.
KINDS: Final = ("missing", "orphan", "stale", "mismatch", "unapplied", "continuity")


class Verdict(StrEnum):
    """What became of an event.

    began: the first event of a drift, or of a new life after the last one ended. moved: a step of a life.
    repeated: the state it was in already. adopted: the first event known is from the middle of a life, because the
    drift topic is compacted and the earlier ones are gone. refused: the step does not follow from the state.
    """

    began = "began"
    moved = "moved"
    repeated = "repeated"
    adopted = "adopted"
    refused = "refused"


# What `drift_open` counts: the replica is, or was until it is checked again, not what the plan says.
OPEN: Final = frozenset({State.open, State.repairing, State.repaired})
ENDED: Final = frozenset({State.resolved, State.superseded})
# A check saw the difference; every other step says something about a difference already seen.
SIGHTINGS: Final = frozenset({State.suspected, State.open})
BEGINNINGS: Final = SIGHTINGS

_NEXT: Final[Mapping[State, frozenset[State]]] = MappingProxyType(
    {
        # One read is a suspicion; a second one that agrees opens it, one that does not ends it.
        State.suspected: frozenset({State.open, State.resolved, State.superseded}),
        # Repaired: it was seen once more after its repair was ordered, before that was carried out.
        State.open: frozenset({State.repairing, State.repaired, State.resolved, State.superseded, State.accepted}),
        # Back to open: the repair was refused or failed.
        State.repairing: frozenset({State.repaired, State.open, State.resolved, State.superseded}),
        # Back to open: the check after the repair still found a difference.
        State.repaired: frozenset({State.resolved, State.open, State.superseded}),
        # Back to open: the acceptance ended, or was taken back.
        State.accepted: frozenset({State.open, State.resolved, State.superseded}),
        # The same key in drift again keeps its id and begins a new life.
        State.resolved: BEGINNINGS,
        State.superseded: BEGINNINGS,
    }
)


class Seen(NamedTuple):
    """What is kept of one life of a drift. `times`: how many checks saw it. `lives`: which life of this id it is.

    until: when an acceptance ends, which is of this `kind`; None for any other state.
    """

    state: State
    first: datetime
    last: datetime
    times: int
    lives: int = 1
    kind: str = ""
    until: datetime | None = None

    def excuses(self, event: Seen, at: datetime) -> bool:
        """Whether a sighting at this moment, by somebody who need not know of it, is of what was accepted."""
        accepted = self.state is State.accepted and self.until is not None and at < self.until
        return accepted and event.state in SIGHTINGS and event.kind == self.kind


class Step(NamedTuple):
    """An event taken in: how the drift is afterwards, and what became of the event. `seen` is unchanged if refused."""

    seen: Seen | None
    verdict: Verdict


def allowed(state: State, then: State) -> bool:
    """True when `then` may follow `state`; a repetition always may."""
    return then is state or then in _NEXT[state]


def follow(current: Seen | None, event: Seen, at: datetime | None = None) -> Step:
    """The drift after `event`, which carries what its sender knows of first, last and times (`lives` is ignored).

    at: when the event happened. What is accepted stays so when it is seen again before its date.
    """
    if current is None:
        known = event.state in BEGINNINGS
        return Step(event._replace(times=max(1, event.times), lives=1), Verdict.began if known else Verdict.adopted)
    if at is not None and current.excuses(event, at):
        return Step(_kept(current, event)._replace(state=current.state, until=current.until), Verdict.repeated)
    if not allowed(current.state, event.state):
        return Step(current, Verdict.refused)
    if current.state in ENDED and event.state in BEGINNINGS:
        return Step(_new_life(current, event), Verdict.began)
    verdict = Verdict.repeated if event.state is current.state else Verdict.moved
    return Step(_kept(current, event), verdict)


def _new_life(ended: Seen, event: Seen) -> Seen:
    # A sender that never heard of the end still carries the first sight of the life before.
    first = event.last if event.first <= ended.last else event.first
    return event._replace(first=first, times=1, lives=ended.lives + 1)


def _kept(current: Seen, event: Seen) -> Seen:
    """Sightings are counted here: a sender sees one, and often does not know of those before."""
    first = min(current.first, event.first) if current.lives == 1 else current.first
    if event.state not in SIGHTINGS:
        return event._replace(first=first, last=current.last, times=current.times, lives=current.lives)
    again = event.last > current.last
    times = current.times + 1 if again else current.times
    if current.lives == 1:
        times = max(times, event.times)
    return event._replace(first=first, last=max(current.last, event.last), times=times, lives=current.lives)
