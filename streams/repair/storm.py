"""When repairs stop and ask: more drift within a time than the plan allows (design, Repair)."""

from __future__ import annotations

from collections import deque


class Storm:
    """Counts the keys of one table × replica that were found in drift. window: seconds for which one counts."""

    def __init__(self, stop_above: int, window: float) -> None:
        self.stop_above = stop_above
        self._window = window
        self._found: deque[tuple[float, int]] = deque()
        self._keys = 0

    def found(self, keys: int, now: float) -> None:
        """So many more were found now."""
        self._found.append((now, keys))
        self._keys += keys

    def keys(self, now: float) -> int:
        """How many were found within the window."""
        while self._found and self._found[0][0] < now - self._window:
            self._keys -= self._found.popleft()[1]
        return self._keys

    def rages(self, now: float) -> bool:
        """Whether there are more than a repair goes on for without being asked."""
        return self.keys(now) > self.stop_above
