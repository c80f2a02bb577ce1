"""What the control database knows of one run, and the verbs that show it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from streams.cli.program import composed, hoisted
from streams.control import dossier as module
from streams.control.database import Database
from streams.control.dossier import Hold, dossier
from streams.control.materialise import Materialiser
from streams.errors import UsageError
from streams.reports.markdown import markdown
from streams.reports.run import run_report
from tests.integration.control.records import DRIFT, NOON, REPAIRS, SIGNALS, TABLE, at, drift, repaired, signal
from tests.unit.plan.plans import EXAMPLE

pytestmark = pytest.mark.stack
DETAIL = {
    "depth": "checksums", "outcome": "drifted", "seconds": "120", "sot_rows": "9", "replica_rows": "9", "verified": "6",
    "absent": "0", "superseded": "0", "skipped": "0", "failed": "0", "drift_found": "3", "fence_lsn": "0/AB",
    "who": "ada", "plan_hash": "ab" * 32, "owner": "shop-team", "approver": "data-governance",
}  # fmt: skip


@pytest.fixture(autouse=True)
def control_dsn(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan finds the control database of this test."""
    monkeypatch.setenv("HOLDTRUE_CONTROL_DSN", dsn)


def holdtrue(*words: str) -> Result:
    """The command with the example plan."""
    return CliRunner().invoke(composed(), ["--plan", str(EXAMPLE), *hoisted(list(words))])


def sampled(database: Database, *minutes: tuple[int, float | None, int], step: int = 1) -> None:
    """Samples at minutes after noon: lag, open drift."""
    for minute, lag, count in minutes:
        with database.transaction() as connection:
            connection.execute(
                "INSERT INTO holdtrue.samples VALUES ('cache', %s, %s, %s, %s, 0, %s, false)",
                (TABLE, step, at(minute), lag, count),
            )


@pytest.fixture
def told(database: Database, materialiser: Materialiser) -> Database:
    """A run from noon+8 to noon+10 that found drift of three keys and ended one; two were repaired."""
    found = [drift(n, "open", drift=f"d{n}", run="r1", minute=9, key={"aid": str(n)}) for n in (1, 2)]
    found += [drift(3, "open", drift="d3", run="r1", minute=9, kind="missing")]
    before = [drift(0, "open", drift="d0", run="r0", minute=1)]
    ended = [drift(4, "superseded", drift="d0", run="r1", minute=10)]
    about = {"drift": "d1", "repair": "p1", "key": {"aid": "1"}, "minute": 11}
    steps = [drift(5, "repairing", reason="rogue write", **about), drift(6, "repaired", **about)]
    steps += [drift(7, "resolved", run="k1", **about)]
    # Another run finds another key; a repair before the run has nothing to do with it.
    others = [drift(8, "open", drift="d9", run="r2", minute=13)]
    materialiser.apply(DRIFT, 0, [*before, *found, *ended, *steps, *others])
    answers = [repaired(1, "failed", repair="p0", drift="d2"), repaired(11, "repaired", repair="p1", drift="d1")]
    answers += [repaired(12, "failed", repair="p1", drift="d2", key=b"8")]
    materialiser.apply(REPAIRS, 0, answers)
    holds = [
        signal(2, "table-held", {"reason": "old", "partition": "0", "offset": "4"}),
        signal(3, "table-released", {"reason": "over", "partition": "0"}),
        signal(7, "table-held", {"reason": "odd", "partition": "1", "offset": "5"}),
        signal(9, "table-released", {"reason": "mended", "partition": "1"}),
        signal(10, "run-finished", DETAIL, run="r1"),
        signal(12, "table-held", {"reason": "later"}),
    ]
    materialiser.apply(SIGNALS, 0, holds)
    return database


