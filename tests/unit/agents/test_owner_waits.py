"""An owner that is ordered to wait, and released (decision 12)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from streams.agents.table import Held
from tests.unit.agents.test_owner import Said, batch, running, table


@pytest.mark.asyncio
async def test_a_partition_that_is_to_wait_applies_nothing_until_it_is_released(tmp_path: Path) -> None:
    """Not the batch that had waited for the lock either, nor a sweep or a loss. Both are said, with who and why."""
    said = Said()
    said.waits = asyncio.Event()
    async with running(tmp_path, said) as owner, asyncio.timeout(10):
        owner.offer(batch(0, 1))
        await said.in_hand.wait()
        ordering = asyncio.create_task(owner.order_hold("ada", "a migration"))
        said.waits.set()
        await ordering
        owner.offer(batch(2, 3))
        await owner.order_sweep(1)
        owner.lose(9)
        assert not await owner.passed(3)
        assert not await owner.swept()
        assert said.done == [("handled", 1), ("held", 0, 2, "ada")]
        await owner.release("bob", "it is over")
        assert await owner.passed(9)
        assert await owner.swept()
    assert said.done[2:5] == [("released", 0, "it is over", "bob"), ("handled", 3), ("passed", 9)]


@pytest.mark.asyncio
async def test_a_batch_that_waited_for_the_lock_waits_on_when_a_hold_came_first(tmp_path: Path) -> None:
    """What is durable holds at once: the order was answered, and a row written after it would be a broken word."""
    said = Said()
    async with running(tmp_path, said) as owner, asyncio.timeout(10):
        await owner.lock.acquire()
        owner.offer(batch(0))
        while not owner.lock._waiters:  # type: ignore[attr-defined]  # noqa: ASYNC110 - a lock tells nobody
            await asyncio.sleep(0)
        owner.state.hold = owner.state.hold.with_order("ada", "a migration")
        owner.lock.release()
        await said.is_held.wait()
    assert said.done == [("held", 0, 0, "ada")]


@pytest.mark.asyncio
async def test_an_order_to_wait_outlives_its_owner(tmp_path: Path) -> None:
    """A supervisor that starts a worker again releases nothing: each owner says that it waits."""
    said, again = Said(), Said()
    async with running(tmp_path, said) as owner, asyncio.timeout(10):
        await owner.order_hold("ada", "a migration")
    async with running(tmp_path, again) as owner, asyncio.timeout(10):
        owner.offer(batch(0))
        await again.is_held.wait()
        assert again.done == [("held", 0, 0, "ada")]
        assert again.holds[0].reason == "a migration"
        await owner.release("bob", "it is over")
        assert await owner.passed(0)


@pytest.mark.asyncio
async def test_an_order_that_comes_twice_is_released_once(tmp_path: Path) -> None:
    """Requests are answered again after a crash; and a release of nothing says nothing."""
    said = Said()
    async with running(tmp_path, said) as owner, asyncio.timeout(10):
        for _ in range(2):
            await owner.order_hold("ada", "a migration")
        for _ in range(2):
            await owner.release("bob", "it is over")
        owner.offer(batch(0))
        assert await owner.passed(0)
    assert said.done == [("held", 0, 0, "ada"), ("released", 0, "it is over", "bob"), ("handled", 0)]


@pytest.mark.asyncio
async def test_a_release_leaves_what_a_record_holds(tmp_path: Path) -> None:
    """It is said once more: control took the first word of it for over."""
    work, said = table(), Said()
    said.refuses = Held(0, "odd")
    async with running(tmp_path, said, work=work) as owner, asyncio.timeout(10):
        owner.offer(batch(0))
        await said.is_held.wait()
        await owner.order_hold("ada", "a migration")
        await owner.release("bob", "it is over")
        assert owner.held is work.held
    assert [done[0] for done in said.done] == ["held", "held", "released", "held"]
    assert [hold.reason for hold in said.holds] == ["odd", "a migration", "odd"]
