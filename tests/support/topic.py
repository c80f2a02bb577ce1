"""Everything in a topic of ours, decoded as any stranger would who has the registry."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import fastavro
import requests
from confluent_kafka import Consumer, TopicPartition

READ_SECONDS_MAX = 20


def raw(consumer: Consumer, topic: str) -> list[Any]:
    """All messages of a topic, partition by partition."""
    found: list[Any] = []
    described = consumer.list_topics(topic, timeout=10).topics[topic]
    for partition in described.partitions:
        low, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
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
    schemas: dict[int, Any] = {}

    def decoded(value: bytes) -> dict[str, Any]:
        schema_id = int.from_bytes(value[1:5], "big")
        if schema_id not in schemas:
            text = requests.get(f"{registry}/schemas/ids/{schema_id}", timeout=10).json()["schema"]
            schemas[schema_id] = fastavro.parse_schema(json.loads(text))
        record: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), schemas[schema_id], None)
        return dict(record)

    return [decoded(message.value()) for message in raw(consumer, topic) if message.value() is not None]
