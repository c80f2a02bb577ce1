"""What a run found, as events: drift opened or seen again, drift gone, the run itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from streams.control.database import ControlUnavailable
from streams.control.view import LIST_MAX, opened
from streams.drift.identity import drift_id
from streams.kafka.wire import cloud_event
from streams.rows.canonical import decode
from streams.validation.open import Opener, Pair
from streams.validation.report import Drifted, Report


def publish_report(opener: Opener, pair: Pair, report: Report) -> None:
    """Put the report's drift on the drift topic and the run on the signals topic; returns when Kafka has them.

    A run that cannot say which drift it ends has not said all: it is incomplete.
    """
    for drifted in report.drift:
        send_event(opener, "drift", drift_event(opener, pair, drifted, "open", run=report.run))
    if report.covers_all:
        try:
            _publish_ended(opener, pair, report)
        except ControlUnavailable as error:
            report.reason = f"which drift was open before is not known: {error}"
    send_event(opener, "signals", _signal(pair, report))
    opener.writer.flush()


def _publish_ended(opener: Opener, pair: Pair, report: Report) -> None:
    """Drift that was open and that this run found right: every key was looked at, and these are not among the wrong."""
    still = {drifted.key for drifted in report.drift}
    for row in _known_open(opener, pair):
        event = _ended(opener, pair, row, report, still)
        if event is not None:
            send_event(opener, "drift", event)


def _ended(opener: Opener, pair: Pair, row: dict[str, Any], report: Report, still: set[bytes]) -> dict[str, Any] | None:
    """The event that ends a known drift, or None where this run says nothing of it."""
    state = "resolved" if row["state"] == "repaired" else "superseded"
    if row["key_bytes"] is not None:
        key = bytes(row["key_bytes"])
        known = Drifted(key, row["kind"], cause=row["cause"])
        return None if key in still else drift_event(opener, pair, known, state, run=report.run)
    # Without a key of its own: closed by a run that found every key right.
    if row["kind"] not in ("continuity", "unapplied") or report.outcome != "correct":
        return None
    # What was lost after the run began may be what it did not see.
    if row["last_seen"] > report.began:
        return None
    return {
        "id": row["id"], "replica": pair.replica, "table": pair.table, "kind": row["kind"], "cause": row["cause"],
        "state": state, "first_seen": row["first_seen"], "last_seen": row["last_seen"], "run": report.run,
        "at": datetime.now(UTC),
    }  # fmt: skip


def _known_open(opener: Opener, pair: Pair) -> list[dict[str, Any]]:
    filters = {
        "states": ["open", "repaired"], "kind": None, "table": pair.table, "replica": pair.replica, "limit": LIST_MAX,
    }  # fmt: skip
    with opened(opener.plan) as database:
        return database.rows("list_drift", filters) if database is not None else []


def drift_event(opener: Opener, pair: Pair, drifted: Drifted, state: str, **more: Any) -> dict[str, Any]:
    """A drift event about one key."""
    now = datetime.now(UTC)
    columns = opener.shape(pair).key_columns
    return {
        "id": drift_id(pair.replica, pair.table, drifted.key),
        "replica": pair.replica,
        "table": pair.table,
        "key": dict(zip(columns, decode(drifted.key), strict=True)),
        "key_bytes": drifted.key,
        "kind": drifted.kind,
        "cause": drifted.cause,
        "state": state,
        "first_seen": now,
        "last_seen": now,
        "entry_token": drifted.token,
        "replica_token": drifted.other_token,
        "entry_digest": drifted.entry_digest,
        "replica_digest": drifted.other_digest,
        "columns": list(drifted.columns),
        "at": now,
        **more,
    }


def send_event(opener: Opener, topic: str, record: dict[str, Any]) -> None:
    """Queue a drift event or a signal; it is written when `opener.writer.flush` has returned."""
    schema = "drift" if topic == "drift" else "signal"
    headers = cloud_event(f"holdtrue.{schema}", opener.source)
    opener.writer.send(opener.plan.own_topic(topic), record["id"], schema, record, headers)


def _signal(pair: Pair, report: Report) -> dict[str, Any]:
    """The run as a signal; `Consistency validated` only when it is correct."""
    validated = report.outcome == "correct"
    return {
        "id": str(uuid4()),
        "type": "consistency-validated" if validated else "run-finished",
        "replica": pair.replica,
        "table": pair.table,
        "position": report.fence_lsn or None,
        "run": report.run,
        "detail": {name: str(value) for name, value in report.document().items() if value is not None},
        "at": datetime.now(UTC),
    }
