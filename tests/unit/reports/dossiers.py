"""Runs with all that came of them, made by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from streams.control.dossier import Dossier, Hold, Samples
from tests.integration.control.records import NOON, TABLE

HASH = bytes(range(32))


def at(minute: float) -> datetime:
    """Some minutes after noon."""
    return NOON + timedelta(minutes=minute)


def run(**fields: Any) -> dict[str, Any]:
    """A correct run of two minutes."""
    return {
        "run": "run-1", "table": TABLE, "replica": "cache", "depth": "checksums", "scope": "table",
        "outcome": "correct", "sot_rows": 200_000, "replica_rows": 200_000, "verified": 200_000, "absent": 0,
        "superseded": 0, "skipped": 0, "failed": 0, "drift_found": 0, "fence_lsn": "0/AB00",
        "verified_through": "0/AB00", "verified_through_at": at(0), "seconds": 120.25, "started": at(0),
        "finished": at(2), "who": "ada", "plan_hash": "ab" * 32, "owner": "shop-team", "approver": "data-governance",
        "error": None,
    } | fields  # fmt: skip


def drifted(number: int, **fields: Any) -> dict[str, Any]:
    """A record of drift that the run told of."""
    return {
        "id": f"d{number}", "key": {"aid": str(number)}, "key_bytes": b"%d" % number, "key_hidden": False, "keys": 1,
        "kind": "stale", "cause": "missed change", "state": "resolved", "first_seen": at(1), "last_seen": at(1),
        "times_seen": 2, "columns": ["abalance"], "repair": "repair-1", "reason": None,
    } | fields  # fmt: skip


def sample(minute: int, lag: float | None, drift: int = 0, *, held: bool = False) -> dict[str, Any]:
    """The worst of a minute."""
    events = None if lag is None else int(lag * 100)
    return {"at": at(minute), "lag_seconds": lag, "lag_events": events, "drift_open": drift, "held": held}


def samples(*rows: dict[str, Any], minutes: int = 1) -> Samples:
    """Around the run."""
    return Samples(minutes, at(-60), at(62), rows)


def entry(sequence: int) -> dict[str, Any]:
    """Of the audit trail."""
    return {"sequence": sequence, "at": at(2), "who": "ada", "hash": HASH}


CORRECT = Dossier(
    plan="bank",
    run=run(),
    counts=[],
    drift=[],
    ended={"superseded": 3, "resolved": 1},
    repairs=[],
    holds=[],
    holds_cut=False,
    mark={"position": "0/AB00", "at": at(0)},
    entry=entry(41),
    tail=entry(44),
    samples=samples(*(sample(minute, 0.25 + (minute % 7) / 10) for minute in range(-60, 62))),
)
_LOST = {"kind": "missing", "cause": "unknown", "state": "open", "repair": None, "columns": []}
DRIFTED = replace(
    CORRECT,
    run=run(outcome="drifted", verified=199_996, drift_found=4, verified_through=None, verified_through_at=None),
    counts=[
        {"kind": "missing", "cause": "unknown", "state": "open", "count": 1, "records": 1},
        {"kind": "stale", "cause": "missed change", "state": "resolved", "count": 2, "records": 2},
    ],
    drift=[drifted(1), drifted(2), drifted(3, **_LOST, key={"name": "<b>&|*_x_\n\u202e"})],
    ended={},
    repairs=[
        {"repair": "repair-1", "first": at(5), "last": at(6), "keys": 2, "repaired": 2, "reason": "rogue <write>",
         "ordered_by": "ada",
         "repairs": 1},
    ],
    holds=[
        Hold(None, at(-30), at(1), "ada", "the replica is moved"),
        Hold(2, at(1), None, "/holdtrue/bank/cache", "odd"),
    ],
    samples=samples(
        sample(-3, 0.5), sample(-2, None), sample(-1, 3.5, 0, held=True), sample(0, 4.0, 0), sample(1, 0.5, 4),
        sample(6, 0.25, 1),
    ),
)  # fmt: skip
INCOMPLETE = replace(
    CORRECT,
    run=run(
        outcome="incomplete", depth="counts", sot_rows=None, replica_rows=None, verified=None, absent=None,
        superseded=None, skipped=None, failed=None, drift_found=None, fence_lsn=None, verified_through=None,
        verified_through_at=None, who=None, plan_hash=None, owner=None, approver=None,
        error="No worker of cache is running: nobody could answer.",
    ),
    ended={},
    mark=None,
    entry=None,
    tail=None,
    samples=samples(minutes=60),
)  # fmt: skip
ALL = {"correct": (CORRECT, 2.0), "drifted": (DRIFTED, 2.0), "incomplete": (INCOMPLETE, None)}
