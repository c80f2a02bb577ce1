"""Asking owners through Kafka: requests to named partitions, answers collected by run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.checks.request import RUN_SECONDS_MAX
from streams.errors import StoreUnavailable
from streams.kafka.admin import driver_error, unavailable
from streams.kafka.events import EventWriter
from streams.kafka.reading import end_offsets
from streams.kafka.registry import UnknownSchema
from streams.kafka.wire import Decoder, NotOurFormat, cloud_event

POLL_SECONDS = 0.2
KAFKA_SECONDS = 15.0
SILENCE_SECONDS = 5.0
Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Channel:
    """Where one kind of request (check, repair) goes and its answers come back.

    `kind` names their schemas, and the field with the id that both share is chosen by `id_field`. The requests are
    about one table of one replica; the answers' topic serves all.
    """

    requests: str
    results: str
    kind: str
    id_field: str
    replica: str
    table: str

    @property
    def request_schema(self) -> str:
        """The schema of the requests."""
        return f"{self.kind}-request"

    @property
    def result_schema(self) -> str:
        """The schema of the answers."""
        return f"{self.kind}-result"


class Exchange:
    """Sends requests and collects the answers that carry the same id. For one thread."""

    def __init__(self, bootstrap: str, writer: EventWriter, decoder: Decoder, channel: Channel, source: str) -> None:
        self._bootstrap = bootstrap
        self._writer = writer
        self._decoder = decoder
        self._channel = channel
        self._source = source
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "holdtrue-exchange",
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        with self._named():
            self._listen()

    def _listen(self) -> None:
        """Read the results from their present end on: answers to what is asked from now on come after it."""
        topic = self._channel.results
        # Asked of everybody at once, by the admin's connection: the consumer's own is made meanwhile.
        found = self._admin.list_topics(topic, timeout=KAFKA_SECONDS).topics[topic]
        if found.error is not None:
            raise StoreUnavailable(
                f"The topic {topic} cannot be read: {found.error.str()}.", "Run `holdtrue topics apply`."
            )
        ends = self._ends(topic, len(found.partitions))
        self._consumer.assign([TopicPartition(topic, partition, end) for partition, end in enumerate(ends)])

    def ends(self, topic: str, partitions: int) -> list[int]:
        """End offsets of a topic, by partition: what is before them was in Kafka before this call returned."""
        with self._named():
            return self._ends(topic, partitions)

    def _ends(self, topic: str, partitions: int) -> list[int]:
        # Not the consumer's: its connection may be busy with a fetch that waits for answers.
        return end_offsets(self._admin, topic, partitions)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Inside, a driver's error is raised as ours."""
        try:
            yield
        except (KafkaException, TimeoutError) as error:
            raise unavailable(self._bootstrap, driver_error(error)) from None

    def ask(self, partition: int, request: Mapping[str, Any], within_seconds: float = RUN_SECONDS_MAX) -> None:
        """Queue one request for the owner of a partition; it may answer for so long.

        It waits its turn behind others, of this run and of others. What a run that was killed has asked is answered
        until then, to nobody.
        """
        deadline = datetime.now(UTC) + timedelta(seconds=within_seconds)
        self._writer.send(
            self._channel.requests,
            str(request[self._channel.id_field]),
            self._channel.request_schema,
            {**request, "partition": partition, "deadline": deadline},
            cloud_event(f"holdtrue.{self._channel.request_schema}", self._source),
            partition=partition,
        )

    def flush(self) -> None:
        """Return when Kafka has every request asked so far."""
        self._writer.flush()

    def answers(self, identity: str, within_seconds: float, on_silence: Callable[[], None]) -> Iterator[Answer]:
        """Answers to `identity` as they come; ends when the owners have said nothing for so long, to nobody.

        However much there is to do, and whoever's turn it is: an owner that works is waited for. `on_silence` is called
        every SILENCE_SECONDS without an answer: it may see that there is nobody to wait for.
        """
        heard = asked = time.monotonic()
        while (now := time.monotonic()) - heard < within_seconds:
            if now - max(heard, asked) > SILENCE_SECONDS:
                on_silence()
                asked = time.monotonic()
            answer = self._next(min(within_seconds, POLL_SECONDS))
            if answer is None:
                continue
            heard = time.monotonic()
            if answer[self._channel.id_field] == identity:
                yield answer
                heard = time.monotonic()

    def _next(self, within_seconds: float) -> Answer | None:
        """An answer of the owners of this table in this replica, to whomever."""
        message = self._consumer.poll(within_seconds)
        if message is None:
            return None
        if (error := message.error()) is not None:
            raise StoreUnavailable(f"Answers cannot be read: {error.str()}.", "See whether Kafka is up.")
        try:
            answer = self._decoder.decode(message.value() or b"")
        except (NotOurFormat, UnknownSchema):
            return None  # whatever it is, it is no answer; one that cannot be read has not come
        ours = (answer["replica"], answer["table"]) == (self._channel.replica, self._channel.table)
        return answer if ours else None

    def close(self) -> None:
        """Leave Kafka."""
        self._consumer.close()
