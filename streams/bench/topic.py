"""Filling the change topic before anything is measured, and clearing it away afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import fastavro
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.bench import subject
from streams.bench.errors import BenchError
from streams.bench.site import Marks, Place
from streams.connectors.render import connector_name, render
from streams.connectors.source import connect as connect_sot
from streams.connectors.source import endpoints_of, prepare
from streams.kafka.admin import Topics
from streams.kafka.connect import Connect
from streams.kafka.registry import Registry
from streams.kafka.topics import topics_of
from streams.kafka.wire import unframe
from streams.plan.model import Plan

ANSWER_SECONDS = 20.0
_POLL_SECONDS = 0.25
# Debezium snapshots about 17,000 rows a second here; a tenth of that is still patient.
_ROWS_PER_SECOND_MIN = 1_500

# The JDBC sink cannot write text into a numeric column, so here the connector sends decimals: both read the same topic.
_DECIMALS = {"decimal.handling.mode": "precise"}

Note = Callable[[str], None]


@contextmanager
def filled(place: Place, rows: int, note: Note, *, keep_source: bool = False) -> Iterator[Marks]:
    """The change topic with `rows` snapshot records and as many updates in it; the connector stops unless it is kept.

    Everything that was made for it in Kafka and in the SOT is removed at the end.
    """
    with subject.connect(place.endpoints.sot_dsn) as guard:
        require_alone(guard)
        yield from _filled(place, rows, note, keep_source)


def _filled(place: Place, rows: int, note: Note, keep_source: bool) -> Iterator[Marks]:
    try:
        marks = _fill(place, rows, note)
        if not keep_source:
            stop_source(place)
        yield marks
    finally:
        stop_source(place)
        clear(place)


def require_alone(connection: Any) -> None:
    """Two benchmarks on one stack would work on one table; the lock lasts as long as the connection."""
    row = connection.execute("SELECT pg_try_advisory_lock(7308613581302002)").fetchone()
    if not row[0]:
        raise BenchError("Another benchmark is running on this stack.", "Wait for its end, or use another --data-dir.")


def _fill(place: Place, rows: int, note: Note) -> Marks:
    plan, topic = place.plan, place.plan.change_topic(subject.TABLE)
    Topics(place.endpoints.kafka).apply(topics_of(plan))
    with subject.connect(place.endpoints.sot_dsn) as sot, ChangeTopic(place.endpoints.kafka, topic) as records:
        note(f"loading {rows:,} rows into the SOT")
        subject.create(sot, subject.TABLE)
        subject.load(sot, rows)
        start_source(place, _DECIMALS)
        note("waiting for the snapshot in the change topic")
        after_snapshot = records.wait(rows)
        note(f"updating {rows:,} rows in the SOT")
        subject.update_all(sot, rows)
        ends = records.wait(2 * rows)
        keys = _KeyReader(place.endpoints.registry_url)
        snapshot_keys = [keys.key(records.last(partition, end)) for partition, end in after_snapshot.items() if end]
        update_keys = [keys.key(records.last(partition, end)) for partition, end in ends.items() if end]
    return Marks(topic, ends, snapshot_keys, update_keys)


def start_source(place: Place, overrides: Mapping[str, str] = MappingProxyType({})) -> None:
    """Have the connector begin; returns when it runs. overrides: of its rendered settings."""
    plan = place.plan
    dsn = place.endpoints.sot_dsn
    endpoints = endpoints_of(dsn, plan.converter_url.resolve())
    with connect_sot(dsn) as connection:
        prepare(connection, plan)
    connect = Connect(place.endpoints.connect_url, secrets=(endpoints.password,))
    connect.put(connector_name(plan), {**render(plan, endpoints), **overrides})
    connect.wait_running(connector_name(plan))


def stop_source(place: Place) -> None:
    """Remove the connector, and what it remembers."""
    connect = Connect(place.endpoints.connect_url)
    connect.forget(connector_name(place.plan))
    connect.delete(connector_name(place.plan))


def clear(place: Place) -> None:
    """Remove slot, publication, the SOT's table, and every topic."""
    plan, admin = place.plan, AdminClient({"bootstrap.servers": place.endpoints.kafka})
    with subject.connect(place.endpoints.sot_dsn) as sot:
        _drop_slot(sot, plan)
        sot.execute(f"DROP PUBLICATION IF EXISTS {plan.source.publication}".encode())
        subject.drop(sot, subject.TABLE)
    known = admin.list_topics(timeout=ANSWER_SECONDS).topics
    mine = [topic.name for topic in topics_of(plan) if topic.name in known]
    for future in admin.delete_topics(mine).values() if mine else ():
        future.result(ANSWER_SECONDS)


