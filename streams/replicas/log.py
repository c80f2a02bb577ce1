"""A replica's own log as it is followed, whatever kind of store keeps it: what comes from it, and what may happen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from streams.checks.explained import Explained
from streams.errors import HoldtrueError, StoreUnavailable

# Keys of one table that are handed on together; beyond that the table as a whole is.
FOREIGN_KEYS_MAX = 100_000


class LogTaken(HoldtrueError):
    """Another worker follows the log."""


class LogLost(StoreUnavailable):
    """The log cannot be followed as it was; it is to be opened again."""


class Foreign:
    """What in one table is not ours: keys, or everything where that is more than can be named."""

    def __init__(self) -> None:
        self.keys: set[bytes] = set()
        self.everything = False

    def add(self, found: Explained) -> None:
        """And of one more transaction."""
        self.keys |= found.foreign()
        if found.everything or len(self.keys) > FOREIGN_KEYS_MAX:
            self.keys, self.everything = set(), True


class Compared(NamedTuple):
    """What a comparison at a mark has shown. keys: of the unequal buckets, with their digests; None: too many.

    seconds: from the mark's making to here.
    """

    table: str
    partition: int
    buckets: Sequence[int]
    keys: Mapping[bytes, bytes] | None
    at: float
    seconds: float


class Read(NamedTuple):
    """What came: what is not ours, by table, and through where the log was read. changes: how many there were.

    compared: of digests that are kept from the log, where they are.
    """

    foreign: Mapping[str, Foreign]
    through: int
    changes: int
    compared: Sequence[Compared] = ()


class FollowedLog(Protocol):
    """The log of one replica, for one thread. It may be opened again after it was closed."""

    @property
    def behind(self) -> float:
        """How far the reading is behind, in the unit of its gauge."""

    def open(self) -> Collection[str]:
        """Begin to follow; the tables of which what was changed before this moment was not, or not all, seen.

        Raises LogTaken, Refused where it cannot be followed as things are, and StoreUnavailable.
        """

    def read(self) -> Read:
        """What comes within some tenths of a second. Raises LogLost, LogTaken, StoreUnavailable."""

    def confirm(self, through: int) -> None:
        """Everything before is done with: it need not come again."""

    def close(self) -> None:
        """Let another one follow. Harmless when called twice."""
