"""Reading a topic between two moments, by whoever is in no group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams.errors import StoreUnavailable
from streams.kafka.admin import driver_error, unavailable

POLL_SECONDS: Final = 15.0


class Read(NamedTuple):
    """A record, as its bytes."""

    partition: int
    offset: int
    value: bytes


def end_offsets(admin: AdminClient, topic: str, partitions: int) -> list[int]:
    """End offsets of a topic, by partition: what is before them was in Kafka before this call returned.

    Raises what the driver raises.
    """
    wanted = {TopicPartition(topic, partition): OffsetSpec.latest() for partition in range(partitions)}
    found = admin.list_offsets(wanted, request_timeout=POLL_SECONDS)
    return [found[partition].result(POLL_SECONDS).offset for partition in wanted]


def between(bootstrap: str, topic: str, begins: Mapping[int, int], ends: Mapping[int, int]) -> Iterator[Read]:
    """The records from `begins` on and before `ends`, by partition, as far as they are there still.

    Raises StoreUnavailable where Kafka does not give them within POLL_SECONDS.
    """
    left = {partition: end for partition, end in ends.items() if begins[partition] < end}
    if not left:
        return
    reads = {"group.id": "holdtrue-reading", "enable.auto.commit": False, "enable.partition.eof": True, "log_level": 0}
    consumer = Consumer({"bootstrap.servers": bootstrap, "auto.offset.reset": "earliest", **reads})
    try:
        consumer.assign([TopicPartition(topic, partition, begins[partition]) for partition in left])
        while left:
            if (message := consumer.poll(POLL_SECONDS)) is None:
                raise StoreUnavailable(f"{topic} cannot be read to its end.", "See whether Kafka is up; run it again.")
            partition, error = message.partition(), message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise unavailable(bootstrap, error)
            if error is None and message.offset() < left.get(partition, 0):
                yield Read(partition, message.offset(), message.value() or b"")
            if error is not None or message.offset() + 1 >= left.get(partition, 0):
                left.pop(partition, None)
    except KafkaException as error:
        raise unavailable(bootstrap, driver_error(error)) from None
    finally:
        consumer.close()
