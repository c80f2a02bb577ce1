"""What a run found, as events: drift opened or seen again, drift gone, the run itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from streams.control.database import ControlUnavailable
from streams.control.view import LIST_MAX, opened
from streams.drift.record import key_record
from streams.kafka.wire import cloud_event
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
    send_event(opener, "signals", _signal(opener, pair, report))
    opener.writer.flush()


def _publish_ended(opener: Opener, pair: Pair, report: Report) -> None:
    """Drift that was open and that this run found right: every key was looked at, and these are not among the wrong."""
    still = {drifted.key for drifted in report.drift}
    for row in _known_open(opener, pair):
        if _is_ended(row, report, still):
            send_event(opener, "drift", _end(opener, pair, row, report))


def _is_ended(row: dict[str, Any], report: Report, still: set[bytes]) -> bool:
    """Whether the run has found that it is over. What was told after the run began may be what it did not see."""
    if row["offset"] >= report.drift_before[row["partition"]]:
        return False
    # Without a key of its own: closed by a run that found every key right.
    return bytes(row["key_bytes"]) not in still if row["key_bytes"] is not None else report.outcome == "correct"


def _end(opener: Opener, pair: Pair, row: dict[str, Any], report: Report) -> dict[str, Any]:
    """The event that ends a known drift."""
    state = "resolved" if row["state"] == "repaired" else "superseded"
    known = {name: row[name] for name in ("id", "kind", "cause", "first_seen", "last_seen")}
    about = {"replica": pair.replica, "table": pair.table, "state": state, "at": datetime.now(UTC)}
    about |= {"run": report.run, "ends_before": report.drift_before[row["partition"]]}
    if row["key_bytes"] is None:
        return about | known
    drifted = Drifted(bytes(row["key_bytes"]), row["kind"], cause=row["cause"])
    return drift_event(opener, pair, drifted, state) | about | known


def _known_open(opener: Opener, pair: Pair) -> list[dict[str, Any]]:
    with opened(opener.plan) as database:
        place = {"table": pair.table, "replica": pair.replica, "limit": LIST_MAX}
        return database.rows("open_drift", place) if database is not None else []


def drift_event(opener: Opener, pair: Pair, drifted: Drifted, state: str, **more: Any) -> dict[str, Any]:
    """A drift event about one key."""
    said: dict[str, Any] = {"kind": drifted.kind, "cause": drifted.cause, "state": state, "at": datetime.now(UTC)}
    said |= {
        "entry_token": drifted.token, "replica_token": drifted.other_token, "entry_digest": drifted.entry_digest,
        "replica_digest": drifted.other_digest, "columns": list(drifted.columns),
    }  # fmt: skip
    columns = opener.shape(pair).key_columns
    return key_record(pair.replica, pair.table, drifted.key, columns, **{**said, **more})


def send_event(opener: Opener, topic: str, record: dict[str, Any]) -> None:
    """Queue a drift event or a signal; it is written when `opener.writer.flush` has returned."""
    schema = "drift" if topic == "drift" else "signal"
    headers = cloud_event(f"holdtrue.{schema}", opener.source)
    opener.writer.send(opener.plan.own_topic(topic), record["id"], schema, record, headers)


def _signal(opener: Opener, pair: Pair, report: Report) -> dict[str, Any]:
    """The run as a signal; `Consistency validated` only when it is correct."""
    validated = report.outcome == "correct"
    return {
        "id": str(uuid4()),
        "type": "consistency-validated" if validated else "run-finished",
        "replica": pair.replica,
        "table": pair.table,
        "position": report.fence_lsn or None,
        "run": report.run,
        "detail": {name: str(value) for name, value in report.document().items() if value is not None} | _under(opener),
        "at": datetime.now(UTC),
    }


def _under(opener: Opener) -> dict[str, str]:
    """Who asked, and under which plan: what an auditor asks of a run that was long ago."""
    plan = opener.plan
    said = {"who": opener.by, "plan_hash": plan.sha256, "owner": plan.owner, "approver": plan.approver}
    return {name: text for name, text in said.items() if text}
