"""Requests of one partition: one after the other, and those who asked hear of it in time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest
from faust.types import TP

from streams.agents import checks, requests, retry
from streams.agents.events import Event
from streams.agents.requests import Requests
from streams.errors import HoldtrueError, NotReady
from streams.kafka.registry import RegistryRefused, RegistryUnavailable, UnknownSchema
from streams.kafka.wire import NotOurFormat
from streams.transport.batches import KafkaRecord

AT = TP("requests", 0)


class _Slow(Requests):
    """Takes a moment for each request; what was published together is in `published_at_once`."""

    def __init__(self, committed: asyncio.Event) -> None:
        nothing: Any = None
        self.paused: list[TP] = []
        self.resumed: list[TP] = []
        super().__init__(nothing, self._committed, self, nothing, nothing, nothing, {AT.topic: "changes"}, nothing)
        self.published_at_once: list[int] = []
        self._event = committed

    def pause(self, tp: TP) -> None:
        """Of the consumer."""
        self.paused.append(tp)

    def resume(self, tp: TP) -> None:
        """Of the consumer."""
        self.resumed.append(tp)

    async def _committed(self, tp: TP, offset: int) -> None:
        if offset == 2:
            self._event.set()

    async def answer(self, owner: Any, request: dict[str, Any]) -> list[Event]:
        """Never asked: the requests are no bytes."""
        raise NotImplementedError

    async def _one(self, tp: TP, record: KafkaRecord) -> list[Event]:
        await asyncio.sleep(0.02)
        return [("results", "run", "check-result", {})]

    async def _publish(self, tp: TP, said: list[Event]) -> None:
        self.published_at_once.append(len(said))

    def published(self) -> None:
        """Nothing to do."""


@pytest.mark.parametrize(("seconds", "together"), [(0.01, [1, 1, 1]), (60.0, [3])])
async def test_answers_do_not_wait_long_for_others(
    monkeypatch: pytest.MonkeyPatch, seconds: float, together: list[int]
) -> None:
    """Twenty slow ones together would look like silence; quick ones are committed together."""
    monkeypatch.setattr(requests, "GROUP_SECONDS", seconds)
    committed = asyncio.Event()
    slow = _Slow(committed)
    batch: Any = SimpleNamespace(tp=AT, records=[SimpleNamespace(offset=offset) for offset in range(3)])
    slow.offer(batch)
    await asyncio.wait_for(committed.wait(), 5)
    await slow.stop()
    assert slow.published_at_once == together


async def test_more_requests_than_may_wait_pause_their_partition_and_block_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who delivers requests delivers the changes, too, that they may be waiting for; and a rebalance ends the wait."""
    monkeypatch.setattr(requests, "WAITING_MAX", 2)
    committed = asyncio.Event()
    slow = _Slow(committed)
    records = [SimpleNamespace(offset=offset) for offset in range(3)]
    slow.offer(SimpleNamespace(tp=AT, records=records))  # type: ignore[arg-type]
    assert (slow.paused, slow.resumed) == ([AT], [])
    await asyncio.wait_for(committed.wait(), 5)
    await asyncio.sleep(0)
    assert slow.resumed == [AT]
    slow.offer(SimpleNamespace(tp=AT, records=records))  # type: ignore[arg-type]
    await slow.stop()
    assert slow.paused == [AT, AT]


class _Registry:
    """Away for the first calls; then a decoder that knows the schema."""

    def __init__(self, *errors: HoldtrueError) -> None:
        self._errors = list(errors)

    def decode(self, value: bytes) -> dict[str, Any]:
        """A request without end."""
        if self._errors:
            raise self._errors.pop(0)
        return {"deadline": datetime(9999, 1, 1, tzinfo=UTC)}


class _Inline:
    """Threads that are none."""

    async def run(self, work: Any, *args: Any) -> Any:
        """At once."""
        return work(*args)


class _Told(Requests):
    """Remembers what it was asked."""

    def __init__(self, *errors: HoldtrueError) -> None:
        nothing: Any = None
        decoder, threads = _Registry(*errors), _Inline()
        super().__init__(
            lambda tp: nothing, nothing, nothing, decoder, threads, nothing, {AT.topic: "changes"}, nothing
        )  # type: ignore[arg-type]
        self.asked: list[dict[str, Any]] = []

    async def answer(self, owner: Any, request: dict[str, Any]) -> list[Event]:
        """Nothing to say."""
        self.asked.append(request)
        return []

    def published(self) -> None:
        """Nothing to do."""


