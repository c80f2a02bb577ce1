"""Reading one of our topics as it is: to its present end, or on and on. Joins no group and commits nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from streams.control.audit import Entry
from streams.control.offsets import TopicMissing
from streams.control.trail import SCHEMA, entry_of
from streams.kafka.admin import KafkaUnavailable
from streams.kafka.wire import Decoder, NotOurFormat, Schemas
from streams.plan.model import Plan

log = logging.getLogger(__name__)

TIMEOUT_SECONDS: Final = 15.0
# A reader that gets nothing for this long while the end is ahead of it gives up.
SILENCE_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.5
QUEUED_KBYTES_MAX: Final = 4096


class TopicReader:
    """Reads the records of one topic. Raises KafkaUnavailable, TopicMissing, and what decoding raises."""

    def __init__(self, bootstrap: str, topic: str, schema: str, schemas: Schemas) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._decoder = Decoder(schema, schemas)
        self.unreadable: list[str] = []
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "client.id": "holdtrue-reader",
                "group.id": "holdtrue-reader",  # never joined
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                # What is fetched ahead of whoever reads.
                "queued.max.messages.kbytes": QUEUED_KBYTES_MAX,
                # Else it stands still for a second whenever that is full.
                "fetch.queue.backoff.ms": 10,
                "log_level": 0,
            }
        )

    def to_end(self) -> Iterator[dict[str, Any]]:
        """Every record up to where the topic's partitions end now."""
        open_partitions = self._assign(OFFSET_BEGINNING)
        heard = time.monotonic()
        while open_partitions:
            message = self._consumer.poll(POLL_SECONDS)
            if message is None:
                if time.monotonic() - heard > SILENCE_SECONDS:
                    raise self._unavailable(f"nothing came for {SILENCE_SECONDS:.0f} s")
                continue
            heard = time.monotonic()
            if self._at_end(message):
                open_partitions.discard(message.partition())
            elif message.value() is not None and (record := self._decoded(message)) is not None:
                yield record

    def _decoded(self, message: Any) -> dict[str, Any] | None:
        """A record, or None for one that is not ours: kept in `unreadable`, so that nobody passes it over unsaid."""
        try:
            return self._decoder.decode(message.value())
        except NotOurFormat:
            self.unreadable.append(f"{self._topic}[{message.partition()}]@{message.offset()}")
            log.error("%s is not a record of ours", self.unreadable[-1])
            return None

    def follow(self, *, from_beginning: bool) -> Iterator[dict[str, Any] | None]:
        """Every record from now on (or from the beginning), without end; None when none came for a moment."""
        self._assign(OFFSET_BEGINNING if from_beginning else OFFSET_END)
        while True:
            message = self._consumer.poll(POLL_SECONDS)
            if message is None or self._at_end(message) or message.value() is None:
                yield None
            else:
                yield self._decoded(message)

    def close(self) -> None:
        """Give back the connection."""
        self._consumer.close()

    def _assign(self, offset: int) -> set[int]:
        try:
            metadata = self._consumer.list_topics(self._topic, timeout=TIMEOUT_SECONDS).topics[self._topic]
        except KafkaException as error:
            raise self._unavailable(error.args[0].str()) from None
        if metadata.error is not None or not metadata.partitions:
            raise TopicMissing(f"The topic {self._topic} is not there.", "Run: holdtrue topics apply")
        self._consumer.assign([TopicPartition(self._topic, number, offset) for number in metadata.partitions])
        return set(metadata.partitions)

    def _at_end(self, message: Any) -> bool:
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise self._unavailable(error.str())
        return error is not None

    def _unavailable(self, reason: str) -> KafkaUnavailable:
        return KafkaUnavailable(
            f"Kafka at {self._bootstrap} did not give the records of {self._topic}: {reason}.",
            "Start it (holdtrue up) or correct kafka.bootstrap of the plan.",
        )


class AuditTopic:
    """The audit topic of a plan. unreadable: places of records that are none of ours, as far as it was read."""

    def __init__(self, plan: Plan, schemas: Schemas) -> None:
        self._plan = plan
        self._schemas = schemas
        self.unreadable: list[str] = []

    def entries(self) -> Iterator[Entry]:
        """All of them in the topic's order, repeats included, as a stream."""
        reader = TopicReader(self._plan.kafka.bootstrap.resolve(), self._plan.own_topic("audit"), SCHEMA, self._schemas)
        self.unreadable = reader.unreadable
        try:
            yield from map(entry_of, reader.to_end())
        finally:
            reader.close()
