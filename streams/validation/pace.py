"""How fast a run reads: no faster than it was told to, and not at all while the replica is later than it may be."""

from __future__ import annotations

import time
from collections.abc import Callable

from streams.errors import NotReady

# How often it is asked how late the replica is, and how often while it is too late.
LOOK_SECONDS = 5.0
AGAIN_SECONDS = 1.0
# A replica that is too late for so long has another trouble than this run.
PAUSE_SECONDS_MAX = 600.0


class Pace:
    """Called with the rows that were read since the last call; returns when more may be read.

    rows_per_second: at most so many; None: no bound. lag: how many seconds the replica is late, asked only by runs that
    take some seconds; lag_max: what the plan allows, None for no bound. note: tells a person why nothing moves.
    """

    def __init__(
        self,
        rows_per_second: int | None,
        lag: Callable[[], float],
        lag_max: float | None,
        note: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rows_per_second = rows_per_second
        self._lag = lag
        self._lag_max = lag_max
        self._note = note
        self._clock = clock
        self._sleep = sleep
        self._begun: float | None = None
        self._rows = 0
        self._look_at = 0.0

    def __call__(self, rows: int) -> None:
        """As of the class. Raises NotReady when the replica does not come back within its bound."""
        now = self._clock()
        if self._begun is None:
            self._begun, self._look_at = now, now + LOOK_SECONDS
        self._rows += rows
        if self._rows_per_second is not None:
            self._rest_until(self._begun + self._rows / self._rows_per_second)
        if self._lag_max is not None and self._clock() >= self._look_at:
            self._begun += self._wait_while_late(self._lag_max)
            self._look_at = self._clock() + LOOK_SECONDS

    def _rest_until(self, moment: float) -> None:
        if (seconds := moment - self._clock()) > 0:
            self._sleep(seconds)

    def _wait_while_late(self, lag_max: float) -> float:
        """How long it took until the replica was in time again."""
        begun, told = self._clock(), False
        while (late := self._lag()) > lag_max:
            if not told:
                self._note(f"reading nothing while the replica is {late:.0f} s late: the plan allows {lag_max:.0f} s")
                told = True
            if self._clock() - begun > PAUSE_SECONDS_MAX:
                raise NotReady(
                    f"The replica was later than the plan allows for {PAUSE_SECONDS_MAX:.0f} s.",
                    "See `holdtrue status` for what keeps it, then run this again.",
                )
            self._sleep(AGAIN_SECONDS)
        return self._clock() - begun