@pytest.mark.parametrize("error", [RegistryUnavailable("away"), UnknownSchema("not known"), RegistryRefused("not now")])
async def test_an_order_is_not_dropped_while_the_registry_does_not_tell_its_schema(
    monkeypatch: pytest.MonkeyPatch, error: HoldtrueError
) -> None:
    """A TRUNCATE that an owner never heard of would leave its rows for good, and nobody would say so."""
    monkeypatch.setattr(retry, "FIRST_SECONDS", 0.001)
    told = _Told(error, error)
    assert await told._one(AT, SimpleNamespace(offset=0, value=b"order")) == []  # type: ignore[arg-type]
    assert len(told.asked) == 1


async def test_what_may_be_a_request_is_waited_for_so_long_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stray record in a partition would keep everything behind it from being heard, for ever."""
    monkeypatch.setattr(retry, "FIRST_SECONDS", 0.001)
    monkeypatch.setattr(requests, "settings", lambda: SimpleNamespace(unknown_schema_seconds=0.01))
    told = _Told(*[UnknownSchema("not known")] * 1000)
    told.not_read = AsyncMock()  # type: ignore[method-assign]
    assert await told._one(AT, SimpleNamespace(offset=7, value=b"stray")) == []  # type: ignore[arg-type]
    assert (told.asked, told.not_read.await_args.args[:2]) == ([], (AT, 7))


async def test_what_is_no_request_is_passed_over_and_told() -> None:
    """Anybody can write to a topic; what was cut short may have been an order."""
    told = _Told(NotOurFormat("no Avro"))
    told.not_read = AsyncMock()  # type: ignore[method-assign]
    assert await told._one(AT, SimpleNamespace(offset=9, value=b"rubbish")) == []  # type: ignore[arg-type]
    assert (told.asked, told.not_read.await_args.args[:2]) == ([], (AT, 9))


async def test_an_order_that_cannot_be_taken_in_ends_the_worker_and_is_not_committed() -> None:
    """It is read again after the restart."""
    told = _Told()
    told.answer = AsyncMock(side_effect=NotReady("not ours"))  # type: ignore[method-assign]
    with pytest.raises(NotReady):
        await told._one(AT, SimpleNamespace(offset=0, value=b"order"))  # type: ignore[arg-type]


def test_an_answer_names_what_it_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number, and by bytes where keys are long; the rest is counted."""
    monkeypatch.setattr(checks, "NAMED_MAX", 4)
    monkeypatch.setattr(checks, "NAMED_BYTES_MAX", 10)
    assert [checks._named([b"k" * size] * 9) for size in (1, 3, 5, 11)] == [4, 3, 2, 0]


class _Said(_Told):
    """Answers, as the owner of a partition that is still ours or is not."""

    def __init__(self, *, ours: bool) -> None:
        super().__init__()
        self.sent: list[Event] = []
        self.order: list[str] = []
        events: Any = SimpleNamespace(send=self._send, flush=AsyncMock(side_effect=lambda: self.order.append("there")))
        self._events = events
        self._owner_of = lambda tp: SimpleNamespace(prove_ownership=self._prove)  # type: ignore[assignment,return-value]
        self._ours = ours

    def _send(self, *event: Any) -> None:
        self.order.append("said")
        self.sent.append(event)  # type: ignore[arg-type]

    async def _prove(self) -> bool:
        self.order.append("proven")
        return self._ours

    def published(self) -> None:
        """Acknowledged."""
        self.order.append("published")


ANSWER: Event = ("checks.results", "run", "check-result", {})


async def test_an_answer_is_given_by_who_has_proven_that_the_partition_is_its_own() -> None:
    """Proven first: whoever can commit now had the partition while it looked."""
    said = _Said(ours=True)
    await said._publish(AT, [ANSWER])
    assert said.sent == [ANSWER]
    assert said.order == ["proven", "said", "there", "published"]


async def test_a_worker_that_lost_the_partition_says_nothing() -> None:
    """What it compared with is old: rows would be told as drift, or as verified, that somebody else owns by now."""
    said = _Said(ours=False)
    await said._publish(AT, [ANSWER])
    assert (said.sent, said.order) == ([], ["proven"])


async def test_nothing_to_say_needs_no_proof() -> None:
    """An order is taken in without an answer."""
    said = _Said(ours=True)
    await said._publish(AT, [])
    assert said.order == []
