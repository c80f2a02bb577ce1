"""Why a server or a set-up program ended, from its log, in our own words: a log may hold what is not to be shown."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from streams.local.disk import LEAST_BYTES, free_bytes
from streams.local.errors import FILE_HINT

_LOG_TAIL_BYTES = 20_000


class Ending(NamedTuple):
    """Why something ended, and what to do about it."""

    reason: str
    hint: str


_UNKNOWN = Ending("see the end of its log", "Correct what the log names, and start again.")
_FULL = Ending("the disk is full", "Free some space, or choose another --data-dir.")
_MEMORY = Ending("there is not enough memory", "End other programs; the embedded stack needs about 3.5 GB.")
# What a log may say, and what that means for the one who reads our sentence.
_KNOWN = {
    "No space left on device": _FULL,
    "Disk quota exceeded": _FULL,
    "Address already in use": Ending(
        "its port is taken by another process", "End that process, or choose others: holdtrue up --port-base N"
    ),
    # A backend of a postmaster that was killed outlives it by a moment.
    "pre-existing shared memory block": Ending(
        "processes of the server that was killed are still ending", "Run it again in a moment: holdtrue up"
    ),
    "Permission denied": Ending(
        "it may not read or write one of its files", "Change the permissions of the data folder and what is in it."
    ),
    "Cannot allocate memory": _MEMORY,
    "OutOfMemoryError": _MEMORY,
}


def size(log: Path) -> int:
    """Where the log ends now: what comes behind it is the next start's."""
    return log.stat().st_size if log.exists() else 0


def ending(log: Path, start: int) -> Ending:
    """What the log says behind `start`; where it says nothing we know, whether it could not be written any more."""
    try:
        tail = log.read_bytes()[start:][-_LOG_TAIL_BYTES:].decode(errors="replace")
    except OSError:
        tail = ""
    return _meaning(tail) or (_FULL if free_bytes(log.parent) < LEAST_BYTES else _UNKNOWN)


def refusal(error: OSError) -> Ending:
    """What an error of the file system says."""
    words = error.strerror or type(error).__name__
    return _meaning(words) or Ending(words, FILE_HINT)


def _meaning(text: str) -> Ending | None:
    return next((meaning for phrase, meaning in _KNOWN.items() if phrase in text), None)
