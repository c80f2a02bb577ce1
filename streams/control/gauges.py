"""What control measures for everybody: from its database, from Kafka's offsets and from the SOT's slot."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from prometheus_client import Gauge

from streams.connectors.slot import Slot
from streams.control.database import Database, Row
from streams.control.lag import Lag, behind_seconds
from streams.drift.lifecycle import OPEN
from streams.metrics import (
    CONSISTENCY_RATIO,
    DRIFT_OPEN,
    HELD,
    LAG_EVENTS,
    LAG_SECONDS,
    REVIEWS_OPEN,
    SOURCE_LAG_BYTES,
    SOURCE_LAG_SECONDS,
    VERIFIED_AGE_SECONDS,
)
from streams.plan.model import Plan

LAG_BOUND_SECONDS: Final = Gauge(
    "holdtrue_lag_bound_seconds", "The plan's bound on the lag; absent where there is none.", ("table", "replica")
)
# A worker's counter begins at its first dead letter, which Prometheus cannot tell from none; a gauge can be compared.
DEAD_LETTERS_KEPT: Final = Gauge(
    "holdtrue_dead_letters_kept", "Changes that could not be applied and wait.", ("table", "replica", "reason")
)
UNREADABLE: Final = Gauge("holdtrue_unreadable_records", "Records on our own topics that cannot be read.", ("topic",))
UNPUBLISHED: Final = Gauge("holdtrue_audit_unpublished", "Audit entries that the audit topic does not have yet.")
SLOT_AT_RISK: Final = Gauge(
    "holdtrue_slot_at_risk", "1 when the slot is gone or the server may remove WAL it needs.", ("slot",)
)
SLOT_SAFE_BYTES: Final = Gauge(
    "holdtrue_slot_safe_bytes", "WAL that may still be written before the slot is lost; absent: no limit.", ("slot",)
)
# extended: more WAL is kept than was planned for; still whole.
_SAFE: Final = frozenset({"reserved", "extended"})


def from_plan(plan: Plan) -> None:
    """The bounds the alerts compare with; and nothing is open before reviews are built."""
    for replica, spec in plan.replicas.items():
        for table, mapping in spec.tables.items():
            if mapping.lag_max is not None:
                LAG_BOUND_SECONDS.labels(table, replica).set(mapping.lag_max.total_seconds())
    REVIEWS_OPEN.set(0)


class DatabaseGauges:
    """Sets gauges from the control database; what is there no longer is set to 0, not left as it was.

    What it knows of tables that the plan does not copy any more is history.
    """

    def __init__(self, plan: Plan) -> None:
        self._copied = {(table, replica) for replica, spec in plan.replicas.items() for table in spec.tables}
        self._shown: dict[Gauge, set[tuple[str, ...]]] = {}

    def measure(self, database: Database) -> None:
        """Bring all of them up to date. Raises what the database raises."""
        counts = self._rows(database, "drift_counts", {"states": [state.value for state in OPEN]})
        self._set(DRIFT_OPEN, {(row["table"], row["replica"], row["kind"]): row["count"] for row in counts})
        self._set(HELD, {(row["table"], row["replica"]): 1 for row in self._rows(database, "holds")})
        letters = self._rows(database, "count_dead_letters")
        self._set(DEAD_LETTERS_KEPT, {(row["table"], row["replica"], row["reason"]): row["count"] for row in letters})
        self._set(UNREADABLE, {(row["topic"],): row["count"] for row in database.rows("count_unreadable")})
        for run in self._rows(database, "newest_runs"):
            _set_ratio((run["table"], run["replica"]), ratio(run))
        for mark in self._rows(database, "verified_through"):
            age = time.time() - mark["at"].timestamp()
            VERIFIED_AGE_SECONDS.labels(mark["table"], mark["replica"]).set(max(0.0, age))
        UNPUBLISHED.set(database.rows("count_unpublished")[0]["count"])

    def _rows(self, database: Database, name: str, values: dict[str, Any] | None = None) -> list[Row]:
        return [row for row in database.rows(name, values) if (row["table"], row["replica"]) in self._copied]

    def _set(self, gauge: Gauge, values: Mapping[tuple[str, ...], float]) -> None:
        gone = self._shown.get(gauge, set()) - values.keys()
        for labels in gone:
            gauge.labels(*labels).set(0)
        for labels, value in values.items():
            gauge.labels(*labels).set(value)
        self._shown[gauge] = set(values) | gone


def _set_ratio(place: tuple[str, str], found: float | None) -> None:
    if found is None:
        # What an earlier run has found is not what the last one did.
        CONSISTENCY_RATIO.remove(*place)
    else:
        CONSISTENCY_RATIO.labels(*place).set(found)


def ratio(run: Mapping[str, Any]) -> float | None:
    """Share of a run's keys that were verified: what was not checked counts as not verified. None: nothing counted."""
    verified: int | None = run["verified"]
    if verified is None:
        return None
    total: int = verified + sum(run[name] for name in ("superseded", "skipped", "failed", "drift_found"))
    if total == 0:
        return 1.0 if run["outcome"] == "correct" else 0.0
    return verified / total


def from_reach(seconds: float | None) -> None:
    """How long what the SOT commits has not reached Kafka; None: not known, which no number is."""
    SOURCE_LAG_SECONDS.set(math.nan if seconds is None else seconds)


def from_lags(replica: str, lags: Mapping[str, Lag], source_seconds: float | None) -> None:
    """Lag as Kafka shows it, also when the replica's workers are not there, and what Kafka cannot show of it."""
    for table, lag in lags.items():
        LAG_EVENTS.labels(table, replica).set(lag.events)
        if (seconds := behind_seconds(lag, source_seconds)) is None:
            LAG_SECONDS.remove(table, replica)
        else:
            LAG_SECONDS.labels(table, replica).set(seconds)


def lag_unknown(replica: str, tables: Iterable[str]) -> None:
    """It could not be measured now: what it was before is not what it is."""
    for table in tables:
        LAG_SECONDS.remove(table, replica)
        LAG_EVENTS.remove(table, replica)


def is_whole(found: Slot | None) -> bool:
    """Whether the slot is there and the server still has all that it needs."""
    return found is not None and not found.lost


def from_slot(name: str, found: Slot | None) -> None:
    """The replication slot; one that is not there is at risk: changes are being lost or the connector never ran."""
    SLOT_AT_RISK.labels(name).set(0 if found is not None and found.wal_status in _SAFE else 1)
    if found is None:
        return
    SOURCE_LAG_BYTES.labels(name).set(found.lag_bytes or 0)
    if found.safe_wal_size is not None:
        SLOT_SAFE_BYTES.labels(name).set(found.safe_wal_size)
