"""How much of what a topic holds control has not taken in yet: its database knows nothing of that."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from streams.control.offsets import Place

POLL_SECONDS: Final = 0.2
# Whoever waits longer than this is told for what.
SILENT_SECONDS: Final = 3.0


def left(held: Mapping[Place, tuple[int, int]], taken: Mapping[Place, int]) -> int:
    """Records that are not taken in. held: begin and end by partition; what has expired nobody takes in any more."""
    return sum(max(0, end - max(begin, taken.get(place, 0))) for place, (begin, end) in held.items())


def waited(remaining: Callable[[], int], within_seconds: float, say: Callable[[int], None]) -> int:
    """Wait until none remains; what does in the end. say: called once, with what remains, when that takes long."""
    began, told = time.monotonic(), False
    while (many := remaining()) and (passed := time.monotonic() - began) < within_seconds:
        if passed >= SILENT_SECONDS and not told:
            say(many)
            told = True
        time.sleep(POLL_SECONDS)
    return many
