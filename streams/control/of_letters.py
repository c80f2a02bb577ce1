"""Dead letters into the control database: where they are and why, without their bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streams.control.audit import Fact
from streams.control.database import Connection
from streams.control.queries import query
from streams.control.source import Event
from streams.kafka.wire import NotOurFormat, unframe
from streams.plan.model import Plan


def take(connection: Connection, events: Sequence[Event], _: Plan) -> list[Fact]:
    """Apply dead letters of one partition; the facts for the audit trail.

    A worker that was killed dead-letters the same change again: it is the same letter, seen once more.
    """
    with connection.cursor() as cursor:
        cursor.executemany(query("put_dead_letter"), [_row(event) for event in events])
    return [_fact(event) for event in events]


def _row(event: Event) -> dict[str, Any]:
    record = event.record
    return {
        **record,
        "recorded_at": record["timestamp"],
        "key_bytes": _length(record["key"]),
        "value_bytes": _length(record["value"]),
        "schema_id": _schema_id(record["value"]),
        "header_names": [header["name"] for header in record["headers"]],
        "letter_partition": event.partition,
        "letter_offset": event.offset,
    }


def _length(value: bytes | None) -> int | None:
    return None if value is None else len(value)


def _schema_id(value: bytes | None) -> int | None:
    """Which schema the change was written with, where its bytes say so."""
    try:
        return unframe(value or b"")[0]
    except NotOurFormat:
        return None


def _fact(event: Event) -> Fact:
    record = event.record
    names = ("replica", "table", "topic", "partition", "offset", "reason", "drift")
    # One entry per change that was given up, however often it was said.
    source = f"{record['replica']}:{record['topic']}/{record['partition']}/{record['offset']}"
    detail = {name: record[name] for name in names}
    return Fact(record["at"], event.said_by, "dead-letter", record["id"], record["error"], detail, source)
