"""A partition that is behind is waited for, but not by everything else that is asked of it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest
from faust.types import TP

from streams.agents import checks
from streams.agents.checks import Checks, Seen
from streams.agents.table import BEFORE_THE_NEXT, Held
from streams.checks.compare import Content
from streams.checks.request import Depth, request
from streams.kafka.registry import UnknownSchema
from streams.versions.entry import Entry, Token
from streams.versions.marks import Takeover
from tests.support.works import REPLICATED


class _Behind:
    """An owner that has not reached the fence, and does not."""

    tp = TP("bank.public.t", 2)

    def __init__(self) -> None:
        self.waits = 0
        self.log: tuple[int, int] | None = None
        self.held: Held | None = None
        self.ordered: list[tuple[str, str, str]] = []
        self.state = SimpleNamespace(mapping="", sweep=SimpleNamespace(pending=False), takeover=Takeover())
        digester = SimpleNamespace(version="1")
        self.work = SimpleNamespace(unprepared="", digester=digester, labels=("public.t", "cache"), mapping=REPLICATED)

    async def passed(self, offset: int) -> bool:
        """Not in this life."""
        self.waits += 1
        await asyncio.Event().wait()
        return True

    async def order_log(self, epoch: int, floor: int) -> None:
        """Taken in."""
        self.log = (epoch, floor)

    async def order_hold(self, by: str, reason: str) -> None:
        """Taken in."""
        self.ordered.append(("hold", by, reason))

    async def release(self, by: str, reason: str) -> None:
        """Taken in."""
        self.ordered.append(("release", by, reason))

    async def others_have_counted(self) -> None:
        """Taken in."""
        self.ordered.append(("counted", "", ""))


def asked(depth: Depth, run: str = "run-1") -> dict[str, Any]:
    """A request of a run, as an owner gets it."""
    return {
        **request(run, "cache", "public.t", depth, between=(5, 9), epoch=3),
        "partition": 2,
        "round": 0,
        "last": False,
    }


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Checks:
    """It waits for a moment only."""
    monkeypatch.setattr(checks, "REACH_SECONDS", 0.05)
    monkeypatch.setattr(checks, "REACH_AGAIN_SECONDS", 0.0)
    nothing: Any = None
    return Checks(nothing, nothing, nothing, nothing, nothing, nothing, {}, nothing)


async def test_what_may_have_been_an_order_is_drift_of_its_table() -> None:
    """A TRUNCATE that nobody heard of leaves rows behind; a full run finds them, and closes it."""
    nothing, said = SimpleNamespace(), []
    mapping = SimpleNamespace(on_continuity="continue")
    owner = SimpleNamespace(work=SimpleNamespace(replica="cache", table="public.t", mapping=mapping))
    events = SimpleNamespace(send=lambda *event: said.append(event), flush=AsyncMock())
    agent = Checks(lambda tp: owner, nothing, nothing, nothing, nothing, events, {"asked": "changes"}, nothing)
    await agent.not_read(TP("asked", 2), 7, UnknownSchema("not known"))
    (_, _, _, signal), (topic, _, _, event) = said
    assert signal["type"] == "record-unreadable"
    assert signal["detail"] == {"topic": "asked", "partition": "2", "offset": "7", "error": "not known"}
    assert (topic, event["kind"], event["state"], event["table"]) == ("drift", "continuity", "open", "public.t")
    assert "at offset 7 of asked[2]" in event["reason"]


async def test_what_was_written_since_it_was_compared_and_did_not_come_through_is_looked_at_again(
    agent: Checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row came after the table was read, the store refused it, and a rogue one lay under its key (seed 17600)."""
    entries = {
        b"right": Entry(Token(1, 2, 0), None, 0, (), b"d" * 16),
        b"refused": Entry(Token(1, 3, 0), None, 0, (), b"e" * 16, refused=True),
        b"stranger": Entry(Token(1, 4, 0), None, 0, (), b"f" * 16),
        b"gone": Entry(Token(1, 5, 0), None, 0, (), None),
        b"unsettled": Entry(Token(1, 6, 0), None, 0, (), None),
    }
    owner: Any = _Behind()
    owner.state.suspected, owner.lock = {b"stranger": b"t", b"unsettled": b"t"}, asyncio.Lock()
    owner.state.entries = lambda keys: [entries[key] for key in keys]
    looked: list[bytes] = []

    async def look(owner: Any, wanted: dict[bytes, None], lower: None, upper: None) -> list[Seen]:
        looked.extend(wanted)
        return [Seen(key, None, entries[key], Content(Token(7, 0, 0), b"r" * 16)) for key in wanted]

    monkeypatch.setattr(agent, "_reached", AsyncMock(return_value=True))
    monkeypatch.setattr(agent, "_look", look)
    _, _, _, answer = await agent._sweep(owner, {**asked(Depth.sweep), "keys": list(entries)})
    assert looked == [b"refused", b"stranger", b"gone", b"unsettled"]
    # Only with the source's row beside it is it known what the unsettled one is.
    assert answer["undecided"] == [b"refused", b"stranger", b"unsettled"]
    assert [(each["key"], each["kind"]) for each in answer["suspected"]] == [(b"gone", "orphan")]


