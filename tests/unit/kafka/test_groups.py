"""Kafka that does not tell who is in a group is named, with what to do."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.kafka import groups
from streams.kafka.admin import KafkaUnavailable
from streams.kafka.groups import KafkaSilent, has_members

SILENT, BUSY = KafkaError(KafkaError._TIMED_OUT), KafkaError(KafkaError.COORDINATOR_NOT_AVAILABLE)


def asked(monkeypatch: pytest.MonkeyPatch, error: Exception) -> KafkaUnavailable:
    """What is raised where Kafka fails so."""
    future: Future[Any] = Future()
    future.set_exception(error)
    answering = SimpleNamespace(describe_consumer_groups=lambda names, request_timeout: {names[0]: future})
    monkeypatch.setattr(groups, "AdminClient", lambda settings: answering)
    with pytest.raises(KafkaUnavailable) as raised:
        has_members("kafka:9092", "bank.cache", 0)
    return raised.value


@pytest.mark.parametrize("error", [TimeoutError(), KafkaException(SILENT)])
def test_kafka_that_says_nothing_is_to_be_started(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Whichever of the two gives up first, the driver or the one who waits for it."""
    raised = asked(monkeypatch, error)
    assert isinstance(raised, KafkaSilent)
    assert raised.what == "Kafka at kafka:9092 did not answer: Local: Timed out."
    assert "holdtrue up" in raised.hint


def test_kafka_that_answers_otherwise_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next group may be told of."""
    raised = asked(monkeypatch, KafkaException(BUSY))
    assert not isinstance(raised, KafkaSilent)
    assert "kafka:9092 answered" in raised.what
