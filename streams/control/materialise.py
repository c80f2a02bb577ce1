"""From our topics into the control database, each record once: the progress moves in the same transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import psycopg

from streams.control import of_drift, of_letters, of_repairs, of_signals, trail
from streams.control.audit import Fact
from streams.control.database import Connection, Database
from streams.control.queries import query
from streams.control.source import Event
from streams.control.unreadable import keep
from streams.kafka.registry import UnknownSchema
from streams.kafka.wire import Decoder, NotOurFormat, Schemas, unframe
from streams.plan.model import Plan
from streams.settings import settings

Take = Callable[[Connection, Sequence[Event], Plan], list[Fact]]

# Offset of a record that cannot be taken in, and why.
Unreadable = tuple[int, str]

# Own topic (after the prefix) → the schema of its values, and what takes them in.
HANDLERS: Final[Mapping[str, tuple[str, Take]]] = {
    "drift": ("drift", of_drift.take),
    "signals": ("signal", of_signals.take),
    "dlq": ("dead-letter", of_letters.take),
    "repairs.results": ("repair-result", of_repairs.take),
}
# Schema ids that are waited for at a time: of garbage there may be many.
UNKNOWN_MAX: Final = 1_000
# Records of one transaction: its locks are short, and memory is bounded.
RECORDS_MAX: Final = 500


class Record(Protocol):
    """What is needed of a Kafka record."""

    offset: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Applied(NamedTuple):
    """What one call did. `unreadable` counts records that are not ours; each is kept in the table of that name."""

    next_offset: int
    taken: int
    unreadable: int
    entries: int


def taken_topics(plan: Plan) -> list[str]:
    """The topics that are taken in."""
    return [plan.own_topic(name) for name in HANDLERS]


class Materialiser:
    """Takes records of our topics into the control database."""

    def __init__(self, database: Database, plan: Plan, schemas: Schemas) -> None:
        self._database = database
        self._plan = plan
        # Schema id → since when the registry has not known it.
        self._unknown: dict[int, float] = {}
        self._handlers = {plan.own_topic(name): take for name, (_, take) in HANDLERS.items()}
        self._decoders = {plan.own_topic(name): Decoder(schema, schemas) for name, (schema, _) in HANDLERS.items()}

    def apply(self, topic: str, partition: int, records: Sequence[Record]) -> Applied:
        """Take in consecutive records of a partition; those taken in before change nothing.

        Raises what the database and the registry raise; then nothing of this call but whole chunks of RECORDS_MAX
        records has been taken in.
        """
        total = Applied(0, 0, 0, 0)
        for start in range(0, len(records), RECORDS_MAX):
            done = self._chunk(topic, partition, records[start : start + RECORDS_MAX])
            total = Applied(done.next_offset, *(a + b for a, b in zip(total[1:], done[1:], strict=True)))
        return total

    def _chunk(self, topic: str, partition: int, records: Sequence[Record]) -> Applied:
        place = {"topic": topic, "partition": partition}
        with self._database.transaction() as connection:
            connection.execute(query("add_progress"), place)
            held = connection.execute(query("lock_progress"), place).fetchone()
            assert held is not None  # made by the statement before
            next_offset: int = held["next_offset"]
            fresh = [record for record in records if record.offset >= next_offset]
            if not fresh:
                return Applied(next_offset, 0, 0, 0)
            events, unreadable = self._decode(topic, partition, fresh)
            facts, refused = _taken(connection, self._handlers[topic], events, self._plan)
            unreadable += refused
            facts += [keep(connection, {**place, "offset": offset}, why) for offset, why in unreadable]
            entries = trail.append(connection, facts)
            connection.execute(query("move_progress"), {**place, "next_offset": fresh[-1].offset + 1})
        return Applied(fresh[-1].offset + 1, len(events) - len(refused), len(unreadable), entries)

    def _decode(self, topic: str, partition: int, records: Sequence[Record]) -> tuple[list[Event], list[Unreadable]]:
        events: list[Event] = []
        unreadable: list[Unreadable] = []
        for record in records:
            if record.value is None:
                continue  # a compaction marker says nothing
            try:
                decoded = self._decoders[topic].decode(record.value)
            except NotOurFormat as error:
                unreadable.append((record.offset, error.what))
            except UnknownSchema as error:
                if not self._is_unknown_for_good(record.value):
                    raise
                unreadable.append((record.offset, error.what))
            else:
                events.append(Event(topic, partition, record.offset, _said_by(record), decoded))
        return events, unreadable

    def _is_unknown_for_good(self, value: bytes) -> bool:
        """Whether the registry has gone on for the bounded time not knowing this schema: then it is none of ours."""
        schema_id, _ = unframe(value)
        if len(self._unknown) >= UNKNOWN_MAX:
            self._unknown.clear()
        since = self._unknown.setdefault(schema_id, time.monotonic())
        return time.monotonic() - since > settings().unknown_schema_seconds


# A value, or its size, is not what a column or an index takes.
NOT_TO_BE_KEPT = (psycopg.DataError, psycopg.errors.ProgramLimitExceeded)


def _taken(connection: Connection, take: Take, events: list[Event], plan: Plan) -> tuple[list[Fact], list[Unreadable]]:
    """The facts of these events; where a value of one cannot be kept, each is taken alone and that one told of."""
    try:
        with connection.transaction():
            return (take(connection, events, plan) if events else []), []
    except NOT_TO_BE_KEPT:
        facts: list[Fact] = []
        refused: list[Unreadable] = []
    for event in events:
        try:
            with connection.transaction():
                facts += take(connection, [event], plan)
        except NOT_TO_BE_KEPT as error:
            refused.append((event.offset, f"a value cannot be kept in the control database ({type(error).__name__})"))
    return facts, refused


def progress(database: Database) -> dict[tuple[str, int], int]:
    """Next offset by topic and partition; what is not named was never taken in."""
    return {(row["topic"], row["partition"]): row["next_offset"] for row in database.rows("all_progress")}


def _said_by(record: Record) -> str:
    found = [value for name, value in record.headers or () if name == "ce_source"]
    return found[0].decode(errors="replace") if found else "unknown"