def test_everything_that_came_of_a_run(told: Database) -> None:
    """What it told of, as it is now; what it ended; repairs and holds of its time; its place in the trail."""
    found = dossier(told, "r1")
    assert found is not None
    assert (found.plan, found.run["who"], found.run["absent"], found.run["plan_hash"]) == ("bank", "ada", 0, "ab" * 32)
    assert [tuple(row.values()) for row in found.counts] == [
        ("missing", "unknown", "open", 1, 1),
        ("stale", "unknown", "open", 1, 1),
        ("stale", "unknown", "resolved", 1, 1),
    ]
    assert [row["id"] for row in found.drift] == ["d1", "d2", "d3"]
    assert (found.recorded, dict(found.ended)) == (3, {"superseded": 1})
    assert [(row["repair"], row["keys"], row["repaired"], row["reason"]) for row in found.repairs] == [
        ("p1", 2, 1, "rogue write")
    ]
    assert found.repair_count == 1
    assert found.holds == [Hold(1, at(7), at(9), "/holdtrue/bank/cache", "odd")]
    newest, *_ = listed = told.rows("audit_newest", {"limit": 100})
    entries = {row["hash"]: row for row in listed}
    assert found.entry is not None
    assert '"run":"r1"' in entries[found.entry["hash"]]["detail"]
    assert found.tail == {name: newest[name] for name in ("sequence", "hash")}
    assert found.samples.rows == []


def test_a_run_that_nobody_knows(told: Database) -> None:
    """Nothing, and a sentence with exit 2."""
    assert dossier(told, "nosuch") is None
    for words in (("runs", "report", "nosuch"), ("runs", "list", "--outcome", "wrong")):
        done = holdtrue(*words)
        assert (done.stdout, getattr(done.exception, "exit_code", 0)) == ("", 2)
        assert str(done.exception).startswith("There is no ")


def test_a_run_that_could_not_look(materialiser: Materialiser, database: Database) -> None:
    """Nothing was counted, and nobody said who asked: its report says so."""
    detail = {"depth": "counts", "outcome": "incomplete", "seconds": "0.5", "reason": "no worker"}
    materialiser.apply(SIGNALS, 0, [signal(0, "run-finished", detail, run="r1")])
    found = dossier(database, "r1")
    assert found is not None
    assert (found.run["verified"], found.run["who"], found.mark, found.counts) == (None, None, None, [])
    assert "no worker" in markdown(run_report(found, None))


def test_holds_that_ended_before_the_run_are_none_of_its(told: Database) -> None:
    """A release of the whole table ends all; a hold that is said again began when it was said first."""

    def said(minute: int, what: str, detail: str = "", why: str = "") -> dict[str, Any]:
        return {"at": at(minute), "who": "w", "what": what, "why": why, "detail": detail}

    one, two = '{"partition":1}', '{"partition":2}'
    rows = [said(0, "hold", one), said(1, "hold", two), said(2, "hold", one, "again"), said(3, "release")]
    assert module.holds_during(rows, at(4)) == []
    assert module.holds_during(rows, at(2)) == [Hold(1, at(0), at(3), "w", "again"), Hold(2, at(1), at(3), "w", "")]
    assert module.holds_during([*rows, said(5, "hold", '{"partition":-1}')], at(4)) == [
        Hold(None, at(5), None, "w", "")
    ]


def test_samples_are_of_minutes_or_of_the_hours_that_are_left(told: Database) -> None:
    """Around the run, and of its copy."""
    sampled(told, (-120, 1.0, 0), (0, 1.0, 0), step=60)
    found = dossier(told, "r1")
    assert found is not None
    assert (found.samples.minutes, [row["at"] for row in found.samples.rows]) == (60, [at(-120), at(0)])
    sampled(told, (-53, 9.0, 9), (-52, 1.5, 0), (8, None, 3), (70, 0.0, 1), (71, 9.0, 9))
    found = dossier(told, "r1")
    assert found is not None
    shown = [(row["at"], row["lag_seconds"], row["drift_open"]) for row in found.samples.rows]
    assert shown == [(at(-52), 1.5, 0), (at(8), None, 3), (at(70), 0.0, 1)]
    assert (found.samples.minutes, found.samples.first) == (1, at(8) - timedelta(hours=1))


