"""What the plan allows a second is waited for, by everybody who shares the budget."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents import app, table
from streams.agents.repairs import NOT_FENCED, Done, Repairs
from streams.agents.table import Budget, TableWork
from streams.sot.reader import SotRead
from tests.unit.plan.plans import example


class Clock:
    """Moves only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """The time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Until then."""
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """In place of the real one, where budgets look."""
    clock = Clock()
    monkeypatch.setattr(table, "time", clock)
    monkeypatch.setattr(table, "asyncio", SimpleNamespace(sleep=clock.sleep, Lock=asyncio.Lock))
    return clock


def work_of(budget: Budget) -> TableWork:
    """A table whose SOT answers at once."""
    nothing: Any = None

    async def run(work: Any, *args: Any) -> Any:
        return work(*args)

    sot: Any = SimpleNamespace(read=lambda keys: SotRead(nothing, {}))
    threads: Any = SimpleNamespace(run=run)
    return TableWork("r", "t", nothing, nothing, nothing, nothing, nothing, sot, nothing, 1, nothing, threads, budget,
                     nothing, nothing)  # fmt: skip


async def test_a_debt_is_waited_off_by_the_next_one(clock: Clock) -> None:
    """The first never waits; nothing is saved up while nobody asks."""
    budget, begun = Budget(100.0), clock.now
    await budget.take(250)
    assert clock.now == begun
    await budget.take(50)
    assert clock.now == begun + 2.5
    await budget.take(1)
    assert clock.now == begun + 3.0
    clock.now += 60
    for _ in range(2):
        await budget.take(100)
    assert clock.now == begun + 64.0


async def test_tables_of_a_worker_share_what_it_may_read_of_the_source(clock: Clock) -> None:
    """`source.reads_per_second`: what one has read, another one waits for."""
    budget, begun = Budget(100.0), clock.now
    first, second = work_of(budget), work_of(budget)
    await first.read_sot([b"k"] * 300, "order")
    await second.read_sot([b"k"], "repair")
    assert clock.now == begun + 3.0


def test_every_table_of_a_replica_has_the_plans_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for all reads of the source, and one of its own for the repairs of each."""
    plan = example()
    monkeypatch.setenv("HOLDTRUE_SOT_DSN", "host=nowhere")
    monkeypatch.setattr(app, "VersionTable", lambda *args, **more: None)
    shape = SimpleNamespace(mapping_version="1", key_columns=("id",))
    monkeypatch.setattr(app, "_shapes", lambda *args: (dict.fromkeys(plan.tables, shape), {}))
    monkeypatch.setattr(app, "open_replica", lambda *args: dict.fromkeys(plan.tables))
    monkeypatch.setattr(app, "SotReader", lambda *args, **more: None)
    nothing: Any = None
    replica = next(name for name, spec in plan.replicas.items() if len(spec.tables) > 1)
    faust: Any = SimpleNamespace(tables=SimpleNamespace(add=lambda table: None))
    works = list(app._tables(faust, plan, replica, Path(), nothing, nothing).values())
    assert {id(work.budget) for work in works} == {id(works[0].budget)}
    assert works[0].budget._per_second == plan.source.reads_per_second
    assert len({id(work.repairs) for work in works}) == len(works)
    assert [work.repairs._per_second for work in works] == [
        mapping.repair.rows_per_second for mapping in plan.replicas[replica].tables.values()
    ]


async def test_each_key_of_a_repair_is_within_its_budget(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """`repair.rows_per_second`: a repair never is a storm, however its keys are spread over requests."""
    nothing: Any = None
    repairs, begun = Repairs(nothing, nothing, nothing, nothing, nothing, nothing, {}, nothing), clock.now
    items = [{"drift": "d", "key": b"%d" % n, "kind": "stale"} for n in range(10)]
    monkeypatch.setattr(repairs, "_fence", _answer(NOT_FENCED))
    monkeypatch.setattr(repairs, "_repair", _answer({item["key"]: Done("failed: not read", None) for item in items}))
    work = SimpleNamespace(repairs=Budget(10.0), labels=("t", "r"))
    owner: Any = SimpleNamespace(work=work, ordered=lambda keys: None)
    request = {"repair": "r1", "replica": "r", "table": "t", "partition": 0}
    assert len(await repairs.answer(owner, {**request, "items": items})) == 10
    assert len(await repairs.answer(owner, {**request, "items": items[:1]})) == 1
    assert clock.now == pytest.approx(begun + 1.0)


def _answer(found: Any) -> Any:
    async def answered(*args: Any) -> Any:
        return found

    return answered
