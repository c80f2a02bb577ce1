"""The in-memory store under the contract."""

from __future__ import annotations

from datetime import timedelta

import pytest

from streams.plan.mapping import Shape
from streams.replicas.base import ReplicaTable
from streams.replicas.memory import MemoryTable
from streams.rows.canonical import Row


class MemoryHarness:
    forgets = False

    def make_table(self, shape: Shape) -> ReplicaTable:
        table = MemoryTable(shape)
        table.prepare()
        return table

    def again(self, table: ReplicaTable) -> ReplicaTable:
        return table

    def plant(self, table: ReplicaTable, key: bytes, row: Row | None) -> None:
        assert isinstance(table, MemoryTable)
        table.plant(key, row)

    def later(self, table: ReplicaTable, time: timedelta) -> None:
        """Whatever happens to time, nothing is forgotten."""
        assert table.forget_tombstones(timedelta(0)) == 0


@pytest.fixture
def memory_harness() -> MemoryHarness:
    """A store that lives in this process."""
    return MemoryHarness()
