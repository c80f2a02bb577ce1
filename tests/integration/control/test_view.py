"""What the command line reads, before and after control has started; the real command, in a subprocess."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from streams.control.database import Database
from streams.control.materialise import Materialiser
from streams.control.view import ControlEmpty, remembered
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


def test_a_database_in_which_control_never_started_is_no_clean_one(plan: Plan, dsn: str) -> None:
    """It may be a wrong one. Nothing is made in it, and every verb says the same of what to do."""
    with pytest.raises(ControlEmpty, match="control never started in it"):
        remembered(plan)
    said = set()
    for words in (("drift", "list"), ("dlq", "list"), ("audit", "list"), ("repair", "plan")):
        done = holdtrue("--format", "json", *words)
        assert (done.returncode, done.stdout) == (1, ""), words
        said.add(done.stderr)
    (told,) = said
    assert "holdtrue worker --control" in told
    with closing(Database(dsn, application="tests")) as database:
        assert not database.has_schema()


def test_status_reads_what_control_has_remembered(plan: Plan, materialiser: Materialiser) -> None:
    """Drift counts while it is open, repairing or repaired; a hold with the record it stops before, and the reason."""
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
    held = f"bank.{TABLE} partition 2 offset 40: odd"
    assert (known.drift_open, known.held, known.verified) == ({PLACE: 2}, {PLACE: held}, {})


def test_drift_that_no_record_tells_of_is_remembered_until_a_run_is_correct(
    plan: Plan, materialiser: Materialiser
) -> None:
    """A count that differs names no key. What a run could name is open, and when that is repaired all is well."""

    def after(offset: int, depth: str, outcome: str, found: int = 0) -> bool:
        detail = {"depth": depth, "outcome": outcome, "drift_found": str(found), "seconds": "1"}
        materialiser.apply(SIGNALS, 0, [signal(offset, "run-finished", detail, run=f"r{offset}")])
        return PLACE in remembered(plan).unrecorded

    assert after(0, "counts", "drifted", 2)
    assert after(1, "counts", "incomplete")  # it says nothing
    assert not after(2, "counts", "correct")
    named = [drift(0, "open", run="r3"), drift(1, "open", run="r3"), drift(2, "open", drift="d2", run="r3")]
    materialiser.apply(DRIFT, 0, [*named, drift(3, "resolved", run="r4"), drift(4, "resolved", drift="d2", run="r4")])
    assert not after(3, "checksums", "drifted", 2)
    assert not after(4, "keys", "correct")
    assert after(5, "checksums", "drifted", 3)


def test_a_hold_names_one_record_and_how_many_more_there_are(plan: Plan, materialiser: Materialiser) -> None:
    """Whoever holds the whole table, or cannot tell the offset, names none."""

    def held(*details: dict[str, str]) -> str:
        cleared = [signal(place["next"], "table-released", {})]
        signals = [signal(place["next"] + n, "table-held", detail) for n, detail in enumerate(details, start=1)]
        materialiser.apply(SIGNALS, 0, [*cleared, *signals])
        place["next"] += len(details) + 1
        return remembered(plan).held[PLACE]

    place = {"next": 0}
    assert held({"reason": "by hand"}) == "by hand"
    assert held({"reason": "odd", "partition": "2", "offset": "-1"}) == f"bank.{TABLE} partition 2: odd"
    many = ({"reason": "odd", "partition": str(n), "offset": "4"} for n in range(3))
    assert held(*many) == f"bank.{TABLE} partition 0 offset 4: odd (2 more partitions are held)"


def test_a_hold_names_the_record_that_is_the_reason(plan: Plan, materialiser: Materialiser) -> None:
    """Partitions that stop only for another one's record come behind it: theirs are innocent, and might be deleted."""
    holds = [{"reason": f"odd {n}", "partition": str(n), "offset": "4", "held_by": "2"} for n in range(4)]
    materialiser.apply(SIGNALS, 0, [signal(n, "table-held", detail) for n, detail in enumerate(holds)])
    assert remembered(plan).held[PLACE] == f"bank.{TABLE} partition 2 offset 4: odd 2 (3 more partitions are held)"
    # What was said before of a partition is no more.
    materialiser.apply(SIGNALS, 0, [signal(4, "table-held", {**holds[1], "held_by": "1"})])
    assert remembered(plan).held[PLACE].startswith(f"bank.{TABLE} partition 1 offset 4: odd 1")


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
        "keys",
        "causes",
        "evidence",
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
        ("drift", "accept", "nobody", "--reason", "x", "--until", "yesterday"),
        ("dlq", "replay", "l0"),
        ("dlq", "discard", "l0"),
        ("drift", "list", "--state", "opened"),
        ("dlq", "list", "--reason", "nosuch"),
        ("dlq", "list", "--table", "public.nosuch"),
    ):
        done = holdtrue(*words)
        assert (done.returncode, done.stdout) == (2, ""), words
        assert done.stderr.startswith("error: "), words


def test_a_dead_letter_shows_what_a_person_decides_by(materialiser: Materialiser) -> None:
    """Place, reason, schema, the key of its row, and what its drift has become; never a value."""
    value = b"\x00" + (77).to_bytes(4, "big") + b"secret row"
    materialiser.apply(DRIFT, 0, [drift(0, "open", kind="unapplied"), drift(1, "open", drift="d2", key_hidden=True)])
    letters = [letter(0, 40, drift="d1", value=value), letter(1, 41, drift="d2"), letter(2, 42, value=None)]
    materialiser.apply(LETTERS, 3, letters)
    shown = [json.loads(holdtrue("dlq", "show", f"l{number}").stdout) for number in range(3)]
    first = {name: shown[0][name] for name in ("topic", "partition", "offset", "reason", "error", "times")}
    assert first == {
        "topic": f"bank.{TABLE}", "partition": 2, "offset": 40, "reason": "undecodable", "error": "It is no Avro.",
        "times": 1,
    }  # fmt: skip
    assert [each["schema_id"] for each in shown] == [77, None, None]
    assert [each["key"] for each in shown] == [{"aid": "7"}, f"hmac:{b'7'.hex()}", None]
    assert [each["drift_state"] for each in shown] == ["open", "open", None]
    places = [(each["letter_topic"], each["letter_partition"], each["letter_offset"]) for each in shown]
    assert places == [(LETTERS, 3, offset) for offset in range(3)]
    assert "secret" not in str(shown)
    assert holdtrue("dlq", "list", "--reason", "refused").returncode == 0