def _drop_slot(sot: Any, plan: Plan) -> None:
    """The slot is free a moment after its connector has stopped."""
    statement = (
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND NOT active"
    )
    deadline = time.monotonic() + ANSWER_SECONDS
    while sot.execute("SELECT FROM pg_replication_slots WHERE slot_name = %s", (plan.source.slot,)).rowcount:
        sot.execute(statement, (plan.source.slot,))
        if time.monotonic() > deadline:
            raise BenchError(f"The slot {plan.source.slot} is still read.", "Delete its connector, then drop the slot.")
        time.sleep(_POLL_SECONDS)


class ChangeTopic:
    """Reads ends and single records of the change topic."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": f"{topic}.bench", "enable.auto.commit": False}
        )

    def __enter__(self) -> ChangeTopic:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def ends(self) -> dict[int, int]:
        """Partition → offset after its last record; empty while Kafka cannot tell."""
        known = self._consumer.list_topics(self._topic, ANSWER_SECONDS).topics[self._topic].partitions
        parts = [TopicPartition(self._topic, number) for number in sorted(known)]
        try:
            return {part.partition: self._consumer.get_watermark_offsets(part, ANSWER_SECONDS)[1] for part in parts}
        except KafkaException:
            return {}  # a topic made a moment ago may have no leader yet; whoever waits asks again

    def wait(self, records: int) -> dict[int, int]:
        """The ends once the topic holds exactly `records` records."""
        deadline = time.monotonic() + 60 + records / _ROWS_PER_SECOND_MIN
        while sum((ends := self.ends()).values()) < records:
            if time.monotonic() > deadline:
                raise BenchError(
                    f"The change topic holds {sum(ends.values()):,} of {records:,} records and grows too slowly.",
                    "See the log of Kafka Connect.",
                )
            time.sleep(_POLL_SECONDS)
        if sum(ends.values()) != records:
            raise BenchError(
                f"The change topic holds {sum(ends.values()):,} records, not {records:,}.", "Run it again."
            )
        return ends

    def last(self, partition: int, end: int) -> bytes:
        """The key of the record before `end`."""
        self._consumer.assign([TopicPartition(self._topic, partition, end - 1)])
        message = self._consumer.poll(ANSWER_SECONDS)
        if message is None or message.error() or message.offset() != end - 1:
            raise BenchError(f"Record {end - 1} of partition {partition} cannot be read.", "Is Kafka healthy?")
        return bytes(message.key())


class _KeyReader:
    """Reads the number in a record's Avro key."""

    def __init__(self, registry: str) -> None:
        self._registry = Registry(registry)

    def key(self, encoded: bytes) -> int:
        """The table's key."""
        import io

        schema_id, content = unframe(encoded)
        schema = fastavro.parse_schema(self._registry.schema(schema_id))
        record: Any = fastavro.schemaless_reader(io.BytesIO(content), schema, None)
        return int(record[subject.KEY])


class Group:
    """What Kafka says of a contender's consumer group."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self._name = name

    def holds(self, topic: str, partitions: int) -> bool:
        """Whether its members have been assigned every partition of `topic`."""
        found = self._admin.describe_consumer_groups([self._name])[self._name].result(ANSWER_SECONDS)
        assigned = [
            part for member in found.members if member.assignment for part in member.assignment.topic_partitions
        ]
        return len([part for part in assigned if part.topic == topic]) == partitions

    def committed(self, topic: str) -> dict[int, int]:
        """Partition → committed offset."""
        asked = [ConsumerGroupTopicPartitions(self._name)]
        found = self._admin.list_consumer_group_offsets(asked)[self._name].result(ANSWER_SECONDS)
        return {part.partition: part.offset for part in found.topic_partitions if part.topic == topic}
