"""A run on its way through the signals topic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streams.control.run import FINISHED, VALIDATED, NotARun, run_of
from streams.validation.report import Report

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
REACHED = datetime(2026, 5, 1, 11, 59, 0, 5, tzinfo=UTC)
REPORT = Report(
    "r1", "public.t", "cache", "checksums", sot_rows=10, replica_rows=10, verified=10, fence_lsn="0/16B3748",
    verified_through=f"0/16B3748 at {REACHED.isoformat()}", seconds=60.0,
)  # fmt: skip


def signal_of(report: Report) -> dict[str, Any]:
    """The signal `validate` sends, but for its time."""
    detail = {name: str(value) for name, value in report.document().items() if value is not None}
    type_ = VALIDATED if report.outcome == "correct" else FINISHED
    return {
        "id": "s",
        "type": type_,
        "replica": report.replica,
        "table": report.table,
        "position": report.fence_lsn or None,
        "run": report.run,
        "detail": detail,
        "at": AT,
    }


def test_every_figure_of_a_report_is_in_the_run() -> None:
    """Counts, positions, and the time the mark was reached."""
    run = run_of(signal_of(REPORT))
    same = ("run", "table", "replica", "depth", "outcome", "sot_rows", "replica_rows", "verified", "superseded",
            "skipped", "failed", "drift_found", "fence_lsn", "seconds")  # fmt: skip
    assert {name: getattr(run, name) for name in same} == {name: REPORT.document()[name] for name in same}
    assert (run.verified_through, run.verified_through_at) == ("0/16B3748", REACHED)
    assert (run.started, run.finished, run.error) == (AT - timedelta(seconds=60), AT, None)


def test_an_incomplete_run_says_why_and_has_no_mark() -> None:
    """No fence was passed: the fields are absent, not empty."""
    run = run_of(signal_of(Report("r2", "public.t", "cache", "counts", reason="held")))
    assert (run.outcome, run.error, run.fence_lsn, run.verified_through) == ("incomplete", "held", None, None)


def test_what_was_not_counted_is_absent_and_not_zero() -> None:
    """Where the source could not be read; once it was, every row of it that was not decided has failed."""
    report = Report("r2", "public.t", "cache", "counts")
    report.end_early("held")
    counted = ("sot_rows", "replica_rows", "verified", "superseded", "skipped", "failed", "drift_found")
    assert {name: getattr(run_of(signal_of(report)), name) for name in counted} == dict.fromkeys(counted)
    assert {name: report.document()[name] for name in counted} == dict.fromkeys(counted)
    read = Report("r3", "public.t", "cache", "counts", sot_rows=5)
    read.end_early("held")
    run = run_of(signal_of(read))
    assert (run.sot_rows, run.replica_rows, run.verified, run.failed, run.drift_found) == (5, None, 0, 5, 0)


@pytest.mark.parametrize(
    "broken",
    [{"outcome": "fine"}, {"seconds": "soon"}, {"fence_lsn": "12345"}, {"verified_through": "0/1 at noon"}],
)
def test_a_signal_that_is_no_run_is_named(broken: dict[str, str]) -> None:
    """What else writes to the topic does not become a run."""
    signal = signal_of(REPORT)
    signal["detail"] |= broken
    with pytest.raises(NotARun):
        run_of(signal)


def test_a_signal_without_its_fields_is_named() -> None:
    """No detail at all."""
    with pytest.raises(NotARun):
        run_of(signal_of(REPORT) | {"detail": {}})
