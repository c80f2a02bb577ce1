"""Keys just written, until they are read back (design, Validation: the first of three depths)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

# How long after its write a key is read back: late enough for what follows a write at once to be there, and within
# seconds. A key that is written all the time is read back as often.
READ_BACK_SECONDS = 2.0
# Per partition; some 100 bytes each. While more is written than can be read back, the scrub reads the rest.
KEYS_MAX = 10_000


class Fresh:
    """The keys of one partition that were written and not read back yet, the oldest first."""

    def __init__(self) -> None:
        self._written: dict[bytes, float] = {}
        # Those that were written again while they waited, and when last.
        self._again: dict[bytes, float] = {}
        # How many were left to the scrub, because there was no room.
        self.left_out = 0

    def __len__(self) -> int:
        return len(self._written)

    def note(self, keys: Iterable[bytes], now: float) -> None:
        """These were written now (of `time.monotonic()`). One that waits already keeps its place, and waits once more.

        So what happens to it after its last write is seen, too, and one that is written all the time is read back.
        """
        written = self._written
        for key in keys:
            if key in written:
                self._again[key] = now
                continue
            if len(written) >= KEYS_MAX:
                self.left_out += 1
                continue
            written[key] = now

    def due(self, now: float, most: int) -> list[bytes]:
        """At most so many of those whose time has come; they are not waited for any more."""
        until = now - READ_BACK_SECONDS
        keys = [key for key, at in islice(self._written.items(), most) if at <= until]
        for key in keys:
            del self._written[key]
            if (last := self._again.pop(key, None)) is not None:
                self._written[key] = last
        return keys

    def left_to_the_scrub(self) -> int:
        """How many there was no room for since the last call."""
        left, self.left_out = self.left_out, 0
        return left
