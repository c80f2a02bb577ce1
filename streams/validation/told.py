"""What a run has told before it was interrupted: the drift topic itself says so."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.errors import StoreUnavailable
from streams.kafka.admin import driver_error, unavailable
from streams.kafka.registry import UnknownSchema
from streams.kafka.wire import Decoder, NotOurFormat
from streams.validation.open import Opener
from streams.validation.report import Report

POLL_SECONDS = 15.0


def told_by(opener: Opener, report: Report, ends: list[int]) -> set[str]:
    """Ids of the drift that this run has told of, between its beginning and these ends of the drift topic."""
    topic, decoder = opener.plan.own_topic("drift"), Decoder("drift", opener.registry)
    left = {n: end for n, (begin, end) in enumerate(zip(report.drift_before, ends, strict=True)) if begin < end}
    reads = {"group.id": "holdtrue-told", "enable.auto.commit": False, "enable.partition.eof": True, "log_level": 0}
    consumer = Consumer({"bootstrap.servers": opener.bootstrap, "auto.offset.reset": "earliest", **reads})
    try:
        consumer.assign([TopicPartition(topic, n, report.drift_before[n]) for n in left])
        told = set()
        while left:
            if (message := consumer.poll(POLL_SECONDS)) is None:
                raise StoreUnavailable(f"{topic} cannot be read to its end.", "See whether Kafka is up; run it again.")
            number, error = message.partition(), message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise unavailable(opener.bootstrap, error)
            if error is None:
                told |= _of(decoder, message.value(), report.run)
            if error is not None or message.offset() + 1 >= left.get(number, 0):
                left.pop(number, None)
        return told
    except KafkaException as error:
        raise unavailable(opener.bootstrap, driver_error(error)) from None
    finally:
        consumer.close()


def _of(decoder: Decoder, value: bytes | None, run: str) -> set[str]:
    try:
        event = decoder.decode(value or b"")
    except (NotOurFormat, UnknownSchema):
        return set()
    return {event["id"]} if event["run"] == run else set()
