"""What the command line reads, before and after control has started; the real command, in a subprocess."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streams.control.database import Database
from streams.control.materialise import Materialiser
from streams.control.view import Remembered, remembered
from streams.plan.model import Plan
from tests.integration.control.records import DRIFT, LETTERS, SIGNALS, TABLE, drift, letter, signal
from tests.unit.plan.plans import EXAMPLE

pytestmark = pytest.mark.stack
PLACE = (TABLE, "cache")


@pytest.fixture(autouse=True)
def control_dsn(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan finds the control database of this test."""
    monkeypatch.setenv("HOLDTRUE_CONTROL_DSN", dsn)


def holdtrue(*words: str) -> subprocess.CompletedProcess[str]:
    """The real command with the example plan."""
    program = str(Path(sys.executable).with_name("holdtrue"))
    environment = {**os.environ, "HOLDTRUE_PLAN": str(EXAMPLE)}
    return subprocess.run((program, *words), env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_nothing_is_remembered_before_control_has_started(plan: Plan) -> None:
    """Status works on an empty database, and makes nothing in it."""
    assert remembered(plan) == Remembered()
    done = holdtrue("--format", "json", "drift", "list")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"drift": []})


def test_status_reads_what_control_has_remembered(plan: Plan, materialiser: Materialiser) -> None:
    """Drift counts while it is open, repairing or repaired; a hold with its reason."""
    lives = [
        drift(0, "open"),
        drift(1, "open", drift="d2"),
        drift(2, "repairing", drift="d2"),
        drift(3, "suspected", drift="d3"),
        drift(4, "open", drift="d4"),
        drift(5, "resolved", drift="d4"),
    ]
    materialiser.apply(DRIFT, 0, lives)
    materialiser.apply(SIGNALS, 0, [signal(0, "table-held", {"reason": "odd", "partition": "2", "offset": "40"})])
    known = remembered(plan)
    assert (known.drift_open, known.held, known.verified) == ({PLACE: 2}, {PLACE: "odd"}, {})


def test_drift_is_listed_with_the_fields_of_the_interface(materialiser: Materialiser) -> None:
    """Filters, and one drift with its history."""
    materialiser.apply(DRIFT, 0, [drift(0, "suspected"), drift(1, "open"), drift(2, "open", drift="d2", kind="orphan")])
    (row,) = json.loads(holdtrue("--format", "json", "drift", "list", "--kind", "stale").stdout)["drift"]
    assert row.keys() == {
        "id",
        "table",
        "replica",
        "key",
        "kind",
        "cause",
        "state",
        "first_seen",
        "last_seen",
        "times_seen",
        "entry_token",
        "replica_token",
        "columns",
        "run",
        "repair",
    }
    assert (row["id"], row["key"], row["state"]) == ("d1", {"aid": "7"}, "open")
    shown = json.loads(holdtrue("--format", "json", "drift", "show", "d1").stdout)
    assert [step["state"] for step in shown["history"]] == ["suspected", "open"]


def test_what_is_not_there_and_not_built_is_refused_by_name(database: Database, materialiser: Materialiser) -> None:
    """Exit 2 with a sentence, whatever words come with it."""
    materialiser.apply(LETTERS, 0, [letter(0, 40)])
    assert holdtrue("dlq", "show", "l0").returncode == 0
    for words in (
        ("drift", "show", "nobody"),
        ("dlq", "show", "nobody"),
        ("drift", "accept", "d1", "--reason", "x"),
        ("dlq", "replay", "l0"),
        ("dlq", "discard", "l0"),
        ("drift", "list", "--state", "opened"),
    ):
        done = holdtrue(*words)
        assert (done.returncode, done.stdout) == (2, ""), words
        assert done.stderr.startswith("error: "), words
