"""Which plan holdtrue's own topics belong to: two plans in the same ones would answer each other's checks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streams.errors import HoldtrueError
from streams.plan.model import Plan

# Where every plan's processes write sooner or later.
WRITTEN: Final = ("signals", "audit", "drift", "checks.results", "repairs.results", "dlq")
ANSWER_SECONDS: Final = 10.0
_SOURCE: Final = b"/holdtrue/"


class TopicsTaken(HoldtrueError):
    """Another plan writes to the topics that `kafka.topics` names."""


def refuse_another_plans(plan: Plan) -> None:
    """Raises TopicsTaken where the newest records of the plan's own topics name another plan as their source.

    A Kafka that does not answer is none of this: whoever needs it says so.
    """
    try:
        others = {found for found in _writers(plan) if found != plan.name}
    except KafkaException:
        return
    if others:
        raise TopicsTaken(
            f"The topics {plan.own_topic('*')} belong to the plan {min(others)}: it would take this plan's checks and "
            "drift for its own, and this one its.",
            "Give this plan topics of its own: kafka.topics. If this is that plan under another name, keep its name.",
        )


def _writers(plan: Plan) -> Iterator[str]:
    settings: dict[str, Any] = {
        "bootstrap.servers": plan.kafka.bootstrap.resolve(), "group.id": "holdtrue-belonging",
        "enable.auto.commit": False, "log_level": 0,
    }  # fmt: skip
    consumer = Consumer(settings)
    try:
        newest = [place for name in WRITTEN for place in _newest(consumer, plan.own_topic(name))]
        consumer.assign(newest)
        left, deadline = {(place.topic, place.partition) for place in newest}, time.monotonic() + ANSWER_SECONDS
        while left and time.monotonic() < deadline:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                left.discard((message.topic(), message.partition()))
                yield from _named(message.headers() or [])
    finally:
        consumer.close()


def _newest(consumer: Consumer, topic: str) -> Iterator[TopicPartition]:
    """Where the last record of each partition is, of those that have any; nothing for a topic that is not there."""
    found = consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic]
    for partition in found.partitions:
        low, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ANSWER_SECONDS)
        if low < end:
            yield TopicPartition(topic, partition, end - 1)


def _named(headers: list[tuple[str, bytes | None]]) -> Iterator[str]:
    for name, value in headers:
        if name == "ce_source" and value and value.startswith(_SOURCE):
            yield value.removeprefix(_SOURCE).partition(b"/")[0].decode(errors="replace")
