"""Everything in a topic of ours, decoded as any stranger would who has the registry."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from typing import Any

import fastavro
import requests
from confluent_kafka import Consumer, TopicPartition

READ_SECONDS_MAX = 20


class Decoder:
    """Decodes keys and values by their writer's schema, each of which is asked for once."""

    def __init__(self, registry: str) -> None:
        self._registry = registry
        self._schemas: dict[int, Any] = {}

    def decoded(self, framed: bytes | None) -> Any:
        """What is behind byte 0 and the schema id; None stays None."""
        if framed is None:
            return None
        schema_id = int.from_bytes(framed[1:5], "big")
        if schema_id not in self._schemas:
            text = requests.get(f"{self._registry}/schemas/ids/{schema_id}", timeout=10).json()["schema"]
            self._schemas[schema_id] = fastavro.parse_schema(json.loads(text))
        return fastavro.schemaless_reader(io.BytesIO(framed[5:]), self._schemas[schema_id], None)


def raw(consumer: Consumer, topic: str, since: Mapping[tuple[str, int], int] | None = None) -> list[Any]:
    """All messages of a topic, partition by partition. since: from these offsets of topic and partition on."""
    found: list[Any] = []
    described = consumer.list_topics(topic, timeout=10).topics[topic]
    for partition in described.partitions:
        low, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        low = max(low, (since or {}).get((topic, partition), 0))
        if end <= low:
            continue
        consumer.assign([TopicPartition(topic, partition, low)])
        deadline = time.monotonic() + READ_SECONDS_MAX
        while time.monotonic() < deadline:
            message = consumer.poll(0.5)
            if message is None:
                continue
            assert message.error() is None, message.error()
            found.append(message)
            if message.offset() >= end - 1:
                break
    return found


def values(consumer: Consumer, topic: str, registry: str) -> list[dict[str, Any]]:
    """The values of all messages, by their writer's schema."""
    decoder = Decoder(registry)
    return [dict(decoder.decoded(m.value())) for m in raw(consumer, topic) if m.value() is not None]
