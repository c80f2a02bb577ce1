"""A run: one table × replica, to one depth, to a report."""

from __future__ import annotations

import time
from uuid import uuid4

from streams.checks.request import Depth
from streams.errors import NotReady, StoreUnavailable
from streams.validation.counts import counts
from streams.validation.report import Report
from streams.validation.rounds import Rounds, now_text
from streams.validation.target import Target


def validate(target: Target, depth: Depth) -> Report:
    """Run to `depth` (counts or checksums). What keeps the run from finishing is in the report: it is `incomplete`."""
    report = Report(f"run-{uuid4()}", target.table, target.replica, str(depth))
    started, began = time.monotonic(), now_text()
    try:
        if depth is Depth.counts:
            counts(target, report)
        else:
            Rounds(target, report).checksums()
    except (NotReady, StoreUnavailable) as error:
        report.reason = str(error)
    return _finished(report, started, began)


def validate_keys(target: Target, keys: list[bytes]) -> Report:
    """Check these keys alone, twice: after a repair."""
    report = Report(f"run-{uuid4()}", target.table, target.replica, "keys")
    started, began = time.monotonic(), now_text()
    try:
        Rounds(target, report).keys(keys)
    except (NotReady, StoreUnavailable) as error:
        report.reason = str(error)
    return _finished(report, started, began)


def _finished(report: Report, started: float, began: str) -> Report:
    report.seconds = time.monotonic() - started
    if report.outcome == "correct" and report.covers_all:
        # Only content of every key moves the mark, and only to where the run began: later changes were not looked at.
        report.verified_through = f"{report.fence_lsn} at {began}"
    return report
