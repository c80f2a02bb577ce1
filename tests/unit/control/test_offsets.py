"""Clients of Kafka that have failed are not used again."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.control import offsets as module
from streams.control.offsets import Clients, Offsets, TopicLost, TopicMissing
from streams.kafka.admin import KafkaUnavailable

PLACE = ("bank.public.t", 0)


class Broker:
    """Hands out clients that fail for good once one of their calls has: as after a kill, which some of them never see.

    `errors`: of each client that is made, how it fails; None for one that answers.
    """

    def __init__(self, *errors: Exception | None) -> None:
        self._errors = iter(errors)
        self.made = 0
        self.closed = 0

    def connect(self, bootstrap: str) -> Clients:
        """A pair of clients."""
        self.made += 1
        error = next(self._errors)

        def answer(request: Any, request_timeout: float) -> dict[Any, Future[Any]]:
            futures: dict[Any, Future[Any]] = {place: Future() for place in request}
            for future in futures.values():
                future.set_exception(error) if error else future.set_result(SimpleNamespace(offset=7))
            return futures

        def poll(seconds: float) -> None:
            return None

        nothing = dict.fromkeys(("assign", "resume", "unassign"), lambda *_: None)
        return Clients(SimpleNamespace(list_offsets=answer), SimpleNamespace(close=self._close, poll=poll, **nothing))

    def _close(self) -> None:
        self.closed += 1


def offsets(broker: Broker) -> Offsets:
    """What asks that broker."""
    unused: Any = None
    return Offsets("kafka:9092", unused, broker.connect)


def failed(code: int, words: str) -> KafkaException:
    """As the driver raises it."""
    return KafkaException(KafkaError(code, words))


def test_clients_are_made_by_the_first_call_and_kept_while_they_answer() -> None:
    """Each holds connections and threads."""
    broker = Broker(None)
    asked = offsets(broker)
    assert broker.made == 0
    assert [asked.ends([PLACE]) for _ in range(3)] == [{PLACE: 7}] * 3
    assert (broker.made, broker.closed) == (1, 0)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (failed(KafkaError.FENCED_LEADER_EPOCH, "Older epoch"), "kafka:9092 answered: Older epoch."),
        (failed(KafkaError._TIMED_OUT, "Timed out."), "kafka:9092 did not answer: Timed out."),
        (TimeoutError(), "kafka:9092 did not answer in time."),
    ],
)
def test_clients_that_a_broker_refuses_or_does_not_answer_for_long_are_made_anew(
    monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    """Of a broker that was killed some know an epoch of before, and fail as long as they live."""
    monkeypatch.setattr(module, "RENEW_SECONDS", 0.0)
    broker = Broker(error, None)
    asked = offsets(broker)
    with pytest.raises(KafkaUnavailable, match=said):
        asked.ends([PLACE])
    assert asked.ends([PLACE]) == {PLACE: 7}
    assert broker.made == 2


def test_clients_that_nobody_answers_for_a_while_are_kept() -> None:
    """They find the broker again by themselves."""
    broker = Broker(TimeoutError())
    asked = offsets(broker)
    for _ in range(3):
        with pytest.raises(KafkaUnavailable):
            asked.ends([PLACE])
    assert (broker.made, broker.closed) == (1, 0)


def test_clients_are_given_back_when_the_next_ones_have_failed() -> None:
    """What they have under way is over by then: the driver has crashed of it."""
    error = failed(KafkaError.FENCED_LEADER_EPOCH, "Older epoch")
    broker = Broker(error, error, None)
    asked = offsets(broker)
    for closed in (0, 1):
        with pytest.raises(KafkaUnavailable):
            asked.ends([PLACE])
        assert broker.closed == closed
    asked.ends([PLACE])
    asked.close()
    assert (broker.made, broker.closed) == (3, 3)


def test_records_that_do_not_come_have_the_clients_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that reads goes wrong without saying so."""
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.01)
    monkeypatch.setattr(module, "RENEW_SECONDS", 0.0)
    broker = Broker(None, None)
    asked = offsets(broker)
    with pytest.raises(KafkaUnavailable, match=r"did not give records of 1 partitions in 0\.01 s"):
        asked._read({PLACE: 0})
    asked.ends([PLACE])
    assert broker.made == 2


def test_a_topic_that_is_missing_is_told_as_that() -> None:
    """With what to do."""
    with pytest.raises(TopicMissing):
        offsets(Broker(failed(KafkaError.UNKNOWN_TOPIC_OR_PART, "unknown"))).ends([PLACE])


def test_a_topic_that_ends_before_what_was_taken_from_it_is_refused() -> None:
    """It was made anew: what comes under offsets that are known would pass for a replay."""
    asked = offsets(Broker(None))  # ends at 7, the offset of what comes next
    asked.refuse_lost({})
    asked.refuse_lost({PLACE: 7})
    with pytest.raises(TopicLost, match=r"ends at offset 7 in partition 0; .* taken it in up to 8"):
        asked.refuse_lost({PLACE: 8})


def test_closing_twice_is_closing_once() -> None:
    """Also where no client was made."""
    broker = Broker(None)
    asked = offsets(broker)
    asked.close()
    asked.ends([PLACE])
    asked.close()
    asked.close()
    assert broker.closed == 1
