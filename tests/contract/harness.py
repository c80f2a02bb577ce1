"""What the contract suite needs of a store beside the contract itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from streams.plan.mapping import Shape
from streams.replicas.base import ReplicaTable
from streams.rows.canonical import Row

MakeTable = Callable[[Shape], ReplicaTable]

# How long a deleted row's token is kept.
RETENTION = timedelta(hours=1)


class Harness(Protocol):
    """One real store under test; a fixture `<kind>_harness` in `fix_<kind>.py` gives it and cleans up after it.

    forgets: whether the store forgets tombstones at all.
    """

    forgets: bool

    def make_table(self, shape: Shape) -> ReplicaTable:
        """A prepared table without rows or tokens. A second call with the same shape starts from nothing again."""

    def again(self, table: ReplicaTable) -> ReplicaTable:
        """Another handle, with connections of its own, on the rows of `table`: a second worker."""

    def plant(self, table: ReplicaTable, key: bytes, row: Row | None) -> None:
        """Somebody else's write: set or remove (None) the row's content and leave token or tombstone as they are."""

    def later(self, table: ReplicaTable, time: timedelta) -> None:
        """As if so much time had passed, and the store had forgotten what it forgets after RETENTION."""
