"""Reads topics from the start, decoding the Confluent wire format as any stranger would."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fastavro
from confluent_kafka import Consumer, TopicPartition

from streams.kafka.registry import Registry


@dataclass(frozen=True)
class Record:
    """One record with key and value decoded; `size` is the value's bytes."""

    partition: int
    key: Any
    value: Any
    size: int


class Log:
    """A reader of whole topics."""

    def __init__(self, bootstrap: str, registry: str) -> None:
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "tests", "log_level": 0, "enable.auto.commit": False}
        )
        self._registry = Registry(registry)

    def read(self, topic: str) -> list[Record]:
        """Everything in the topic now; keys are Avro."""
        return [
            Record(message.partition(), self.decode(message.key()), self.decode(value), len(value or b""))
            for message in self._messages(topic)
            for value in [message.value()]
        ]

    def values(self, topic: str) -> list[Any]:
        """Values of everything in the topic now, for topics whose keys are not Avro."""
        return [self.decode(message.value()) for message in self._messages(topic)]

    def _messages(self, topic: str) -> list[Any]:
        ends = self.ends(topic)
        found: list[Any] = []
        for partition, end in ends.items():
            self._consumer.assign([TopicPartition(topic, partition, 0)])
            deadline = time.monotonic() + 20
            while end and time.monotonic() < deadline:
                message = self._consumer.poll(1.0)
                if message is None:
                    continue
                assert message.error() is None, message.error()
                found.append(message)
                if message.offset() >= end - 1:
                    break
        return found

    def ends(self, topic: str) -> dict[int, int]:
        """End offset of each partition."""
        partitions = self._consumer.list_topics(topic, timeout=10).topics[topic].partitions
        return {n: self._consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=10)[1] for n in partitions}

    def until(self, topic: str, seen: Callable[[list[Record]], bool]) -> list[Record]:
        """Read the topic again and again until `seen` is true of it."""
        found: list[Record] = []

        def enough() -> bool:
            found[:] = self.read(topic)
            return seen(found)

        self.wait(enough, f"records in {topic}")
        return found

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 40.0) -> None:
        """Until `condition` is true; an AssertionError names what was waited for."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
            time.sleep(0.05)

    def decode(self, encoded: bytes | None) -> Any:
        """The record behind byte 0 and a schema id; None stays None."""
        if encoded is None:
            return None
        assert encoded[0] == 0
        schema = self._registry.schema(int.from_bytes(encoded[1:5], "big"))
        return fastavro.schemaless_reader(io.BytesIO(encoded[5:]), fastavro.parse_schema(schema))

    def close(self) -> None:
        """Give back connections."""
        self._consumer.close()
        self._registry.close()
