from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.kafka import events
from streams.kafka.events import EventRefused, EventsNotWritten, EventWriter
from streams.kafka.registry import SchemaId, Subject
from streams.kafka.wire import unframe
from streams.metrics import DRIFT_EVENTS

SIGNAL = {"id": "1", "type": "Sync updated", "at": datetime(2026, 1, 2, tzinfo=UTC)}


class Ids:
    """A registry with every schema under one id, or none."""

    def __init__(self, schema_id: int | None = 5) -> None:
        self.schema_id = schema_id
        self.asked: list[str] = []

    def lookup(self, subject: Subject, schema: Any) -> SchemaId | None:
        self.asked.append(subject)
        return None if self.schema_id is None else SchemaId(self.schema_id)


class Message:
    def __init__(self, topic: str) -> None:
        self._topic = topic

    def topic(self) -> str:
        return self._topic


class FakeProducer:
    """A producer whose answers are decided by the test: `full` times full, then `error` for every record."""

    def __init__(self, *, full: int = 0, error: KafkaError | None = None, raises: Exception | None = None) -> None:
        self.full, self.error, self.raises = full, error, raises
        self.sent: list[dict[str, Any]] = []
        self.left = 0
        self.purged = False

    def produce(self, topic: str, *, on_delivery: Any, **record: Any) -> None:
        if self.full > 0:
            self.full -= 1
            raise BufferError("queue full")
        if self.raises:
            raise self.raises
        self.sent.append({"topic": topic, **record})
        on_delivery(self.error, Message(topic))

    def poll(self, timeout: float) -> int:
        return 0

    def flush(self, timeout: float) -> int:
        return self.left

    def purge(self) -> None:
        self.left = 0
        self.purged = True


def writer(producer: FakeProducer, ids: Ids | None = None) -> EventWriter:
    return EventWriter("nowhere:1", ids or Ids(), client_id="test", producer=producer)


def test_event_is_framed_and_keeps_key_headers_and_partition() -> None:
    """What reaches Kafka is the framed value under the given key, headers and partition; the id is asked for once."""
    producer, ids = FakeProducer(), Ids()
    out = writer(producer, ids)
    for partition in (3, None):
        out.send("holdtrue.signals", "key", "signal", SIGNAL, [("ce_id", b"1")], partition=partition)
    out.flush()
    assert unframe(producer.sent[0]["value"])[0] == 5
    assert producer.sent[0]["partition"] == 3
    assert "partition" not in producer.sent[1]
    assert (producer.sent[0]["key"], producer.sent[0]["headers"]) == ("key", [("ce_id", b"1")])
    assert ids.asked == ["holdtrue.signals-value"]


def test_full_queue_is_waited_for() -> None:
    """A full queue slows the sender and loses nothing."""
    producer = FakeProducer(full=3)
    writer(producer).send("t", None, "signal", SIGNAL)
    assert len(producer.sent) == 1


def test_queue_that_stays_full_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait is bounded."""
    monkeypatch.setattr(events, "SEND_SECONDS", 0.05)
    with pytest.raises(EventsNotWritten, match="queue is full"):
        writer(FakeProducer(full=10**9)).send("t", None, "signal", SIGNAL)


def test_delivery_errors_are_raised_at_flush_once_with_the_reason() -> None:
    """A failed delivery is never silent, and does not fail the next flush again."""
    out = writer(FakeProducer(error=KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)))
    out.send("t", None, "signal", SIGNAL)
    out.send("t", None, "signal", SIGNAL)
    with pytest.raises(EventsNotWritten, match="acknowledge 2 events: t: ") as caught:
        out.flush()
    assert caught.value.what.count("t: ") == 1
    out.flush()


def test_an_event_that_kafka_never_takes_is_refused_once() -> None:
    """Trying again would stand still for ever, and everything behind it with it."""
    out = writer(FakeProducer(error=KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)))
    out.send("t", None, "signal", SIGNAL)
    with pytest.raises(EventRefused, match="acknowledge 1 events: t: "):
        out.flush()
    out.flush()


def test_events_without_an_answer_are_an_error() -> None:
    """What was not acknowledged in time is not written, now or later: the queue is emptied."""
    producer = FakeProducer()
    producer.left = 4
    out = writer(producer)
    with pytest.raises(EventsNotWritten, match="4 without an answer"):
        out.flush(0.1)
    assert producer.purged
    out.flush()


def test_schema_that_is_not_registered_is_refused_not_registered() -> None:
    """Our schemas are registered by `schemas register` alone."""
    with pytest.raises(EventRefused, match="schemas register"):
        writer(FakeProducer(), Ids(None)).send("t", None, "signal", SIGNAL)


def test_event_that_is_too_large_is_refused() -> None:
    """An event that can never be written is told from one that was not written now."""
    error = KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    with pytest.raises(EventRefused, match="t: "):
        writer(FakeProducer(raises=error)).send("t", None, "signal", SIGNAL)


def drift(state: str, kind: str = "mismatch") -> dict[str, Any]:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    return {"id": "d", "replica": "r9", "table": "t9", "kind": kind, "cause": "unknown", "state": state,
            "first_seen": now, "last_seen": now, "at": now}  # fmt: skip


def told() -> dict[tuple[str, str], float]:
    """Drift events of the table that the metric counts, by kind and state."""
    return {
        (sample.labels["kind"], sample.labels["state"]): sample.value
        for metric in DRIFT_EVENTS.collect()
        for sample in metric.samples
        if sample.labels.get("table") == "t9" and sample.name.endswith("_total")
    }


def test_every_drift_event_is_counted_by_kind_and_state_once_it_is_acknowledged() -> None:
    """Whoever publishes it, in whatever state: this is the way of all; what is sent again is counted once."""
    producer = FakeProducer(error=KafkaError(KafkaError._MSG_TIMED_OUT))
    out = writer(producer)
    out.send("holdtrue.drift", "d", "drift", drift("open"))
    assert told() == {}
    with pytest.raises(EventsNotWritten):
        out.flush()
    assert told() == {}
    producer.error = None
    for event in (drift("open"), drift("open"), drift("resolved"), drift("open", "continuity")):
        out.send("holdtrue.drift", "d", "drift", event)
    out.send("holdtrue.signals", "d", "signal", SIGNAL)
    out.flush()
    out.flush()
    assert told() == {("mismatch", "open"): 2, ("mismatch", "resolved"): 1, ("continuity", "open"): 1}
