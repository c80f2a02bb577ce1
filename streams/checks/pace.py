"""The pace of a scrub: every key within the plan's period, spread over it, at a bounded share of the worker's time."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

# A pass is done a little before its period is over, so that a delay breaks no promise.
SPREAD = 0.9
# What was not visited for so much of the period is late, and visited as fast as that goes.
LATE = 0.95
# Of one partition's time: what checking takes at most. It rests three times as long as it has worked.
SHARE_MAX = 0.25
# But no longer than this: after a store that was away, or one that takes seconds for a look.
REST_SECONDS_MAX = 5.0
# So exactly is it known when a key was visited: to this part of a pass.
VISITS = 100


def rest(worked: float) -> float:
    """How many seconds to wait after so many of work."""
    return min(worked * (1 / SHARE_MAX - 1), REST_SECONDS_MAX)


class Stretch(NamedTuple):
    """The next keys of a pass. keys: how many of them the replica must hold. last: the last one; None at the end."""

    number: int
    keys: int
    last: bytes | None


class Visit(NamedTuple):
    """The keys up to `last`, and after those of the visit before, were looked at after `when`. None: to the end."""

    last: bytes | None
    when: float


class Pace:
    """How far the pass through a partition's keys has to be. period: seconds within which each key is visited."""

    def __init__(self, period: float, now: float) -> None:
        self._seconds = period * SPREAD
        self._late = period * LATE
        self._begun = now
        self._visited = 0
        self._is_over = False
        # Of this pass: what was begun anew is another one.
        self._number = 0
        # The last key that was visited in this pass; b"" before the first.
        self.at = b""
        # When keys were visited that this pass has behind itself, and when those that it has not come to yet.
        self._behind: deque[Visit] = deque()
        self._ahead = deque([Visit(None, now)])

    def wanted(self, now: float, keys: int, most: int) -> int:
        """How many keys to visit now, of so many that there are; 0 while the pass is ahead of its time.

        A pass follows the last one at once: one that is over before its time has left keys behind itself that came
        meanwhile. Where keys come or go in one place, their number says little of how far the pass is; then what comes
        next is late.
        """
        if self._is_over:
            self._begin(now)
        if now - self._ahead[0].when > self._late:
            return most
        due = math.ceil((now - self._begun) / self._seconds * max(keys, 1))
        return max(0, min(most, due - self._visited))

    def stretch(self, keys: int, last: bytes | None) -> Stretch:
        """The next keys of this pass."""
        return Stretch(self._number, keys, last)

    def visited(self, stretch: Stretch, now: float) -> None:
        """They were, all after `now`; this counts for nothing in a pass that has begun anew meanwhile."""
        if stretch.number != self._number:
            return
        self._visited += stretch.keys
        self._note(Visit(stretch.last, now))
        while self._ahead and _is_within(self._ahead[0], stretch.last):
            self._ahead.popleft()
        if stretch.last is None:
            self._ahead, self._behind = self._behind, deque()
            self._is_over = True
        self.at = stretch.last or b""

    def hurry(self, now: float) -> None:
        """There is a reason to think that anything is wrong: visit every key, from here on, as fast as that goes."""
        self._ahead = deque([*self._behind, *self._ahead])
        self._behind = deque()
        self._begin(now - self._seconds)

    @property
    def complete_since(self) -> float:
        """Every key has been visited after this moment. Until the first pass is over: the beginning."""
        return min(visit.when for visit in (*self._ahead, *self._behind))

    def age(self, now: float) -> float:
        """Seconds within which every key has been visited."""
        return now - self.complete_since

    def _begin(self, now: float) -> None:
        self._begun, self._visited, self._is_over, self.at = now, 0, False, b""
        self._number += 1

    def _note(self, visit: Visit) -> None:
        """Visits soon after another are one with it: some hundreds are remembered, however long a pass takes."""
        together = max(self._seconds, visit.when - self._begun) / VISITS
        if self._behind and visit.when - self._behind[-1].when < together:
            visit = visit._replace(when=self._behind.pop().when)
        self._behind.append(visit)


def _is_within(visit: Visit, last: bytes | None) -> bool:
    """Whether all of its keys are among those up to this one."""
    return last is None or (visit.last is not None and visit.last <= last)
