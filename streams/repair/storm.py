"""When repairs stop and ask: more drift within a time than the plan allows (design, Repair)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable


class Storm:
    """Counts the keys of one table × replica that were found in drift. window: seconds for which one counts.

    A key that is found again counts anew: while a storm waits for a person, its keys are found wrong in every pass.
    """

    def __init__(self, stop_above: int, window: float) -> None:
        self.stop_above = stop_above
        self.window = window
        # When a key was found last, the latest last. One more of them than are allowed is all that must be known.
        self._found: OrderedDict[bytes, float] = OrderedDict()
        self._until = float("-inf")

    def goes_on(self, age: float, now: float) -> None:
        """It raged so many seconds ago, in another process: its keys are found again within the window."""
        self._until = max(self._until, now + self.window - max(age, 0.0))

    def found(self, keys: Iterable[bytes], now: float) -> None:
        """These were found now."""
        for key in keys:
            self._found[key] = now
            self._found.move_to_end(key)
            if len(self._found) > self.stop_above + 1:
                self._found.popitem(last=False)

    def keys(self, now: float) -> int:
        """How many were found within the window, as far as they are counted: one more than are allowed at most."""
        while self._found and next(iter(self._found.values())) < now - self.window:
            self._found.popitem(last=False)
        return len(self._found)

    def rages(self, now: float) -> bool:
        """Whether there are more than a repair goes on for without being asked."""
        return now < self._until or self.keys(now) > self.stop_above
