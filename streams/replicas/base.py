"""The guard: the contract every replica store keeps (design, Guard).

A store writes a row only under a token larger than the stored one. The decision is made inside the store, in the same
atomic step as the write, so that a worker which lost its partition and wakes up late is harmless.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from streams.errors import HoldtrueError, StoreUnavailable
from streams.rows.canonical import Row
from streams.versions.entry import Token

if TYPE_CHECKING:
    from streams.plan.mapping import Shape
    from streams.rows.hashes import Asked

__all__ = ["Held", "Outcome", "Refused", "Replica", "ReplicaTable", "Result", "StoreUnavailable", "Write"]


class Write(NamedTuple):
    """One write of one key. At most one per key and batch.

    key: canonical bytes of the key columns (`rows.canonical.encode`, in key order).
    row: the mapped row in canonical text, or None for a delete that leaves a tombstone.
    line: `encode(row)`, already made for the digest; b"" for a delete.
    """

    key: bytes
    row: Row | None
    line: bytes
    token: Token


class Outcome(StrEnum):
    """What the guard did with one write."""

    applied = "applied"
    duplicate = "duplicate"  # equal token, equal content: written before
    stale = "stale"  # the store holds a larger token
    conflict = "conflict"  # equal token, other content
    refused = "refused"  # the store cannot hold this row; `reason` says why


class Result(NamedTuple):
    """The answer for one write; `stored` is the store's token where it is known, `reason` names the refusal."""

    outcome: Outcome
    stored: Token | None = None
    reason: str = ""


APPLIED = Result(Outcome.applied)


class Held(NamedTuple):
    """What a store holds for one key, read as content: never a remembered digest.

    token: None when the row carries none (written by somebody else).
    row: canonical row, or None when there is no live row (absent or tombstone).
    """

    token: Token | None
    row: Row | None


class Refused(HoldtrueError):
    """A store cannot take part at all as it is configured (a missing table, another shape, no permission)."""


class Unwelcome(Refused):
    """It is not this table: the store does not let us in (a password, credentials, the number of a database)."""


class ReplicaTable(Protocol):
    """One table of one replica. Methods block; callers run them in threads. None of them retries: the caller does.

    All raise `Refused` when the store cannot take part as it is, and `StoreUnavailable` when it cannot be reached or
    cannot serve now, with nothing promised about which writes of the batch took place: the batch is sent again.
    """

    shape: Shape

    def prepare(self) -> None:
        """Create what is missing (target table, version rows), check what is there; raises `Refused` on a mismatch."""

    def apply(self, writes: Sequence[Write]) -> list[Result]:
        """Guarded writes, one result per write, in order; durable as far as the store can promise when it returns."""

    def overrule(self, key: bytes, expected: Token | None, write: Write) -> Result:
        """Write whatever the order says, if the stored token is still `expected`: repairs only (design, Repair)."""

    def stamp(self, writes: Sequence[Write]) -> list[Result]:
        """Put tokens beside rows that are there and are these; no row is touched. One result per write, in order.

        As `apply` answers; conflict: another row is there, or none. Of a row that somebody else has written.
        """

    def drop_tokens(self) -> int:
        """Remove every token and tombstone of the table; rows stay as they are. How many there were."""

    def read(self, keys: Sequence[bytes]) -> dict[bytes, Held]:
        """Content of the given keys; keys the store knows nothing of are left out."""

    def scan(self, chunk: int) -> Iterator[list[tuple[bytes, Held]]]:
        """All keys with a live row, in chunks of at most about `chunk`, for sweeps and counts."""

    def keys(self, chunk: int) -> Iterator[Sequence[bytes | None]]:
        """The keys of all rows the store lists, whoever wrote them, in chunks of about `chunk`: for sweeps.

        None for a row under a key that no row of the table can have, where the store holds nothing but the table.
        """

    def count(self) -> int:
        """Number of live rows, as the store itself counts them."""

    def forget_tombstones(self, older_than: timedelta) -> int:
        """Drop tokens of rows that have been dead for longer, some at a time; how many, 0 when none is left."""

    def close(self) -> None:
        """Give back connections; harmless when called twice."""


@runtime_checkable
class InSql(Protocol):
    """A table that hashes its content where it is."""

    def hashing(self) -> AbstractContextManager[Asked]:
        """Its side, to be asked at one moment, which is that of the first question."""


@dataclass(frozen=True, slots=True)
class Replica:
    """A named store with its tables."""

    name: str
    kind: str
    tables: dict[str, ReplicaTable]
