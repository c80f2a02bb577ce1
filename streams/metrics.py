"""The Prometheus metrics of interface.md. Labels name tables, replicas and reasons, never keys."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric

_TABLE = ("table", "replica")
_LAG_BUCKETS = (
    0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3, 4, 5, 7.5, 10, 20,
    30, 60, 120, 300, 600, 3600,
)  # fmt: skip


class Told(Gauge):
    """A gauge without labels that is absent until it is set: 0 would be a claim, and of a moment that of 1970."""

    _is_set = False

    def set(self, value: float) -> None:
        """Serve this from now on."""
        super().set(value)
        self._is_set = True

    def collect(self) -> Iterable[Metric]:
        """What is served."""
        return super().collect() if self._is_set else ()


CHANGES_APPLIED = Counter("holdtrue_changes_applied", "Records handled, by what became of them.", (*_TABLE, "result"))
APPLY_SECONDS = Histogram("holdtrue_apply_seconds", "Time from a batch's start to its commit.", _TABLE)
BATCH_ROWS = Histogram(
    "holdtrue_batch_rows", "Records in a batch.", _TABLE, buckets=(1, 10, 50, 100, 500, 1000, 2000, 5000, 10000)
)
LAG_SECONDS = Gauge("holdtrue_lag_seconds", "Age of the oldest SOT commit not yet acknowledged by the store.", _TABLE)
CHANGE_LAG_SECONDS = Histogram(
    "holdtrue_change_lag_seconds", "From a change's commit at the SOT to its acknowledgement.", _TABLE,
    buckets=_LAG_BUCKETS,
)  # fmt: skip
SOURCE_LAG_SECONDS = Told(
    "holdtrue_source_lag_seconds", "Age of the oldest mark in the SOT's log that has not reached Kafka; 0 if none."
)
LAG_EVENTS = Gauge(
    "holdtrue_lag_events",
    "Records of the change topic not yet applied: a worker's own partitions; at control, all that are not committed.",
    _TABLE,
)
SOURCE_LAG_BYTES = Gauge("holdtrue_source_lag_bytes", "WAL the slot has not confirmed.", ("slot",))
DRIFT_OPEN = Gauge("holdtrue_drift_open", "Keys in drift: open, repairing or repaired.", (*_TABLE, "kind"))
DRIFT_EVENTS = Counter(
    "holdtrue_drift_events",
    "Drift events that this process published; those of the command line's validate and repair are in no process's.",
    (*_TABLE, "kind", "state"),
)
KEYS_CHECKED = Counter("holdtrue_keys_checked", "Keys compared, by result.", (*_TABLE, "result"))
CHECK_SECONDS = Counter("holdtrue_check_seconds", "Time that continuous checking has taken.", _TABLE)
SCRUB_AGE_SECONDS = Gauge(
    "holdtrue_scrub_age_seconds",
    "Within so many seconds every key that must be in the replica was compared with its content there.",
    _TABLE,
)
FOREIGN_CHANGES = Counter(
    "holdtrue_foreign_changes",
    "Keys that others changed in a replica, as its own log shows: each is looked at.",
    _TABLE,
)
REPLICA_LOG_FOLLOWED = Gauge(
    "holdtrue_replica_log_followed", "1 while this worker follows the replica's own log of the table.", _TABLE
)
REPLICA_LOG_CHANGES = Counter("holdtrue_replica_log_changes", "Changes of rows read in a replica's log.", ("replica",))
REPLICA_BUCKETS_COMPARED = Counter(
    "holdtrue_replica_buckets_compared",
    "Buckets of keys compared with what a replica's log shows, by result: equal or unequal.",
    (*_TABLE, "result"),
)
REPLICA_COMPARED_AGE_SECONDS = Gauge(
    "holdtrue_replica_compared_age_seconds",
    "Within so many seconds all buckets were compared with what a replica's log shows.",
    _TABLE,
)
REPLICA_COMPARE_SECONDS = Gauge(
    "holdtrue_replica_compare_seconds",
    "From an owner's noting of its digests to their comparison with what the log shows, the last time.",
    _TABLE,
)
REPLICA_LOG_LAG_BYTES = Gauge(
    "holdtrue_replica_log_lag_bytes", "What of its log a replica keeps for whoever follows it.", ("replica",)
)
REPLICA_LOG_LAG_SECONDS = Gauge(
    "holdtrue_replica_log_lag_seconds", "Of so many last seconds a replica's log was not read.", ("replica",)
)
VERIFIED_AGE_SECONDS = Gauge(
    "holdtrue_verified_through_age_seconds", "Age of the verified-through mark.", _TABLE
)  # fmt: skip
CONSISTENCY_RATIO = Gauge(
    "holdtrue_consistency_ratio", "Share of the last run's keys that were verified; absent where it read none.", _TABLE
)
REPAIRS = Counter("holdtrue_repairs", "Repairs, by result.", (*_TABLE, "result"))
DEAD_LETTERS = Counter("holdtrue_dead_letters", "Changes put on the dead-letter topic.", (*_TABLE, "reason"))
HELD = Gauge("holdtrue_held", "1 while a table is held in a replica.", _TABLE)
SWEEPS_PENDING = Gauge(
    "holdtrue_sweeps_pending", "Partitions where rows that went without a record may still be in the replica.", _TABLE
)
REBUILDING = Gauge(
    "holdtrue_rebuilding", "Partitions of which nothing was known, whose rows are read from the SOT.", _TABLE
)
BACKFILLED = Counter(
    "holdtrue_backfill_rows", "Rows of backfills: looked up, and written, removed or failed among them.",
    (*_TABLE, "result"),
)  # fmt: skip
BACKFILLS_WAITING = Gauge("holdtrue_backfills_waiting", "Backfills of partitions that are not done yet.", _TABLE)
SUSPICIONS = Gauge(
    "holdtrue_suspicions", "Keys under which the store holds a token that is not ours, until that is settled.", _TABLE
)
REVIEWS_OPEN = Told("holdtrue_reviews_open", "Reviews waiting for a decision.")
STORE_ERRORS = Counter("holdtrue_store_errors", "Failed calls to a store; each was tried again.", ("store", "reason"))
SOT_READS = Counter("holdtrue_sot_reads", "Keys read from the SOT, by reason.", (*_TABLE, "reason"))
PROGRESS_SECONDS = Told(
    "holdtrue_progress_timestamp_seconds", "When this process last committed an offset, or last had no lag."
)
