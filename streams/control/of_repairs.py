"""Results of repairs into the control database."""

from __future__ import annotations

from collections.abc import Sequence

from streams.control.audit import Fact
from streams.control.database import Connection
from streams.control.queries import query
from streams.control.source import Event


def take(connection: Connection, events: Sequence[Event]) -> list[Fact]:
    """Apply repair results of one partition; the facts for the audit trail."""
    with connection.cursor() as cursor:
        # In one order everywhere: the results of a repair come in on several partitions at once.
        records = sorted((event.record for event in events), key=lambda record: str(record["repair"]))
        cursor.executemany(query("put_repair"), records)
        cursor.executemany(query("put_repair_item"), [event.record for event in events])
    return [_fact(event) for event in events]


def _fact(event: Event) -> Fact:
    record = event.record
    names = ("repair", "replica", "table", "partition", "outcome")
    detail = {name: record[name] for name in names}
    return Fact(record["at"], event.said_by, "repair", record["drift"], record["reason"] or "", detail, event.address)
