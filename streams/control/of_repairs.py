"""Results of repairs into the control database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streams.control.audit import Fact
from streams.control.database import Connection
from streams.control.queries import query
from streams.control.source import Event
from streams.drift.names import Names
from streams.plan.model import Plan


def take(connection: Connection, events: Sequence[Event], plan: Plan) -> list[Fact]:
    """Apply repair results of one partition; the facts for the audit trail. Keys are kept as the plan shows them."""
    with connection.cursor() as cursor:
        # In one order everywhere: the results of a repair come in on several partitions at once.
        records = sorted((event.record for event in events), key=lambda record: str(record["repair"]))
        cursor.executemany(query("put_repair"), records)
        cursor.executemany(query("put_repair_item"), [event.record | _shown(plan, event.record) for event in events])
    return [_fact(event) for event in events]


def _shown(plan: Plan, record: Mapping[str, Any]) -> dict[str, bytes]:
    replica, table = record["replica"], record["table"]
    if replica not in plan.replicas or table not in plan.replicas[replica].tables:
        return {"key": b""}  # whether it may be shown is not known any more
    return {"key": Names(replica, table, (), plan.key_secret(replica, table)).shown(record["key"])}


def _fact(event: Event) -> Fact:
    record = event.record
    names = ("repair", "replica", "table", "partition", "outcome")
    detail = {name: record[name] for name in names}
    return Fact(record["at"], event.said_by, "repair", record["drift"], record["reason"] or "", detail, event.address)
