"""Backfills on real servers, under load: what is wrong in the range is made right, and nothing else is touched."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from streams.steps import Step
from tests.integration.worker.conftest import MakeBank
from tests.support.bank import Bank
from tests.support.load import Load
from tests.support.wait import wait_until

pytestmark = pytest.mark.stack
PERSON, THING = "public.person", "public.thing"
ROWS = 3_000
TOWN = f"""
CREATE TABLE person (id int PRIMARY KEY, name text);
CREATE TABLE thing (id int PRIMARY KEY, note text);
INSERT INTO person SELECT n, 'name ' || n FROM generate_series(1, 300) n;
INSERT INTO thing SELECT n, 'note ' || n FROM generate_series(1, {ROWS}) n;
"""
REPLICAS: dict[str, dict[str, dict[str, Any]]] = {
    "reports": {PERSON: {}, THING: {"repair": {"automatic": [], "rows_per_second": 2_000}}},
    "cache": {THING: {}},
}


@pytest.fixture
def town(make_bank: MakeBank) -> Bank:
    """Things in two stores."""
    bank = make_bank(ddl=TOWN, replicas=REPLICAS)
    bank.apply()
    bank.control()
    return bank


@pytest.fixture
def replica(town: Bank) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(town.env["HOLDTRUE_REPLICA_DSN"], autocommit=True) as connection:
        yield connection


def ordered(bank: Bank, *words: str) -> tuple[int, list[dict[str, Any]]]:
    """A backfill; its exit code, and what is said of it."""
    ran = bank.run("--format", "json", "repair", "backfill", *words, "--by", "ann", "--reason", "a test")
    assert ran.returncode in (0, 3), ran.stderr
    return ran.returncode, json.loads(ran.stdout)["backfills"]


def written_by(replica: psycopg.Connection[Any], where: str) -> list[Any]:
    """Rows of things with the transactions that wrote them."""
    return replica.execute(f"SELECT id, note, xmin::text FROM thing WHERE {where} ORDER BY id").fetchall()


def ended(bank: Bank) -> list[dict[str, str]]:
    """What partitions say that have done one."""
    return [event["detail"] for event in bank.events("signals") if event["type"] == "backfill-ended"]


@pytest.mark.long
def test_an_emptied_store_is_filled_while_the_load_runs(town: Bank, replica: psycopg.Connection[Any]) -> None:
    """The one that was asked for, by rows that nobody sends again; drift that was open in it is resolved by its run."""
    for store in ("reports", "cache"):
        town.worker(store)
        town.wait_caught_up(store)
    people = replica.execute("SELECT id, xmin::text FROM person ORDER BY id").fetchall()
    replica.execute("DELETE FROM thing WHERE id <= 40")
    assert town.validate("--replica", "reports", "--table", THING)[0]["drift_found"] == 40
    wait_until(lambda: town.open_drift("reports") == 40, "control to know of it")
    load = Load(town.env["HOLDTRUE_SOT_DSN"], "thing")
    replica.execute("TRUNCATE thing")
    _, planned = ordered(town, "--replica", "reports", "--table", THING)
    assert (planned[0]["partitions"], planned[0]["backfill"]) == (2, None)
    code, done = ordered(town, "--replica", "reports", "--table", THING, "--yes")
    load.stop()
    assert (code, done[0]["outcome"], done[0]["done"], done[0]["failed"]) == (0, "correct", 2, 0), done
    assert done[0]["written"] > ROWS / 2
    town.wait_caught_up("reports")
    town.wait_equal("reports")
    wait_until(lambda: town.open_drift("reports") == 0, "the drift to end")
    ends = [e["state"] for e in town.events("drift") if e["kind"] == "missing" and e["repair"] == done[0]["backfill"]]
    assert {"repairing", "repaired"} <= set(ends)
    assert replica.execute("SELECT id, xmin::text FROM person ORDER BY id").fetchall() == people
    trail = json.loads(town.done("--format", "json", "audit", "list"))["entries"]
    steps = [entry for entry in trail if entry["what"] == "backfill"]
    assert {json.loads(entry["detail"])["step"] for entry in steps} == {"ordered", "ended", "validated"}
    assert ("ann", "a test") in {(entry["who"], entry["why"]) for entry in steps}
    again, nothing = ordered(town, "--replica", "reports", "--table", THING, "--yes")
    assert (again, nothing[0]["written"], nothing[0]["removed"]) == (0, 0, 0), "a right replica is left alone"
    assert nothing[0]["looked"] == nothing[0]["sot_rows"]


def test_a_range_is_filled_across_a_kill_and_followed_again(town: Bank, replica: psycopg.Connection[Any]) -> None:
    """By value: 1000 is not between 100 and 200. Rogue rows, orphans and changes that were lost are in it, too."""
    town.worker("reports")
    town.wait_caught_up("reports")
    replica.execute("DELETE FROM thing WHERE id BETWEEN 90 AND 210")
    replica.execute("UPDATE thing SET note = 'rogue' WHERE id IN (1000, 300)")
    replica.execute("INSERT INTO thing VALUES (0, 'orphan'), (-5, 'orphan')")
    outside = written_by(replica, "id NOT BETWEEN -1 AND 300")
    town.workers[-1].stop(signal.SIGKILL)
    killed = town.worker("reports", HOLDTRUE_CRASH_AT=Step.backfill_noted)
    town.wait_caught_up("reports")
    range_ = ("--replica", "reports", "--table", THING, "--from", "id=-1", "--to", "id=300")
    code, first = ordered(town, *range_, "--yes", "--no-wait")
    assert code == 0
    assert killed.wait_end() == -signal.SIGKILL
    town.worker("reports")
    wait_until(lambda: len(ended(town)) == 2, "both partitions to be done", 120)
    assert sum(int(each["looked"]) for each in ended(town)) == 301
    assert sum(int(each["written"]) + int(each["removed"]) for each in ended(town)) <= 123, "nothing is counted twice"
    code, done = ordered(town, *range_, "--yes")
    told = (code, done[0]["backfill"], done[0]["outcome"], done[0]["done"])
    assert told == (0, first[0]["backfill"], "correct", 2), done
    assert done[0]["written"] + done[0]["removed"] <= 123, "it is followed, not done anew"
    code, anew = ordered(town, *range_, "--yes")
    assert (code, anew[0]["outcome"], anew[0]["done"], anew[0]["written"]) == (0, "correct", 2, 0), anew
    assert written_by(replica, "id NOT BETWEEN -1 AND 300") == outside
    assert [(i, note) for i, note, _ in written_by(replica, "id BETWEEN -1 AND 300")] == [
        (n, f"note {n}") for n in range(1, 301)
    ]


def test_what_cannot_be_is_refused(town: Bank) -> None:
    """A bound that is none of the column's values, a column that is no key; a table that is held says why."""
    town.worker("reports")
    town.wait_caught_up("reports")
    about = ("--replica", "reports", "--table", THING)
    for bound, said in (("id=many", "The range cannot be read"), ("note=1", "is no bound of a range")):
        ran = town.run("repair", "backfill", *about, "--from", bound)
        assert (ran.returncode, said in ran.stderr) == (2, True), ran.stderr
    assert town.run("repair", "backfill", *about, "--yes").returncode == 2, "a reason is missing"
    town.done("hold", *about, "--reason", "a look", "--by", "bob")
    code, refused = ordered(town, *about, "--yes")
    assert (code, refused[0]["outcome"], refused[0]["done"]) == (3, None, 0)
    assert "held: a look" in refused[0]["reasons"]["0"]
