"""The pace of a scrub: every key within the plan's period, spread over it, at a bounded share of the worker's time."""

from __future__ import annotations

import math

# A pass is done a little before its period is over, so that a delay breaks no promise.
SPREAD = 0.9
# Of one partition's time: what checking takes at most. It rests three times as long as it has worked.
SHARE_MAX = 0.25
# But no longer than this: after a store that was away, or one that takes seconds for a look.
REST_SECONDS_MAX = 5.0


def rest(worked: float) -> float:
    """How many seconds to wait after so many of work."""
    return min(worked * (1 / SHARE_MAX - 1), REST_SECONDS_MAX)


class Pace:
    """How far the pass through a partition's keys has to be. period: seconds within which each key is visited."""

    def __init__(self, period: float, now: float) -> None:
        self._seconds = period * SPREAD
        self._begun = self._complete_since = now
        self._visited = 0
        self._is_over = False

    def wanted(self, now: float, keys: int, most: int) -> int:
        """How many keys to visit now, of so many that there are; 0 while the pass is ahead of its time.

        The next pass begins when the last one is over and its time has come; also one through nothing.
        """
        if self._is_over and now - self._begun >= self._seconds:
            self._begun, self._visited, self._is_over = now, 0, False
        if self._is_over:
            return 0
        due = math.ceil((now - self._begun) / self._seconds * max(keys, 1))
        return max(0, min(most, due - self._visited))

    def visited(self, keys: int) -> None:
        """So many more were."""
        self._visited += keys

    def over(self) -> None:
        """Every key has been visited in this pass."""
        self._complete_since, self._is_over = self._begun, True

    def hurry(self, now: float) -> None:
        """There is a reason to think that anything is wrong: visit every key, from here on, as fast as that goes."""
        self._begun, self._visited, self._is_over = now - self._seconds, 0, False

    def age(self, now: float) -> float:
        """Seconds within which every key has been visited. Until the first pass is over: since the beginning."""
        return now - self._complete_since
