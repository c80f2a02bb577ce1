"""What a run found, as events: drift opened or seen again, drift gone, the run itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from streams.drift.identity import drift_id
from streams.kafka.wire import cloud_event
from streams.rows.canonical import decode
from streams.validation.open import Opener, Pair
from streams.validation.report import Drifted, Report

CAUSES = {"mismatch": "rogue write"}


def publish_report(opener: Opener, pair: Pair, report: Report) -> None:
    """Put the report's drift on the drift topic and the run on the signals topic; returns when Kafka has them."""
    for drifted in report.drift:
        _send(opener, "drift", drift_event(opener, pair, drifted, "open", run=report.run))
    _send(opener, "signals", _signal(pair, report))
    opener.writer.flush()


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
        "cause": CAUSES.get(drifted.kind, "unknown"),
        "state": state,
        "first_seen": now,
        "last_seen": now,
        "entry_token": drifted.token,
        "replica_token": drifted.other_token,
        "entry_digest": drifted.entry_digest,
        "replica_digest": drifted.other_digest,
        "at": now,
        **more,
    }


def _send(opener: Opener, topic: str, record: dict[str, Any]) -> None:
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
