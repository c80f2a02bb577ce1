"""What becomes of a batch's writes under each mode of a table."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents.table import TableWork
from streams.agents.writing import write
from streams.changes.order import Store
from streams.replicas.base import APPLIED, Held, Outcome
from streams.replicas.memory import MemoryTable
from streams.rows.canonical import encode
from streams.versions.entry import Entry, Position, Token
from tests.support.works import SHAPE, work_of

OLD, NEW = ("1", "old"), ("1", "new")
KEY = b"1"
AT_THE_LOG, FROM_A_READ = Position(1, 77), None


class _Table:
    """A table of a mode, whose store holds what somebody has put there."""

    def __init__(self, mode: str) -> None:
        self.store = MemoryTable(SHAPE)
        self.work: Any = work_of(self.store, self._run, None, None)
        self.work.mapping = SimpleNamespace(mode=mode, readers_fill=mode == "invalidate")
        self.work.write = lambda *row: TableWork.write(self.work, *row)

    async def _run(self, call: Any, *args: Any) -> Any:
        return call(*args)

    async def write(self, row: tuple[str, str] | None, position: Position | None, **more: bool) -> str:
        """The answer to one write of key 1."""
        line = b"" if row is None else encode(row)
        digest = None if row is None else self.work.digester.digest(KEY, line)
        stores = {KEY: Store(Entry(Token(1, 5, 0), position, 0, (), digest), row, line)}
        (result,) = await write(self.work, stores, **{"of_reads": False, **more})
        return result.outcome

    def held(self) -> Held | None:
        return self.store.read([KEY]).get(KEY)


async def test_what_we_write_is_written() -> None:
    """Row and token."""
    table = _Table("replicate")
    assert await table.write(NEW, AT_THE_LOG) == Outcome.applied
    assert table.held() == Held(Token(1, 5, 0), NEW)


@pytest.mark.parametrize("position", [AT_THE_LOG, FROM_A_READ])
async def test_what_somebody_else_writes_is_left_alone(position: Position | None) -> None:
    """Nothing is put there, and nothing is taken away; the entry is kept as if it were."""
    table = _Table("verify")
    assert await table.write(NEW, position) == APPLIED.outcome
    assert table.held() is None
    table.store.plant(KEY, OLD)
    assert await table.write(None, position) == APPLIED.outcome
    assert table.held() == Held(None, OLD)


@pytest.mark.parametrize("row", [NEW, None])
async def test_a_change_takes_a_row_out_of_a_cache_and_leaves_its_token(row: tuple[str, str] | None) -> None:
    """Also where it has been filled in already: a token that moves tells who fills in that there was a change."""
    table = _Table("invalidate")
    for filled in (OLD, NEW):
        table.store.plant(KEY, filled)
        table.store._tokens.clear()
        assert await table.write(row, AT_THE_LOG) == Outcome.applied
        assert table.held() == Held(Token(1, 5, 0), None)


@pytest.mark.parametrize(("position", "more"), [(FROM_A_READ, {}), (AT_THE_LOG, {"of_reads": True})])
async def test_a_read_takes_out_only_what_is_wrong(position: Position | None, more: dict[str, bool]) -> None:
    """A snapshot, or a rebuild, does not empty a cache that is right, nor write into one that is empty."""
    table = _Table("invalidate")
    assert await table.write(NEW, position, **more) == Outcome.applied
    assert table.held() is None
    table.store.plant(KEY, NEW)
    assert await table.write(NEW, position, **more) == Outcome.applied
    assert table.held() == Held(None, NEW)
    table.store.plant(KEY, OLD)
    assert await table.write(NEW, position, **more) == Outcome.applied
    assert table.held() == Held(Token(1, 5, 0), None)
