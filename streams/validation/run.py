"""A run: one table × replica, to one depth, to a report."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

from streams.errors import HoldtrueError
from streams.validation.counts import counts
from streams.validation.depth import RunDepth
from streams.validation.pushed import checksums
from streams.validation.report import Report, Sampled
from streams.validation.rounds import Rounds
from streams.validation.sample import BY_PLAN, Sampling, sample
from streams.validation.target import Target


def validate(target: Target, depth: RunDepth, sampling: Sampling = BY_PLAN) -> Report:
    """Run to this depth. What keeps the run from finishing is in the report: it is `incomplete`."""
    report = _empty(target.replica, target.table, str(depth))
    if depth is RunDepth.sample:
        report.sampled = Sampled(*sampling.of(target.sample_keys))
    _finish(target, report, lambda report: _begin(target, report))
    return report


def go_on(target: Target, report: Report) -> Report:
    """Go on with a run that was interrupted, from where all is decided; its time is since it began.

    One that had decided nothing begins anew, under its name and with the keys of its sample.
    """
    report.part += 1
    target.keep(report)
    target.progress(report.sot_rows or 0)
    _finish(target, report, lambda report: _look(target, report))
    report.seconds = (datetime.now(UTC) - report.began).total_seconds()
    return report


def _begin(target: Target, report: Report) -> None:
    # What was told of later is not ended by it; and what it has told itself, should it be gone on with, is behind it.
    report.drift_before = target.drift_ends()
    target.begun(report)
    _look(target, report)


def _look(target: Target, report: Report) -> None:
    match report.depth:
        case RunDepth.sample:
            sample(target, report)
        case RunDepth.counts:
            counts(target, report)
        case RunDepth.checksums if not report.after:
            checksums(target, report)
        case _:
            Rounds(target, report).full()


def validate_keys(target: Target, keys: list[bytes]) -> Report:
    """Check these keys alone, twice: after a repair."""
    return _run(target, "keys", lambda report: Rounds(target, report).keys(keys))


def _run(target: Target, depth: str, work: Callable[[Report], None]) -> Report:
    report = _empty(target.replica, target.table, str(depth))
    _finish(target, report, work)
    return report


def _finish(target: Target, report: Report, work: Callable[[Report], None]) -> None:
    started = time.monotonic()
    try:
        work(report)
    except HoldtrueError as error:
        report.end_early(str(error))
    report.seconds = time.monotonic() - started
    if report.outcome == "correct" and report.covers_all:
        # Only content of every key moves the mark, and only to where the run began: later changes were not looked at.
        report.verified_through = f"{report.fence_lsn} at {report.began:%Y-%m-%dT%H:%M:%SZ}"


def not_begun(replica: str, table: str, depth: RunDepth, error: HoldtrueError) -> Report:
    """The report of a run for which nothing could be opened: `incomplete`, and nothing was counted."""
    report = _empty(replica, table, str(depth))
    report.end_early(str(error))
    return report


def _empty(replica: str, table: str, depth: str) -> Report:
    return Report(f"run-{uuid4()}", table, replica, depth)
