"""The consumer and the thread its driver lives in."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from mode.threads import QueueServiceThread

from streams.transport.consumer import BatchConsumer, Consumer


class _Driver(QueueServiceThread):  # type: ignore[misc]
    """A driver's thread that notes from where it is asked to seek."""

    sought_from: int | None = None

    def seek(self, partition: TP, offset: int) -> None:
        """Only from its own thread may the driver's records be touched."""
        self.sought_from = threading.get_ident()


async def test_seeking_is_done_in_the_drivers_own_thread() -> None:
    """From ours it took away the records that a fetch was going through: one start in some dozens ended so."""
    driver = _Driver()
    await driver.start()
    try:
        consumer: Any = SimpleNamespace(_thread=driver)
        await BatchConsumer._seek(consumer, TP("changes", 0), 7)
        assert driver.sought_from not in (None, threading.get_ident())
    finally:
        await driver.stop()


CHANGES, CHANGELOG = TP("changes", 0), TP("changelog", 0)


class _Seeking:
    """A consumer's Faust, as far as moving partitions matters: it notes what is done while they are moved."""

    def __init__(self) -> None:
        self.generation = 3
        self.delivered: list[TP] = []
        self.fetched = asyncio.Event()
        self.moved = asyncio.Event()

    def consumer(self) -> BatchConsumer:
        """A consumer of generation 3 whose fetches end when `fetched` is set, and whose moves when `moved` is."""
        consumer = BatchConsumer.__new__(BatchConsumer)
        consumer.app = SimpleNamespace(consumer_generation_id=self.generation, is_ordered=lambda tp: True)
        consumer.flow_active, consumer.can_resume_flow = True, asyncio.Event()
        consumer.suspend_flow = asyncio.Event()
        consumer._taking, consumer._sought_generation = asyncio.Lock(), None
        consumer._is_changelog_tp = lambda tp: tp == CHANGELOG
        consumer._wait_next_records = self._fetch
        consumer._deliver = self._deliver
        consumer._seek_all = self.moved.wait
        consumer.sleep = asyncio.sleep
        consumer.wait = lambda event: event.wait()
        return consumer

    async def _fetch(self, seconds: float) -> tuple[dict[TP, list[int]], None]:
        await self.fetched.wait()
        return {CHANGES: [1], CHANGELOG: [1]}, None

    async def _deliver(self, tp: TP, fetched: list[int]) -> None:
        self.delivered.append(tp)


async def test_nothing_is_delivered_while_partitions_are_moved_nor_before_the_flow_goes_on() -> None:
    """Faust empties the agents' queues when it lets the flow go on: what was in them was lost, in silence."""
    faust = _Seeking()
    consumer = faust.consumer()
    consumer._sought_generation = faust.generation
    taking = asyncio.create_task(consumer._drain_once())
    await asyncio.sleep(0)
    seeking = asyncio.create_task(consumer.perform_seek())
    await asyncio.sleep(0)
    faust.fetched.set()  # a fetch from where the partitions were before
    await taking
    faust.moved.set()
    await seeking
    waiting = asyncio.create_task(consumer._drain_once())
    assert await asyncio.wait({waiting}, timeout=0.05) == (set(), {waiting})
    assert faust.delivered == []
    consumer.resume_flow()
    await waiting
    assert faust.delivered == [CHANGES, CHANGELOG]


async def test_what_is_fetched_before_its_partition_is_moved_is_of_anywhere() -> None:
    """Faust resumes partitions first and moves them then; only the changelog is read before that."""
    faust = _Seeking()
    consumer = faust.consumer()
    consumer._sought_generation = faust.generation - 1
    faust.fetched.set()
    await consumer._drain_once()
    assert faust.delivered == [CHANGELOG]


async def test_a_take_that_waited_for_the_lock_does_not_wait_for_the_flow_with_it() -> None:
    """Whoever has ended the flow may be waiting for the lock."""
    faust = _Seeking()
    consumer = faust.consumer()
    async with consumer._taking:
        taking = asyncio.create_task(consumer._drain_once())
        await asyncio.sleep(0)
        consumer.stop_flow()
    await asyncio.wait_for(taking, 5)
    assert faust.delivered == []


REQUESTS, SIGNALS = TP("requests", 0), TP("signals", 0)


async def test_every_partition_is_moved_also_one_of_which_nothing_is_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Faust leaves that where it is; what was fetched of it before, and not delivered, would never be asked again."""
    committed = {CHANGES: 5, REQUESTS: None, SIGNALS: 7, CHANGELOG: None}

    async def to_committed(consumer: Any) -> None:
        consumer._read_offset.update(committed)

    async def earliest(*tps: TP) -> dict[TP, int]:
        return {REQUESTS: 3, CHANGES: 0}

    async def seek(tp: TP, offset: int) -> None:
        moved[tp] = offset

    moved: dict[TP, int] = {}
    monkeypatch.setattr(Consumer, "perform_seek", to_committed)
    consumer = _Seeking().consumer()
    del consumer._seek_all
    consumer.app.start_offset = lambda tp, at: 2 if tp == CHANGES else None
    consumer._read_offset = {}
    consumer.assignment = lambda: set(committed)
    consumer.earliest_offsets, consumer.seek = earliest, seek
    await consumer.perform_seek()
    assert moved == {CHANGES: 2, REQUESTS: 3}


async def test_nobody_looks_whether_streams_that_acknowledge_nothing_are_slow() -> None:
    """That look asked a partition for the position that aiokafka was just finding anew, and ended the worker."""

    class _Moving:
        def verify_event_path(self, now: float, tp: TP) -> None:
            raise AssertionError("it has no position")

    consumer = BatchConsumer.__new__(BatchConsumer)
    consumer._thread, consumer.assignment, consumer.sleep = _Moving(), lambda: {CHANGES}, asyncio.sleep
    consumer._stopped = consumer._shutdown = consumer._crashed = asyncio.Event()
    await consumer.verify_all_partitions_active()
