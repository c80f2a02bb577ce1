"""Requests to owners: check and repair requests of one partition are answered one after the other, in their order."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from faust.types import TP

from streams.agents.announce import signal
from streams.agents.events import Event, Events
from streams.agents.owner import Owner
from streams.agents.retry import SchemaNotThere, until_available
from streams.agents.table import Threads
from streams.control import unreadable
from streams.errors import HoldtrueError
from streams.kafka.registry import RegistryRefused, UnknownSchema
from streams.kafka.wire import Decoder, NotOurFormat
from streams.settings import settings
from streams.transport.batches import Batch, Fetching, KafkaRecord

log = logging.getLogger(__name__)

# Requests that may wait for one partition before no more are fetched of it.
WAITING_MAX = 200
# Requests whose answers are acknowledged and committed together.
GROUP_MAX = 20
# Nor does an answer wait for longer than this for others to join it: who asked must hear that work goes on.
GROUP_SECONDS = 1.0


class Requests(ABC):
    """Takes requests off one kind of topic and answers each as the owner of its partition.

    A request's offset is committed after its answer is acknowledged: answered twice at most, never lost.
    """

    def __init__(
        self,
        owner_of: Callable[[TP], Owner],
        commit: Callable[[TP, int], Any],
        fetching: Fetching,
        decoder: Decoder,
        threads: Threads,
        events: Events,
        changes: Mapping[str, str],
        crash: Callable[[BaseException], Awaitable[None]],
    ) -> None:
        self._owner_of = owner_of
        self._commit = commit
        self._fetching = fetching
        self._decoder = decoder
        self._threads = threads
        self._events = events
        self._changes = changes  # request topic → change topic
        self._crash = crash
        self._queues: dict[TP, asyncio.Queue[KafkaRecord]] = {}
        self._tasks: dict[TP, asyncio.Task[None]] = {}
        self._paused: set[TP] = set()

    @abstractmethod
    async def answer(self, owner: Owner, request: dict[str, Any]) -> list[Event]:
        """Do what the request asks; what is to be said about it. What it raises ends the worker: nothing is dropped."""

    def change_partition(self, tp: TP) -> TP:
        """The change topic's partition that a request topic's partition belongs to: they are co-partitioned."""
        return TP(self._changes[tp.topic], tp.partition)

    def partners(self, assigned: Iterable[TP]) -> list[TP]:
        """The change topics' partitions that must be ours beside the assigned ones of requests."""
        return [self.change_partition(tp) for tp in assigned if tp.topic in self._changes]

    def offer(self, batch: Batch) -> None:
        """Queue a fetch of requests; never blocks. Who delivers it delivers changes, too, which a request may wait for.

        While too many are queued the partition is paused.
        """
        tp = batch.tp
        if tp not in self._queues:
            self._queues[tp] = asyncio.Queue()
            self._tasks[tp] = asyncio.create_task(self._run(tp), name=f"requests {tp.topic}[{tp.partition}]")
        for record in batch.records:
            self._queues[tp].put_nowait(record)
        if self._queues[tp].qsize() >= WAITING_MAX:
            self._paused.add(tp)
            self._fetching.pause(tp)

    async def stop(self) -> None:
        """Drop what is queued: it will be read again by the partition's next owner."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        self._queues.clear()
        self._paused.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, tp: TP) -> None:
        try:
            await self._answer_all(tp)
        except Exception as error:
            # As for owners: an error nobody foresaw ends the worker, it does not end one partition's answers silently.
            await self._crash(error)

    async def _answer_all(self, tp: TP) -> None:
        queue, loop = self._queues[tp], asyncio.get_running_loop()
        while True:
            record = await queue.get()
            ends = loop.time() + GROUP_SECONDS
            said, answered = await self._one(tp, record), 1
            while answered < GROUP_MAX and loop.time() < ends and not queue.empty():
                record = queue.get_nowait()
                said += await self._one(tp, record)
                answered += 1
            await self._publish(self.change_partition(tp), said)
            await self.settle(self.change_partition(tp))
            await self._commit(tp, record.offset)
            if tp in self._paused and queue.qsize() < WAITING_MAX:
                self._paused.discard(tp)
                self._fetching.resume(tp)

    async def _publish(self, tp: TP, said: list[Event]) -> None:
        # A zombie's entries are old. Only who can still commit the partition's offset may speak for it.
        if said and await self._owner_of(tp).prove_ownership():
            for event in said:
                self._events.send(*event)
            await self._events.flush()
            self.published()

    async def settle(self, tp: TP) -> None:
        """Called before requests are committed, with the partition of the changes: what they began may not be done."""
        return

    @abstractmethod
    def published(self) -> None:
        """Called when answers are acknowledged."""

    async def _one(self, tp: TP, record: KafkaRecord) -> list[Event]:
        if record.value is None:
            return []
        try:
            request = await self._decoded(record.value)
        except (NotOurFormat, UnknownSchema) as error:
            await self.not_read(tp, record.offset, error)
            return []
        remaining = (request["deadline"] - datetime.now(UTC)).total_seconds()
        if remaining <= 0:
            log.info("a request of %s is past its deadline", request.get("run") or request.get("repair"))
            return []
        try:
            async with asyncio.timeout(remaining):
                return await self.answer(self._owner_of(self.change_partition(tp)), request)
        except TimeoutError:
            log.warning("a request at %s[%d]@%d was not done by its deadline", tp.topic, tp.partition, record.offset)
            return []

    async def not_read(self, tp: TP, offset: int, error: HoldtrueError) -> None:
        """Pass over what may have been a request: it cannot be read, or the registry does not know its schema."""
        log.error("what may be a request at %s[%d]@%d was passed over: %s", tp.topic, tp.partition, offset, error)
        place = {"topic": tp.topic, "partition": str(tp.partition), "offset": str(offset)}
        work = self._owner_of(self.change_partition(tp)).work
        self._events.send(*signal(work, unreadable.SIGNAL, {**place, "error": error.what}))
        await self._events.flush()

    async def _decoded(self, value: bytes) -> dict[str, Any]:
        """The request. The registry is waited for: an order that was skipped would be carried out by nobody.

        Raises UnknownSchema when it goes on not knowing the schema for the bounded time.
        """
        patience = time.monotonic() + settings().unknown_schema_seconds
        return await until_available("registry", lambda: self._threads.run(self._decode, value, patience))

    def _decode(self, value: bytes, patience: float) -> dict[str, Any]:
        try:
            return self._decoder.decode(value)
        except UnknownSchema as error:
            if time.monotonic() > patience:
                raise
            raise SchemaNotThere(error.what, error.hint) from None
        except RegistryRefused as error:
            raise SchemaNotThere(error.what, error.hint) from None
