"""Requests to owners: check and repair requests of one partition are answered one after the other, in their order."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from faust.types import TP

from streams.agents.owner import Owner
from streams.agents.table import Threads
from streams.errors import HoldtrueError
from streams.kafka.wire import Decoder
from streams.transport.batches import Batch, KafkaRecord

log = logging.getLogger(__name__)

# Requests that may wait for one partition; more are left in Kafka by pausing it.
WAITING_MAX = 200


class Requests(ABC):
    """Takes requests off one kind of topic and answers each as the owner of its partition.

    A request's offset is committed after its answer is acknowledged: answered twice at most, never lost.
    """

    def __init__(
        self, owner_of: Callable[[TP], Owner], commit: Callable[[TP, int], Any], decoder: Decoder, threads: Threads
    ) -> None:
        self._owner_of = owner_of
        self._commit = commit
        self._decoder = decoder
        self._threads = threads
        self._queues: dict[TP, asyncio.Queue[KafkaRecord]] = {}
        self._tasks: dict[TP, asyncio.Task[None]] = {}

    @abstractmethod
    async def answer(self, owner: Owner, request: dict[str, Any]) -> None:
        """Do what the request asks and publish the answer. Raises HoldtrueError when it cannot be answered."""

    @abstractmethod
    def change_partition(self, tp: TP) -> TP:
        """The change topic's partition that a request topic's partition belongs to."""

    async def handle(self, batch: Batch) -> None:
        """Queue a fetch of requests; waits while too many are queued."""
        tp = batch.tp
        if tp not in self._queues:
            self._queues[tp] = asyncio.Queue(WAITING_MAX)
            self._tasks[tp] = asyncio.create_task(self._run(tp), name=f"requests {tp.topic}[{tp.partition}]")
        for record in batch.records:
            await self._queues[tp].put(record)

    async def stop(self) -> None:
        """Drop what is queued: it will be read again by the partition's next owner."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        self._queues.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, tp: TP) -> None:
        queue = self._queues[tp]
        while True:
            record = await queue.get()
            try:
                await self._one(tp, record)
            except HoldtrueError as error:
                # Whoever asked sees that no answer came by the deadline: the run counts it as not covered.
                log.warning("a request at %s[%d]@%d was not answered: %s", tp.topic, tp.partition, record.offset, error)
            await self._commit(tp, record.offset)

    async def _one(self, tp: TP, record: KafkaRecord) -> None:
        if record.value is None:
            return
        request = await self._threads.run(self._decoder.decode, record.value)
        remaining = (request["deadline"] - datetime.now(UTC)).total_seconds()
        if remaining <= 0:
            log.info("a request of %s is past its deadline", request.get("run") or request.get("repair"))
            return
        try:
            async with asyncio.timeout(remaining):
                await self.answer(self._owner_of(self.change_partition(tp)), request)
        except TimeoutError:
            log.warning("a request at %s[%d]@%d was not done by its deadline", tp.topic, tp.partition, record.offset)
