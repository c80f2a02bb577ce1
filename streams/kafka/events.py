"""Writes the project's own events: schemas looked up, never registered; nothing counted as sent before it is acked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from confluent_kafka import KafkaError, KafkaException, Producer

from streams.errors import HoldtrueError, StoreUnavailable
from streams.kafka.registry import SchemaId, Subject
from streams.kafka.schemas import schema, value_subject
from streams.kafka.topics import DEAD_LETTER_BYTES_MAX
from streams.kafka.wire import Encoder, Headers

# Events waiting for their acknowledgement. A full queue makes `send` wait, which slows the caller: that is wanted.
QUEUE_RECORDS_MAX: Final = 20_000
QUEUE_KBYTES_MAX: Final = 64 * 1024
DELIVERY_SECONDS: Final = 60
SEND_SECONDS: Final = 30.0
REASONS_MAX: Final = 5


# What Kafka says to a record that it will never take.
FOR_GOOD = frozenset((KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD))


class EventsNotWritten(StoreUnavailable):
    """Events were not acknowledged by Kafka; none of those sent since the last good flush may be relied on."""


class EventRefused(HoldtrueError):
    """An event can never be written as it is."""


class SchemaIds(Protocol):
    """The part of the registry that is needed here."""

    def lookup(self, subject: Subject, schema: Any) -> SchemaId | None:
        """The id of a registered schema, or None."""


class EventWriter:
    """One idempotent producer for the project's own topics. For one thread at a time.

    `producer` is for tests; by default one is made for `bootstrap`.
    """

    def __init__(self, bootstrap: str, registry: SchemaIds, *, client_id: str, producer: Any = None) -> None:
        self._registry = registry
        self._producer = producer or Producer(_config(bootstrap, client_id))
        self._encoders: dict[tuple[str, str], Encoder] = {}
        self._failed = 0
        self._for_good = False
        self._reasons: dict[str, None] = {}
        # Drift that is not acknowledged yet, by the labels of its metric.
        self._drift: Counter[tuple[str, ...]] = Counter()

    def send(
        self,
        topic: str,
        key: str | bytes | None,
        schema_name: str,
        record: dict[str, Any],
        headers: Headers | None = None,
        partition: int | None = None,
    ) -> None:
        """Queue one event; waits while the queue is full. It is written only when `flush` has returned.

        Raises EventsNotWritten when there is no room within SEND_SECONDS, EventRefused when it is too large or its
        schema is not registered, and what the registry raises.
        """
        value = self._encoder(topic, schema_name).encode(record)
        options: dict[str, Any] = {} if partition is None else {"partition": partition}
        self._queue(topic, lambda: self._produce(topic, key, value, headers or [], options))
        if schema_name == "drift":
            self._drift[tuple(str(record[name]) for name in ("table", "replica", "kind", "state"))] += 1

    def _produce(self, topic: str, key: Any, value: bytes, headers: Headers, options: dict[str, Any]) -> None:
        self._producer.produce(topic, value=value, key=key, headers=headers, on_delivery=self._delivered, **options)
        self._producer.poll(0)

    def _queue(self, topic: str, produce: Callable[[], None]) -> None:
        deadline = time.monotonic() + SEND_SECONDS
        while time.monotonic() < deadline:
            try:
                return produce()
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                raise _refused(topic, error) from None
        raise EventsNotWritten(
            f"Kafka took no event for {topic} in {SEND_SECONDS:.0f} s: the queue is full.",
            "See whether the brokers are up; the work that sent it is done again.",
        )

    def _encoder(self, topic: str, name: str) -> Encoder:
        encoder = self._encoders.get((topic, name))
        if encoder is None:
            schema_id = self._registry.lookup(value_subject(topic), schema(name))
            if schema_id is None:
                raise EventRefused(
                    f"The schema {name} is not registered for the topic {topic}.", "Run: holdtrue schemas register"
                )
            encoder = self._encoders[topic, name] = Encoder(name, schema_id)
        return encoder

    def _delivered(self, error: KafkaError | None, message: Any) -> None:
        # Bounded: the first reasons say what is wrong, the number says how much.
        if error is None:
            return
        self._failed += 1
        self._for_good |= error.code() in FOR_GOOD
        if len(self._reasons) < REASONS_MAX:
            self._reasons[f"{message.topic()}: {error.str()}"] = None

    def flush(self, timeout: float = DELIVERY_SECONDS) -> None:
        """Wait until everything sent is acknowledged.

        Raises EventsNotWritten with the reasons, at most once each; EventRefused where trying again would not help.
        """
        left = self._producer.flush(timeout)
        failed, reasons = self._failed + left, list(self._reasons)
        if left:
            self._drop()
            reasons.append(f"{left} without an answer in time")
        refused = self._for_good
        drift, self._drift = self._drift, Counter()
        self._failed, self._reasons, self._for_good = 0, {}, False
        if refused:
            raise EventRefused(_summary(failed, reasons), "Run: holdtrue topics apply --alter")
        if failed:
            raise EventsNotWritten(_summary(failed, reasons), "See whether the brokers are up and the topics exist.")
        if drift:
            _count(drift)

    def _drop(self) -> None:
        """Forget what waits: it must not arrive later, behind newer events of the same key."""
        self._producer.purge()
        self._producer.poll(0)


def _count(drift: Mapping[tuple[str, ...], int]) -> None:
    # Imported here: a command that finds nothing shows no metric, and has a web server's modules less to load.
    from streams.metrics import DRIFT_EVENTS

    for labels, count in drift.items():
        DRIFT_EVENTS.labels(*labels).inc(count)


def _config(bootstrap: str, client_id: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": bootstrap,
        "client.id": client_id,
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "lz4",
        "linger.ms": 5,
        "queue.buffering.max.messages": QUEUE_RECORDS_MAX,
        "queue.buffering.max.kbytes": QUEUE_KBYTES_MAX,
        "message.max.bytes": DEAD_LETTER_BYTES_MAX,
        "delivery.timeout.ms": DELIVERY_SECONDS * 1000,
        # A topic that is not there is an error after this, and not after the whole delivery timeout.
        "topic.metadata.propagation.max.ms": 5000,
        # The same partition for a key as the Java clients choose.
        "partitioner": "murmur2_random",
        # Failures to connect reach the caller as an error of flush, not as lines on stderr.
        "log_level": 0,
    }


def _refused(topic: str, error: KafkaException) -> EventRefused:
    return EventRefused(f"Kafka refused an event for {topic}: {error.args[0].str()}.", "See docs/topics.md for limits.")


def _summary(failed: int, reasons: Sequence[str]) -> str:
    return f"Kafka did not acknowledge {failed} events: {'; '.join(reasons)}."
