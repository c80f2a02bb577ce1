"""What a table's work remembers of the SOT's snapshots."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from streams.agents import table
from streams.agents.table import TableWork
from streams.changes.visibility import Snapshot
from streams.errors import StoreUnavailable


async def test_a_snapshot_of_before_is_not_used_while_the_source_is_away(monkeypatch: Any) -> None:
    """It may come back as another cluster: what an old snapshot shows by its id may not be visible there."""
    answers: list[Snapshot | None] = [Snapshot(800_000, 800_000, frozenset()), None]

    def ask() -> Snapshot:
        found = answers.pop(0)
        if found is None:
            raise StoreUnavailable("the source is away", "")
        return found

    async def run(work: Callable[[], Snapshot]) -> Snapshot:
        return work()

    nothing: Any = None
    sot: Any = SimpleNamespace(snapshot=ask)
    threads: Any = SimpleNamespace(run=run)
    now = [0.0]
    monkeypatch.setattr(table, "time", SimpleNamespace(monotonic=lambda: now[0]))
    work = TableWork("r", "t", nothing, nothing, nothing, nothing, nothing, sot, nothing, 1, nothing, threads, nothing,
                     nothing, nothing)  # fmt: skip
    first = await work.recent_snapshot()
    assert first is not None
    now[0] = 0.5
    assert await work.recent_snapshot() is first
    now[0] = 2.0
    assert await work.recent_snapshot() is None
