"""A table that comes into a running plan, or goes out of it: a worker started again at once follows it."""

from __future__ import annotations

import copy
import json
from typing import Any

import psycopg
import pytest

from streams.cli.status import UNPUBLISHED, UNREAD
from streams.connectors import source
from streams.connectors.render import connector_name
from streams.kafka.connect import Connect
from streams.plan.check import load_plan
from tests.integration.worker.conftest import MakeBank
from tests.support.bank import Bank
from tests.support.processes import stop_all
from tests.support.wait import wait_until

pytestmark = pytest.mark.stack
PERSON, THING = "public.person", "public.thing"
LATE, IDLE, LAST = "public.late", "public.idle", "public.last"
ROWS = 10_000


@pytest.fixture(scope="module")
def town(make_bank: MakeBank) -> Bank:
    """One replica of two tables, caught up, its worker running; two other tables are only at the source."""
    bank = make_bank("reports")
    bank.change(
        "CREATE TABLE late (id int PRIMARY KEY, note text)",
        f"INSERT INTO late SELECT n, 'note ' || n FROM generate_series(1, {ROWS}) n",
        "CREATE TABLE idle (id int PRIMARY KEY)",
    )
    bank.apply()
    bank.worker("reports")
    bank.wait_caught_up("reports")
    return bank


def plan(bank: Bank, *tables: str) -> None:
    """Give the plan these tables."""
    for place in (bank.document, bank.document["replicas"]["reports"]):
        any_table = next(iter(place["tables"].values()))
        place["tables"] = {table: place["tables"].get(table, copy.deepcopy(any_table)) for table in tables}
    bank.write_plan()


def replan(bank: Bank, *tables: str) -> None:
    """Do what the plan says, and start the worker again while Kafka still counts on the one before."""
    plan(bank, *tables)
    bank.apply()
    (running,) = [worker for worker in bank.workers if worker.process.poll() is None]
    assert stop_all([running]) == [0]
    bank.worker("reports")


def status(bank: Bank) -> dict[str, dict[str, Any]]:
    """What `status` says, by table."""
    return {row["table"]: row for row in json.loads(bank.run("--format", "json", "status").stdout)["tables"]}


def problems(bank: Bank) -> dict[str, list[str]]:
    """Of each table."""
    return {table: row["problems"] for table, row in status(bank).items()}


def seen_published(bank: Bank) -> set[str]:
    """The tables that control knows to be published."""
    with psycopg.connect(bank.env["HOLDTRUE_CONTROL_DSN"]) as database:
        there = database.execute("SELECT to_regclass('holdtrue.source') IS NOT NULL").fetchone()
        rows = database.execute("SELECT published FROM holdtrue.source").fetchall() if there == (True,) else []
    return {table for (published,) in rows for table in published}


def test_a_table_that_is_not_read_is_told(town: Bank) -> None:
    """As long as nothing was asked for, and never of an empty one."""
    plan(town, PERSON, THING, LATE, IDLE)
    town.done("topics", "apply")
    told = problems(town)
    assert {UNREAD, UNPUBLISHED} <= set(told[LATE])
    assert UNREAD not in told[IDLE]


def test_where_control_never_started_nothing_is_known_of_drift(town: Bank) -> None:
    """Lag is shown all the same; no 0, no exit 0."""
    ran = town.run("--format", "json", "status")
    assert (ran.returncode, "control never started" in ran.stderr) == (3, True), ran.stderr
    assert {(row["drift_open"], row["lag_seconds"] is None) for row in json.loads(ran.stdout)["tables"]} == {
        (None, False)
    }


def test_a_table_that_was_added_comes_with_its_rows_and_one_that_was_removed_is_left(town: Bank) -> None:
    """Kafka gives a member that comes back within its session what it had, whatever it now asks for."""
    replan(town, THING, LATE, IDLE)
    town.change(
        "INSERT INTO late VALUES (-1, 'added'), (-2, 'and kept')",
        "UPDATE late SET note = 'changed while it is copied' WHERE id % 10 = 0",
        "DELETE FROM late WHERE id % 10 = 1",
        "UPDATE thing SET note = 'still kept'",
    )
    town.wait_equal("reports")
    town.wait_caught_up("reports")
    assert len(town.actual("reports", LATE)) == 2 + ROWS - ROWS // 10
    assert PERSON not in town.workers[-1].said
    fine: dict[str, list[str]] = {THING: [], LATE: [], IDLE: []}
    wait_until(lambda: problems(town) == fine, lambda: f"no problems, not {problems(town)}")


def test_every_table_is_validated_also_one_without_a_row(town: Bank) -> None:
    """Nothing of it has ever been in Kafka, and that is right."""
    results = town.validate("--depth", "checksums")
    assert {each["table"]: each["outcome"] for each in results} == dict.fromkeys((THING, LATE, IDLE), "correct")


def test_rows_of_a_table_that_is_not_read_are_incomplete_not_missing(town: Bank) -> None:
    """Its keys have no owner that could be asked."""
    with psycopg.connect(town.env["HOLDTRUE_REPLICA_DSN"], autocommit=True) as store:
        store.execute("INSERT INTO idle (id) VALUES (1)")
        (found,) = town.validate("--depth", "checksums", "--table", IDLE)
        store.execute("DELETE FROM idle")
    assert (found["outcome"], found["drift_found"]) == ("incomplete", 0)
    assert "No record of public.idle has reached Kafka" in found["reason"]


