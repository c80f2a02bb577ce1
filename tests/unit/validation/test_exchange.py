"""Owners are waited for while they work: the bound is on their silence, not on how much there is to do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.kafka.admin import KafkaUnavailable
from streams.kafka.registry import UnknownSchema
from streams.kafka.wire import NotOurFormat
from streams.validation import exchange
from streams.validation.exchange import Channel, Exchange

SILENCE = 0.2
APART = 0.08
CHANNEL = Channel("requests", "results", "check", "run", "reports", "public.t")
Said = dict[str, Any] | None


class Clock:
    """Time passes while messages are waited for, and only then."""

    now = 0.0

    def monotonic(self) -> float:
        """Seconds since the test began."""
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What the exchange looks at."""
    made = Clock()
    monkeypatch.setattr(exchange, "time", made)
    return made


class _Results:
    """The results topic: one message after the other, some time apart, and then nothing."""

    def __init__(self, *said: Said) -> None:
        self._said: Iterator[Said] = iter(said)

    def poll(self, within_seconds: float) -> Any:
        """The next one."""
        exchange.time.now += APART  # type: ignore[attr-defined]
        answer = next(self._said, None)
        return None if answer is None else SimpleNamespace(error=lambda: None, value=lambda: answer)


def said(run: str, table: str = "public.t", number: int = 0) -> Said:
    return {"run": run, "replica": "reports", "table": table, "number": number}


def decoded(value: Any) -> Any:
    """What is said here is decoded already, but for what is none."""
    if value == b"":
        raise NotOurFormat("no value")
    if value == "stray":
        raise UnknownSchema("not known")
    return value


def listening(*said: Said, writer: Any = None) -> Exchange:
    """An exchange that hears these answers."""
    made = Exchange.__new__(Exchange)
    made._consumer, made._channel, made._writer, made._source = _Results(*said), CHANNEL, writer, "/tests"
    made._decoder = SimpleNamespace(decode=decoded)  # type: ignore[assignment]
    return made


def heard(*said: Said) -> list[int]:
    """The numbers of the answers to `mine`."""
    return [answer["number"] for answer in listening(*said).answers("mine", SILENCE, lambda: None)]


def test_answers_that_keep_coming_are_waited_for() -> None:
    """However long all of them take together."""
    assert heard(*(said("mine", number=number) for number in range(5))) == [0, 1, 2, 3, 4]


def test_what_is_no_answer_is_passed_over() -> None:
    """Anybody can write to a topic: a record without a value, of bytes, of a schema that nobody knows."""
    tombstone: Any = b""
    stray: Any = "stray"
    assert heard(tombstone, stray, said("mine", number=3)) == [3]


def test_whose_turn_has_not_come_is_waited_for() -> None:
    """The owners of this table answer another run first."""
    assert heard(*[said("another")] * 5, said("mine", number=7)) == [7]


def test_other_tables_answers_are_no_sign_of_life() -> None:
    """Their owners may be other workers."""
    assert heard(*[said("another", table="public.u")] * 5, said("mine", number=7)) == []


def test_silence_ends_the_wait(clock: Clock) -> None:
    """After as long as it may last."""
    assert heard() == []
    assert SILENCE <= clock.now < SILENCE + 2 * APART


def test_silence_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked may see earlier that nobody is there."""
    monkeypatch.setattr(exchange, "SILENCE_SECONDS", 0.01)
    asked: list[None] = []
    assert list(listening().answers("mine", SILENCE, lambda: asked.append(None))) == []
    assert asked


def test_a_request_may_wait_its_turn() -> None:
    """As long as a run may take."""
    sent: list[dict[str, Any]] = []
    writer = SimpleNamespace(send=lambda topic, key, schema, record, headers, partition: sent.append(record))
    listening(writer=writer).ask(0, {"run": "mine"})
    assert sent[0]["deadline"] > datetime.now(UTC) + timedelta(hours=5)


@pytest.mark.parametrize("error", [KafkaException(KafkaError(KafkaError._TIMED_OUT)), TimeoutError()])
def test_kafka_that_does_not_answer_a_run_is_named(error: Exception) -> None:
    """With what to do: the run is incomplete for it."""
    asked = listening()
    asked._bootstrap = "kafka:9092"

    def away(wanted: Any, request_timeout: float) -> Any:
        raise error

    asked._admin = SimpleNamespace(list_offsets=away)
    with pytest.raises(KafkaUnavailable, match="Kafka at kafka:9092 did not answer") as raised:
        asked.ends("bank.public.t", 1)
    assert "kafka.bootstrap" in raised.value.hint
