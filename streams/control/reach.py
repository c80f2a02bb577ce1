"""How long what the SOT commits has not reached Kafka, which offsets alone cannot show: they are of what has.

Marks are put into the SOT's log and looked for on the message topic. Debezium sends in the order of commits, so while a
mark is missing, so is everything that was committed after it: its age is a lower bound of the lag.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

Mark = Callable[[], int]  # puts a mark; the SOT's clock before it, in ms
Newest = Callable[[], int | None]  # the SOT's clock at the newest message in Kafka, in ms; None where there is none

# Marks that are looked for; while more are missing no other is remembered: the oldest says how long.
MARKS_MAX: Final = 1_000
POLL_SECONDS: Final = 0.1


class Reach:
    """What control knows of its marks from one look to the next."""

    def __init__(self, mark: Mark, newest: Newest) -> None:
        self._mark = mark
        self._newest = newest
        self._missing: deque[int] = deque()

    def seconds(self) -> float:
        """Age of the oldest mark that has not arrived, 0 if all have; puts the next one. Raises what asking raises."""
        newest = self._newest()
        while newest is not None and self._missing and self._missing[0] <= newest:
            self._missing.popleft()
        now = self._mark()
        if len(self._missing) < MARKS_MAX:
            self._missing.append(now)
        return max(0.0, (now - self._missing[0]) / 1000)


def waited(mark: Mark, newest: Newest, within_seconds: float) -> float:
    """Put a mark and wait for it: 0 once it is there, else how long it was waited for."""
    wanted, began = mark(), time.monotonic()
    while (newest() or 0) < wanted:
        if (passed := time.monotonic() - began) > within_seconds:
            return passed
        time.sleep(POLL_SECONDS)
    return 0.0
