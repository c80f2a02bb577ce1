"""Signals into the control database: every one is kept; runs and holds are also what the tables of that name say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from psycopg.types.json import Jsonb

from streams.control import of_backfills, sync, unreadable
from streams.control import run as runs
from streams.control.audit import Fact
from streams.control.database import Connection
from streams.control.queries import query
from streams.control.source import Event
from streams.plan.model import Plan

HELD: Final = "table-held"
RELEASED: Final = "table-released"
# A hold by a person has no partition: it is the whole table's.
WHOLE_TABLE: Final = -1


def take(connection: Connection, events: Sequence[Event], _: Plan) -> list[Fact]:
    """Apply signals of one partition in order; the facts for the audit trail."""
    facts = []
    for event in events:
        record = event.record
        connection.execute(query("add_signal"), {**record, **event.place, "detail": Jsonb(record["detail"])})
        if record["type"] in runs.TYPES:
            facts.append(_run(connection, event))
        elif record["type"] == HELD:
            facts += _held(connection, event)
        elif record["type"] == RELEASED:
            facts.append(_released(connection, event))
        elif record["type"] == sync.SIGNAL:
            facts.append(_in_sync(event))
        elif record["type"] in of_backfills.TYPES:
            facts.append(
                _fact(event, "backfill", record["detail"].get("reason", ""), of_backfills.take(connection, event))
            )
        elif record["type"] == unreadable.SIGNAL:
            facts.append(_unreadable(connection, event))
    return facts


def _run(connection: Connection, event: Event) -> Fact:
    record = event.record
    try:
        run = runs.run_of(record)
    except runs.NotARun as error:
        return _fact(event, "run.refused", error.what, {})
    connection.execute(query("put_run"), msgspec.structs.asdict(run))
    counted = ("depth", "outcome", "verified", "superseded", "skipped", "failed", "drift_found")
    detail = {name: getattr(run, name) for name in counted}
    told = _fact(event, "run", run.error or "", {**detail, "run": run.run, "verified_through": run.verified_through})
    return told._replace(source=_once(event))


def _held(connection: Connection, event: Event) -> list[Fact]:
    """What each owner says again, after a restart or a rebalance, is nothing new."""
    detail = event.record["detail"]
    reason = detail.get("reason", "no reason given")
    values = {name: _number(detail, name) for name in ("partition", "offset", "held_by")} | {"reason": reason}
    known = connection.execute(query("known_hold"), {**event.record, **values}).fetchone()
    connection.execute(query("put_hold"), {**event.record, **values})
    if known is not None and known["reason"] == reason:
        return []
    return [_fact(event, "hold", reason, {name: values[name] for name in ("partition", "offset")})]


def _released(connection: Connection, event: Event) -> Fact:
    detail = event.record["detail"]
    partition = _number(detail, "partition") if "partition" in detail else None
    connection.execute(query("end_holds"), {**event.record, "partition": partition})
    return _fact(event, "release", detail.get("reason", ""), {} if partition is None else {"partition": partition})


def _in_sync(event: Event) -> Fact:
    """One entry, however often control had to send it."""
    record = event.record
    detail = {**record["detail"], "applied_through": record["position"]}
    return _fact(event, "sync", "", detail)._replace(source=_once(event))


def _once(event: Event) -> str:
    """Of an entry that is made once, however often the signal had to be sent."""
    return f"signal:{event.record['id']}"


def _unreadable(connection: Connection, event: Event) -> Fact:
    detail = event.record["detail"]
    place = {
        "topic": detail.get("topic", ""),
        "partition": _number(detail, "partition"),
        "offset": _number(detail, "offset"),
    }
    return unreadable.keep(connection, place, detail.get("error", "no reason given"), said_by=event.said_by)


def _number(detail: dict[str, str], name: str) -> int:
    try:
        return int(detail.get(name, WHOLE_TABLE))
    except ValueError:
        return WHOLE_TABLE


def _fact(event: Event, what: str, why: str, detail: dict[str, Any]) -> Fact:
    record = event.record
    about = f"{record['replica'] or '*'}/{record['table'] or '*'}"
    who = record["detail"].get("who", event.said_by)
    return Fact(record["at"], who, what, about, why, detail, event.address)
