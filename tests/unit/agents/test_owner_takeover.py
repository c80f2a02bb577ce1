"""An owner that takes a partition over of which nothing is known any more (decision 11)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from faust.types import TP

from streams.agents import owner as owner_module
from streams.changes.visibility import Snapshot
from streams.versions.entry import Entry, Token
from streams.versions.state import Move, PartitionState
from tests.unit.agents.test_owner import KEY, Consumer, Said, batch, running, table


@pytest.mark.asyncio
async def test_nothing_of_a_blank_partition_is_applied_before_it_is_taken_over(tmp_path: Path) -> None:
    """The topic has lost its beginning: what is left is not trusted, what is lost is looked up."""
    said, consumer = Said(), Consumer()
    consumer.end = 13
    async with running(tmp_path, said, consumer) as owner, asyncio.timeout(10):
        owner.lose(9)
        owner.offer(batch(10, 11, 12))
        assert await owner.passed(12)
        assert said.done == [("passed", 12), ("handled", 12)]
        assert (owner.state.takeover.end, owner.state.takeover.pending) == (13, True)
        assert consumer.committed == 12


@pytest.mark.asyncio
async def test_a_partition_of_which_a_repair_has_come_to_know_a_key_is_not_taken_over(tmp_path: Path) -> None:
    """It came while the place in the log was asked for: what the topic still had was applied over it (3001448)."""
    work, said, asked, asks = table(), Said(), asyncio.Event(), asyncio.Event()
    look = work.snapshot

    async def slow() -> Snapshot:
        asked.set()
        await asks.wait()
        return await look()

    work.snapshot = slow
    async with running(tmp_path, said, work=work) as owner, asyncio.timeout(10):
        owner.lose(9)
        await asked.wait()
        assert await owner.is_unread()
        owner.state.commit([Move(KEY, None, Entry(Token(0, 0, 1), None, 0, (), b"d" * 16))], -1, 0)
        asks.set()
        assert await owner.passed(9)
        assert not owner.state.takeover.end
        assert not await owner.is_unread()
        assert said.done == [("passed", 9)]


@pytest.mark.asyncio
async def test_the_committed_offset_does_not_go_back_to_what_lies_before_a_takeover(tmp_path: Path) -> None:
    """It would be lag that there is not."""
    said, consumer = Said(), Consumer()
    consumer.end = 20
    async with running(tmp_path, said, consumer) as owner, asyncio.timeout(10):
        owner.lose(9)
        assert await owner.passed(19)
        owner.offer(batch(10, 11, 12))
        await said.in_hand.wait()
        owner.offer(batch(20, start=13))
        assert await owner.passed(20)
        assert ("handled", 20) in said.done
        assert consumer.commits == sorted(consumer.commits)


@pytest.mark.asyncio
async def test_the_place_in_the_log_is_older_than_the_transactions_that_are_waited_for(tmp_path: Path) -> None:
    """Whatever has a place up to it is of a transaction that is waited for, so that a read shows it."""
    async with running(tmp_path, Said()) as owner, asyncio.timeout(10):
        owner.lose(9)
        assert await owner.passed(9)
        assert (owner.state.takeover.lsn, owner.state.takeover.ceiling) == (701, 52)


@pytest.mark.asyncio
async def test_a_topic_that_ends_before_what_it_has_lost_is_not_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was made anew meanwhile. The owner failed, with a token before the first offset."""
    said, asked = Said(), asyncio.Event()

    class Anew(Consumer):
        end = 0

        async def newest_end_offset(self, tp: TP) -> int:
            asked.set()
            return self.end

    monkeypatch.setattr(owner_module, "END_AGAIN_SECONDS", 0.0)
    consumer = Anew()
    async with running(tmp_path, said, consumer) as owner, asyncio.timeout(10):
        owner.lose(9)
        for _ in range(3):
            asked.clear()
            await asked.wait()
        assert not owner.state.takeover.end
        consumer.end = 13
        assert await owner.passed(12)


@pytest.mark.asyncio
async def test_a_takeover_that_was_not_noted_is_the_next_owners(tmp_path: Path) -> None:
    """A rebalance ended it while the changelog was away. The same process went on with a state that told of it.

    Its next owner rebuilt the partition and took it over beside that: then it was to be rebuilt, and never was.
    """
    said, noting = Said(), asyncio.Event()

    async def away(state: PartitionState, passed: int = -1) -> None:
        noting.set()
        await asyncio.Event().wait()

    said.note = away  # type: ignore[method-assign]
    async with running(tmp_path, said) as owner, asyncio.timeout(10):
        owner.lose(9)
        await noting.wait()
        said.running.cancel()
        await asyncio.wait({said.running})
        assert not owner.state.takeover.pending