def test_a_table_that_was_made_anew_is_told_and_read_again(town: Bank) -> None:
    """It has left the publication with the table that was dropped; nothing else shows that its changes are lost.

    Control, which has seen it published, opens drift: what was lost stays lost when it is published again.
    """
    control = town.control()
    wait_until(lambda: THING in seen_published(town), "control to have seen what is published")
    with town.sot.transaction():
        town.change(
            "CREATE TABLE anew (LIKE thing INCLUDING ALL)",
            "INSERT INTO anew SELECT * FROM thing WHERE id > 50",
            "DROP TABLE thing",
            "ALTER TABLE anew RENAME TO thing",
        )
    assert UNPUBLISHED in problems(town)[THING]
    town.wait_event("drift", kind="continuity", table=THING)
    assert not [each for each in town.events("drift") if each["kind"] == "continuity" and each["table"] != THING]
    ran = town.run("connectors", "status")
    assert ran.returncode == 3
    assert "does not publish all of public.thing" in ran.stderr
    town.done("connectors", "apply")
    town.sot.execute("UPDATE thing SET note = 'anew' WHERE id > 90")
    town.wait_caught_up("reports")
    wait_until(lambda: town.actual("reports", THING)["100",]["note"] == "anew", "its changes to arrive again")
    (found,) = town.validate("--depth", "checksums", "--table", THING)
    assert found["drift_found"] == 50  # deletes that nobody told of
    town.sot.execute("INSERT INTO thing SELECT n, 'note' FROM generate_series(1, 50) n")
    town.wait_caught_up("reports")
    wait_until(lambda: town.open_drift("reports") == 51, "control to know of all drift")
    assert [each["outcome"] for each in town.validate("--depth", "checksums", "--table", THING)] == ["correct"]
    wait_until(lambda: not any(problems(town).values()), lambda: f"no problems, not {problems(town)}")
    assert stop_all([control]) == [0]


def test_a_publication_that_cannot_be_made_right_leaves_the_connector_running(town: Bank) -> None:
    """What it leaves out is told; who may not change it is told why, and the others go on being read."""
    (publication,) = town.sot.execute("SELECT pubname FROM pg_publication").fetchall()[0]
    town.change(f"ALTER PUBLICATION {publication} SET (publish = 'insert')")
    assert problems(town) == {THING: [UNPUBLISHED], LATE: [UNPUBLISHED], IDLE: [UNPUBLISHED]}
    town.change(f"DROP PUBLICATION {publication}", f"CREATE PUBLICATION {publication} FOR TABLES IN SCHEMA public")
    refused = town.run("connectors", "apply")
    assert refused.returncode == 1
    assert "publishes whole schemas" in refused.stderr
    wait_until(lambda: "RUNNING" in town.run("connectors", "status").stdout, "the connector to run again")
    town.change(f"DROP PUBLICATION {publication}")
    town.done("connectors", "apply")
    wait_until(lambda: not any(problems(town).values()), lambda: f"no problems, not {problems(town)}")


def test_what_was_asked_for_is_not_lost_with_the_connector_that_should_read_it(town: Bank) -> None:
    """A table is published and its rows are asked for; whoever did it ended before the connector was started again."""
    town.sot.execute("CREATE TABLE last AS SELECT * FROM thing")
    town.sot.execute("ALTER TABLE last ADD PRIMARY KEY (id)")
    plan(town, THING, LATE, IDLE, LAST, PERSON)
    town.done("topics", "apply")
    loaded = load_plan(town.path)
    connect = Connect(town.env["HOLDTRUE_CONNECT"])
    assert connect.stop(connector_name(loaded))
    with source.connect(town.env["HOLDTRUE_SOT_DSN"]) as connection:
        assert source.prepare(connection, loaded).asked == (LAST, PERSON)
        assert source.prepare(connection, loaded).asked == ()
    replan(town, THING, LATE, IDLE, LAST, PERSON)
    town.wait_equal("reports")


def test_a_worker_that_starts_without_one_of_its_tables_keeps_the_others(town: Bank) -> None:
    """It is held with the reason until the source has it again; a repair ordered meanwhile writes nothing."""
    (running,) = [worker for worker in town.workers if worker.process.poll() is None]
    assert stop_all([running]) == [0]
    town.change("UPDATE late SET note = 'before it went' WHERE id = 2")
    town.wait_published()  # what the connector reads after the table is gone has no key
    town.change("ALTER TABLE late RENAME TO elsewhere")
    town.change("UPDATE thing SET note = 'while it is gone' WHERE id = 7")
    running = town.worker("reports")
    wait_until(lambda: town.actual("reports", THING)["7",]["note"] == "while it is gone", "the others to be kept")
    control = town.control()
    gone = "has no table public.late"
    wait_until(
        lambda: gone in str(status(town)[LATE]["held"]), lambda: f"the hold to be told, not {status(town)[LATE]}"
    )
    town.change("ALTER TABLE elsewhere RENAME TO late")
    (found,) = town.validate("--depth", "checksums", "--table", LATE)
    assert found["outcome"] == "incomplete"
    assert gone in found["reason"]
    assert stop_all([running]) == [0]
    town.worker("reports")
    wait_until(lambda: town.actual("reports", LATE)["2",]["note"] == "before it went", "the table to be kept again")
    # It was not published either for a while.
    (found,) = town.validate("--depth", "checksums", "--table", LATE)
    assert found["outcome"] == "correct"
    wait_until(lambda: not any(problems(town).values()), lambda: f"no problems, not {problems(town)}")
    assert stop_all([control]) == [0]
