"""How fast a run reads: no faster than it was told to, not at all while the replica is too late or the SOT busy."""

from __future__ import annotations

import time
from collections.abc import Callable

from streams.errors import NotReady

# How often it is asked how late the replica is, and how often while it is too late.
LOOK_SECONDS = 5.0
AGAIN_SECONDS = 1.0
# How long a pause may hold the SOT's vacuum back.
HELD_SECONDS_MAX = 30.0
# A replica that is too late, or a source that is busy, for so long has another trouble than this run.
PAUSE_SECONDS_MAX = 600.0

_LATE = NotReady(
    f"The replica was later than the plan allows for {PAUSE_SECONDS_MAX:.0f} s.",
    "See `holdtrue status` for what keeps it, then run this again.",
)
_BUSY = NotReady(
    f"The source of truth was busier than the plan allows for {PAUSE_SECONDS_MAX:.0f} s.",
    "Run this again when fewer statements run there at once, or raise validation.pause_above in the plan.",
)


class Pace:
    """Called with the rows that were read since the last call; returns when more may be read.

    rows_per_second: at most so many; None: no bound. lag: how many seconds the replica is late, asked only by runs that
    take some seconds, as is the next; lag_max: what the plan allows, None for no bound. busy: what keeps the SOT busy
    beyond what the plan allows, None where nothing does. note: tells a person why nothing moves.
    """

    def __init__(
        self,
        rows_per_second: int | None,
        lag: Callable[[], float],
        lag_max: float | None,
        note: Callable[[str], None],
        busy: Callable[[], str | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rows_per_second = rows_per_second
        self._lag = lag
        self._lag_max = lag_max
        self._note = note
        self._busy = busy
        self._clock = clock
        self._sleep = sleep
        self._begun: float | None = None
        self._rows = 0
        self._look_at = 0.0
        # The reasons for which nothing is read, of which was told.
        self._told: list[Callable[[], str | None]] = []

    def __call__(self, rows: int, *, holding: bool = False) -> bool:
        """As of the class. Raises NotReady when replica or SOT do not come back within their bounds.

        holding: a snapshot is held; False where it is to be given back, since it would be held for too long. What was
        waited for then is waited for at the next call.
        """
        now = self._clock()
        if self._begun is None:
            self._begun, self._look_at = now, now + LOOK_SECONDS
        self._rows += rows
        if self._rows_per_second is not None:
            self._rest_until(self._begun + self._rows / self._rows_per_second)
        if self._clock() >= self._look_at:
            begun = self._clock()
            most = HELD_SECONDS_MAX if holding else None
            over = self._waited(self._late, _LATE, most) and self._waited(self._busy, _BUSY, most)
            self._begun += self._clock() - begun
            if not over:
                return False
            self._look_at = self._clock() + LOOK_SECONDS
        return True

    def _rest_until(self, moment: float) -> None:
        if (seconds := moment - self._clock()) > 0:
            self._sleep(seconds)

    def _late(self) -> str | None:
        if self._lag_max is None or (late := self._lag()) <= self._lag_max:
            return None
        return f"reading nothing while the replica is {late:.0f} s late: the plan allows {self._lag_max:.0f} s"

    def _waited(self, why: Callable[[], str | None], given_up: NotReady, most: float | None) -> bool:
        """Wait until there is no reason any more; False where there still is one after so many seconds."""
        begun = self._clock()
        while (reason := why()) is not None:
            if why not in self._told:
                self._note(reason)
                self._told.append(why)
            waited = self._clock() - begun
            if most is not None and waited >= most:
                return False
            if waited > PAUSE_SECONDS_MAX:
                raise given_up
            self._sleep(AGAIN_SECONDS)
        if why in self._told:
            self._told.remove(why)
        return True
