"""Plants faults at random times over the whole run, each in a key that fits its class."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from streams.bench.asked import Class
from streams.bench.errors import BenchError
from streams.bench.faults import WISHES, Fault, Spoiler
from streams.bench.ledger import Ledger, Planted
from streams.bench.load import Handed, Load, Wish

# A key counts as just written for so long after its write is in the replica; where we come later than that and a bit,
# because the machine is busy, another key is taken.
JUST_SECONDS: Final = 1.0
LATE_SECONDS: Final = 0.25
POLL_SECONDS: Final = 0.02
# How long a key may take from the SOT into the replica, or a wish to be granted, before the run is given up.
ARRIVE_SECONDS: Final = 120.0
STOP_SECONDS: Final = 30.0
# Rows that the source never had have keys from here on.
STRANGERS: Final = 1_000_000_000_000


class Due(NamedTuple):
    """One fault to come, so many seconds after the beginning."""

    after: float
    kind: Class
    fault: Fault


@dataclass(slots=True)
class _Waiting:
    """A key that was handed over. due: when it is to be made wrong; None until its last write is in the replica.

    absent: when that write was last seen not to be there yet.
    """

    handed: Handed
    fault: Fault
    since: float
    absent: float
    due: float | None = None


def schedule(kinds: Sequence[Class], planted: int, seconds: float, seed: int) -> list[Due]:
    """So many faults of each class, of every kind in turn, at random times, the earliest first."""
    chance = random.Random(seed)  # noqa: S311 - times and places of a benchmark
    faults = list(Fault)
    return sorted(
        Due(chance.uniform(0, seconds), kind, faults[number % len(faults)])
        for kind in kinds
        for number in range(planted)
    )


class Planter:
    """A thread that plants what is due. Use as a context manager; `done` once all of it is planted."""

    def __init__(
        self, plan: Sequence[Due], load: Load, spoiler: Spoiler, ledger: Ledger, cold: range, seed: int
    ) -> None:
        self._plan = deque(plan)
        self._load = load
        self._spoiler = spoiler
        self._ledger = ledger
        self._chance = random.Random(seed)  # noqa: S311 - as above
        self._cold = iter(self._chance.sample(cold, len(cold)))
        self._strangers = iter(range(STRANGERS, STRANGERS + len(plan)))
        self._wished: dict[Wish, deque[tuple[Fault, float]]] = {wish: deque() for wish in Wish}
        self._waiting: list[_Waiting] = []
        self._stopped = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="planter")

    @property
    def done(self) -> bool:
        """Whether everything is planted."""
        return not self._thread.is_alive() and self._failed is None

    def require_alive(self) -> None:
        """Raises what ended it."""
        if self._failed is not None:
            raise self._failed

    def __enter__(self) -> Planter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        began = time.monotonic()
        try:
            while self._plan or self._waiting or any(self._wished.values()):
                self._take_due(time.monotonic() - began)
                self._take_handed()
                self._look_for_arrivals()
                self._plant_arrived()
                if self._stopped.wait(POLL_SECONDS):
                    return
        except BaseException as error:
            self._failed = error

    def _take_due(self, passed: float) -> None:
        while self._plan and self._plan[0].after <= passed:
            due = self._plan.popleft()
            if due.kind is not Class.just_written:
                stranger = due.fault is Fault.inserted
                self._plant(due.kind, due.fault, next(self._strangers if stranger else self._cold))
            else:
                self._wish(due.fault)

    def _wish(self, fault: Fault) -> None:
        wish = WISHES[fault]
        self._wished[wish].append((fault, time.monotonic()))
        self._load.wish(wish)

    def _take_handed(self) -> None:
        while self._load.handed:
            handed = self._load.handed.popleft()
            fault, _ = self._wished[handed.wish].popleft()
            now = time.monotonic()
            self._waiting.append(_Waiting(handed, fault, now, absent=now))
        self._require_recent(since for wished in self._wished.values() for _, since in wished)

    def _look_for_arrivals(self) -> None:
        coming = [each for each in self._waiting if each.due is None]
        looked = time.monotonic()
        there = self._arrived([each.handed for each in coming]) if coming else set()
        for each in coming:
            if each.handed.key in there:
                each.due = each.absent + self._chance.uniform(0, JUST_SECONDS)
            else:
                each.absent = looked
        self._require_recent(each.since for each in coming)

    def _arrived(self, handed: Sequence[Handed]) -> set[int]:
        dead = [each.key for each in handed if each.wish is Wish.deleted]
        live = {each.key: each.revision for each in handed if each.wish is not Wish.deleted}
        return (self._spoiler.deleted(dead) if dead else set()) | (self._spoiler.arrived(live) if live else set())

    def _require_recent(self, since: Iterator[float]) -> None:
        if (oldest := min(since, default=None)) is not None and time.monotonic() - oldest > ARRIVE_SECONDS:
            raise BenchError(
                f"A key that the load has written did not reach the replica within {ARRIVE_SECONDS:.0f} s.",
                "See the worker's log, and `holdtrue stack`: is the machine busy with something else?",
            )

    def _plant_arrived(self) -> None:
        now = time.monotonic()
        for each in [each for each in self._waiting if each.due is not None and each.due <= now]:
            self._waiting.remove(each)
            if now - each.absent > JUST_SECONDS + LATE_SECONDS:
                self._wish(each.fault)
            else:
                self._plant(Class.just_written, each.fault, each.handed.key)

    def _plant(self, kind: Class, fault: Fault, key: int) -> None:
        # Noted before it is done: no event about it can come first, and detection takes rather too long than too short.
        self._ledger.plant(Planted(key, kind, fault, time.time()))
        self._spoiler.plant(fault, key)