async def test_that_a_run_has_counted_reaches_the_owner(agent: Checks) -> None:
    """It is answered by nobody, and waits for nothing."""
    owner: Any = _Behind()
    assert await agent.answer(owner, asked(Depth.counted)) == []
    assert (owner.ordered, owner.waits) == ([("counted", "", "")], 0)


async def test_who_has_a_partition_wait_and_why_reach_its_owner(agent: Checks) -> None:
    """Also where it does not fit, or is behind: such an order is answered by what the owner says."""
    owner: Any = _Behind()
    owner.work.unprepared = "no such table"
    for depth in (Depth.hold, Depth.resume):
        assert await agent.answer(owner, {**asked(depth), "by": "ada", "reason": "a migration"}) == []
    assert owner.ordered == [("hold", "ada", "a migration"), ("release", "ada", "a migration")]


async def test_a_partition_that_waits_is_not_compared(agent: Checks) -> None:
    """What is not applied cannot be checked: the run is incomplete and says why."""
    owner: Any = _Behind()
    owner.held = Held(BEFORE_THE_NEXT, "a migration")
    ((_, _, _, answer),) = await agent.answer(owner, asked(Depth.checksums))
    assert (answer["incomplete"], owner.waits) == ("held: a migration", 0)


@pytest.mark.parametrize(("planned", "filled"), [("2", "1"), ("1", "2"), ("2", "")])
async def test_digests_of_two_mappings_are_not_compared(agent: Checks, planned: str, filled: str) -> None:
    """Neither where the plan has changed under the worker, nor where the replica was filled by another one."""
    owner: Any = _Behind()
    owner.state.mapping = filled
    ((_, _, _, answer),) = await agent.answer(owner, {**asked(Depth.checksums), "mapping": planned})
    assert (answer["incomplete"], owner.waits) == (checks.OTHER_MAPPING, 0)


@pytest.mark.parametrize("depth", [Depth.counts, Depth.checksums, Depth.sweep])
async def test_a_partition_that_is_behind_says_so_before_the_run_gives_up(agent: Checks, depth: Depth) -> None:
    """The run is incomplete, and knows why."""
    owner: Any = _Behind()
    ((_, _, _, answer),) = await agent.answer(owner, asked(depth))
    assert answer["incomplete"].startswith("bank.public.t[2] is behind: it did not reach the fence")
    assert owner.waits == 1


async def test_what_the_run_asks_next_waits_no_longer(agent: Checks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred requests, each waited for in vain, would hold up an order for hours."""
    owner: Any = _Behind()
    await agent.answer(owner, asked(Depth.checksums))
    monkeypatch.setattr(checks, "REACH_SECONDS", 60.0)
    await asyncio.wait_for(agent.answer(owner, asked(Depth.checksums)), 5)
    assert await agent.answer(owner, asked(Depth.log)) == []
    assert owner.log == (3, 9)


async def test_another_run_is_waited_for_anew(agent: Checks, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have come much later."""
    owner: Any = _Behind()
    await agent.answer(owner, asked(Depth.checksums))
    monkeypatch.setattr(checks, "REACH_SECONDS", 60.0)
    waiting = asyncio.create_task(agent.answer(owner, asked(Depth.checksums, "run-2")))
    assert await asyncio.wait({waiting}, timeout=0.05) == (set(), {waiting})
    waiting.cancel()


@pytest.mark.parametrize("depth", [Depth.counts, Depth.checksums, Depth.sweep])
async def test_a_partition_that_is_taken_over_while_it_is_waited_for_is_not_checked(
    agent: Checks, depth: Depth
) -> None:
    """Nothing is known of its rows: all of them would be drift, also what nobody else can see yet."""
    owner: Any = _Behind()

    async def taken_over(offset: int) -> bool:
        owner.state.takeover = Takeover(epoch=1, end=9)
        return True

    owner.passed, owner.swept = taken_over, AsyncMock(return_value=True)
    ((_, _, _, answer),) = await agent.answer(owner, asked(depth))
    assert answer["incomplete"] == checks.REBUILT


async def test_nor_one_that_is_taken_over_while_its_lock_is_waited_for(agent: Checks) -> None:
    """It was behind the fence already: there was nothing to wait for but the lock."""
    owner: Any = _Behind()
    owner.passed, owner.swept, owner.lock = AsyncMock(return_value=True), AsyncMock(return_value=True), asyncio.Lock()
    await owner.lock.acquire()
    answering = asyncio.create_task(agent.answer(owner, asked(Depth.checksums) | {"lower": b"", "upper": None}))
    for _ in range(10):
        await asyncio.sleep(0)
    owner.state.takeover = Takeover(epoch=1, end=9)
    owner.lock.release()
    ((_, _, _, answer),) = await answering
    assert answer["incomplete"] == checks.REBUILT


@pytest.mark.parametrize(("mode", "refused"), [("verify", True), ("invalidate", False), ("replicate", False)])
async def test_a_backfill_is_refused_where_somebody_else_brings_the_rows(mode: str, refused: bool) -> None:
    """Not of a cache: what readers have filled in, and is wrong, is deleted. It was refused as under verify."""
    owner: Any = _Behind()
    owner.work.mapping = SimpleNamespace(mode=mode, others_write=mode != "replicate")
    owner.is_unread = AsyncMock(return_value=False)
    owner.state.backfills = SimpleNamespace(waiting=())
    refusal = await checks._no_backfill(owner, {"mapping": "1"})
    assert (refusal or "").startswith("somebody else") is refused