def test_many_records_are_counted_and_some_named(
    told: Database, materialiser: Materialiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exact counts, a bounded list, and the oldest first."""
    monkeypatch.setattr(module, "DRIFT_MAX", 4)
    many = [drift(10 + n, "open", drift=f"m{n:04}", run="r1", minute=20, kind="orphan") for n in range(300)]
    materialiser.apply(DRIFT, 0, many)
    found = dossier(told, "r1")
    assert found is not None
    assert (found.recorded, [row["id"] for row in found.drift]) == (303, ["d1", "d2", "d3", "m0000"])
    assert {"kind": "orphan", "cause": "unknown", "state": "open", "count": 300, "records": 300} in found.counts


def test_a_record_of_many_keys_counts_as_many(told: Database, materialiser: Materialiser) -> None:
    """A flood is one record; how many keys were in drift is exact, and who ordered a repair is named."""
    flood = drift(10, "open", drift="f1", run="r1", minute=9, kind="missing", key=None, key_bytes=None, keys=5_000)
    ordered = drift(11, "repairing", drift="d2", repair="p1", key={"aid": "2"}, minute=20, ordered_by="bob")
    materialiser.apply(DRIFT, 0, [flood, ordered])
    found = dossier(told, "r1")
    assert found is not None
    assert (found.recorded, found.records, len(found.drift)) == (5_003, 4, 4)
    assert [row["ordered_by"] for row in found.repairs] == ["bob"]
    text = markdown(run_report(found, None))
    assert "| missing | unknown | open | 5,001 |" in text
    assert "| bob | rogue write |" in text


def test_the_verbs(told: Database, tmp_path: Path) -> None:
    """A list, one object, and the report: to stdout, or to a file, by its ending or as it is asked for."""
    sampled(told, (8, 0.5, 1))
    (row,) = json.loads(holdtrue("--format", "json", "runs", "list", "--outcome", "drifted").stdout)["runs"]
    assert (row["run"], row["replica"], row["who"], row["started"]) == ("r1", "cache", "ada", at(8).isoformat())
    shown = json.loads(holdtrue("runs", "show", "r1", "--format", "json").stdout)
    assert (shown["run"], shown["plan"], shown["drift_recorded"]) == ("r1", "bank", 3)
    assert {each["id"]: each["key"] for each in shown["drift"]}["d1"] == {"aid": "1"}
    assert [(hold["partition"], hold["until"]) for hold in shown["holds"]] == [(1, at(9).isoformat())]
    assert len(shown["audit"]["entry"]["hash"]) == 64
    (fields,) = [line.split() for line in holdtrue("runs", "show", "r1").stdout.splitlines() if "repair_count" in line]
    assert fields == ["repair_count", "1"]
    first = holdtrue("runs", "report", "r1").stdout
    assert first.startswith(f"# Validation of {TABLE} in cache: drifted\n")
    for file, words, begins in (("run.md", (), first), ("run.html", (), "<!DOCTYPE html>")):
        done = holdtrue("runs", "report", "r1", "--file", str(tmp_path / file), *words)
        assert (done.exit_code, done.stdout) == (0, "")
        assert (tmp_path / file).read_text(encoding="utf-8").startswith(begins)
    done = holdtrue("runs", "report", "r1", "--file", str(tmp_path / "none" / "run.md"))
    assert isinstance(done.exception, UsageError)


def test_who_asked_is_who_the_trail_names(told: Database) -> None:
    """The run's entry is of the person who asked; what says nobody is of the process that told."""
    entries = [row["who"] for row in told.rows("audit_newest", {"limit": 100}) if row["what"] == "run"]
    assert entries == ["ada"]
    assert told.rows("list_runs", {"table": None, "replica": None, "outcome": None, "limit": 1})[0]["started"] > NOON
