"""Runs that are not over: kept whole, taken by one process, and only by one that may go on with them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streams.errors import HoldtrueError, NotReady, UsageError
from streams.settings import settings
from streams.validation import kept
from streams.validation.depth import RunDepth
from streams.validation.kept import RunFile, unfinished
from streams.validation.report import Drifted, Report

RUN = "run-00000000-0000-4000-8000-000000000001"


def plan(sha256: str = "one") -> Any:
    return SimpleNamespace(name="bank", sha256=sha256)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where runs are kept."""
    monkeypatch.setenv("HOLDTRUE_RUN_DIR", str(tmp_path))
    settings.cache_clear()
    yield tmp_path / "bank"
    settings.cache_clear()


def report(**more: Any) -> Report:
    return Report(RUN, "public.t", "reports", RunDepth.full, sot_rows=3, verified=1, after=b"k\x00\xff", **more)


def left_behind(made: Report) -> None:
    """As a process that was killed leaves it."""
    file = RunFile(plan())
    file.keep(made, "m1")
    file.close()


def test_a_run_is_kept_as_it_is() -> None:
    """With what it has found: bytes, rows, and the drift topic as it was when it began."""
    drifted = Drifted(b"\xff", "stale", b"e", None, b"t", columns=("a", "b"), sot_row={"a": None})
    made = report(drift=[drifted], moving={b"m"}, drift_before=[1, 2], fence_lsn="0/1", part=2, reason="r")
    left_behind(made)
    taken = RunFile(plan()).take(RUN)
    assert (taken.mapping, taken.report) == ("m1", made)
    assert taken.report.asked_as != made.run == taken.report.run


def test_it_is_for_its_owner_alone(folder: Path) -> None:
    """Keys are in it, which a plan may hide elsewhere."""
    left_behind(report())
    assert {path.suffix: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {".run": 0o600, ".lock": 0o600}


@pytest.mark.parametrize("name", [RUN, "../../etc/passwd", "run-1"])
def test_a_run_that_is_not_there_or_over_is_refused(name: str) -> None:
    """One that has ended is over."""
    file = RunFile(plan())
    file.keep(report(), "m1")
    file.forget()
    with pytest.raises(UsageError, match="There is no interrupted run"):
        RunFile(plan()).take(name)
    assert [*unfinished(plan())] == []


def test_a_run_that_is_still_going_on_is_not_taken() -> None:
    """And listed as such: whoever looks for what is to be gone on with knows that it is not over."""
    running = RunFile(plan(), "control")
    running.keep(report(), "m1")
    with pytest.raises(NotReady, match="still going on"):
        RunFile(plan()).take(RUN)
    assert [(found.report.run, found.by, alive) for found, alive in unfinished(plan())] == [(RUN, "control", True)]
    running.close()
    assert [(found.report.run, alive) for found, alive in unfinished(plan())] == [(RUN, False)]


def test_it_stays_the_run_of_whoever_asked_for_it() -> None:
    """Whoever goes on with it."""
    first = RunFile(plan(), "control")
    first.keep(report(), "m1")
    first.close()
    second = RunFile(plan(), "somebody")
    second.keep(second.take(RUN).report, "m1")
    assert [found.by for found, _ in unfinished(plan())] == ["control"]


def test_a_run_under_another_plan_is_refused() -> None:
    """What it has looked at may not hold."""
    left_behind(report())
    with pytest.raises(UsageError, match="The plan has changed"):
        RunFile(plan("two")).take(RUN)


def test_a_run_of_long_ago_is_refused_and_later_forgotten(folder: Path) -> None:
    """Its first keys were looked at too long ago; it can be told as over for a day yet, and nobody has to clear up."""
    left_behind(report(began=datetime.now(UTC) - timedelta(hours=25)))
    file = RunFile(plan())
    with pytest.raises(UsageError, match="more than a day ago"):
        file.take(RUN)
    assert file.last(RUN) is not None
    file.close()
    assert len([*unfinished(plan())]) == 1
    left_behind(report(began=datetime.now(UTC) - timedelta(hours=49)))
    assert [*unfinished(plan())] == []
    assert [*folder.iterdir()] == []


def test_what_cannot_be_read_is_refused(folder: Path) -> None:
    """A file of another version."""
    left_behind(report())
    (folder / f"{RUN}.run").write_bytes(b"\xc1")
    with pytest.raises(UsageError, match="cannot be read"):
        RunFile(plan()).take(RUN)


def test_a_disk_that_takes_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do; the run itself goes on."""

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept.os, "fsync", full)
    with pytest.raises(HoldtrueError, match="No space left on device") as raised:
        RunFile(plan()).keep(report(), "m1")
    assert "HOLDTRUE_RUN_DIR" in raised.value.hint
    monkeypatch.setattr(kept.os, "fsync", os.fsync)


def test_the_next_run_clears_up_behind_those_of_long_ago(folder: Path) -> None:
    """Their keys do not lie there for good."""
    left_behind(report(began=datetime.now(UTC) - timedelta(hours=49)))
    other = report()
    other.run = RUN[:-1] + "2"
    left_behind(other)
    assert {path.stem for path in folder.iterdir()} == {other.run}
