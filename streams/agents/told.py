"""What was told of drift, by whomever: the drift topic, read by a worker that has more to tell than the plan names."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.agents.retry import until_available
from streams.agents.table import Threads
from streams.drift.told import NAMED_MAX, Told
from streams.kafka.admin import driver_error, unavailable
from streams.kafka.reading import between, end_offsets
from streams.kafka.registry import Registry, UnknownSchema
from streams.kafka.topics import DRIFT_PARTITIONS
from streams.kafka.wire import Decoder, NotOurFormat

log = logging.getLogger(__name__)


class Listening(Protocol):
    """Where it is heard what was told."""

    async def heard(self) -> Told:
        """Everything that was in Kafka before this call."""


class DriftTopic:
    """The drift topic, as one replica's worker reads it: once from its beginning, and then what has come since.

    Compacted, it holds one record for each drift of a year, so that a healthy worker does not read it at all.
    """

    def __init__(self, bootstrap: str, topic: str, registry: Registry, threads: Threads, replica: str) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._decoder = Decoder("drift", registry)
        self._threads = threads
        self._told = Told(replica)
        self._next = [0] * DRIFT_PARTITIONS
        self._lock = asyncio.Lock()

    async def heard(self) -> Told:
        """Everything that was in Kafka before this call; tried again while it cannot be read."""
        async with self._lock:
            await until_available("drift", lambda: self._threads.run(self._read))
        return self._told

    def _read(self) -> None:
        left_out = self._told.left_out
        admin = AdminClient({"bootstrap.servers": self._bootstrap, "log_level": 0})
        try:
            ends = end_offsets(admin, self._topic, DRIFT_PARTITIONS)
        except (KafkaException, TimeoutError) as error:
            raise unavailable(self._bootstrap, driver_error(error)) from None
        # A topic that ends before what was read is another one.
        begins = {n: here if here <= ends[n] else 0 for n, here in enumerate(self._next)}
        for read in between(self._bootstrap, self._topic, begins, dict(enumerate(ends))):
            self._take(read.offset, read.value)
            self._next[read.partition] = read.offset + 1
        self._next = ends
        if self._told.left_out > left_out:
            log.warning("%s names more than %d keys: some are counted beside their records", self._topic, NAMED_MAX)

    def _take(self, offset: int, value: bytes) -> None:
        try:
            self._told.take(offset, self._decoder.decode(value))
        except (NotOurFormat, UnknownSchema):
            log.warning("a record of %s cannot be read: whose drift it names is not known", self._topic)
