"""A source of truth that fails over, is restored, or loses its slot: nothing stalls, it is said, a full run ends it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from streams.local.stack import Stack
from tests.integration.worker.conftest import TOWN
from tests.support.bank import Bank
from tests.support.postgres_server import Servers
from tests.support.processes import Worker, stop_all
from tests.support.wait import wait_until

pytestmark = pytest.mark.stack
PERSON = "public.person"


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """With the first one running."""
    with ExitStack() as made:
        yield Servers(made)


@pytest.fixture(scope="module")
def town(shared_stack: Stack, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """One replica of a table there, caught up."""
    folder: Path = tmp_path_factory.mktemp("bank")
    bank = Bank(shared_stack, folder, TOWN, {PERSON: ["id"]}, {"reports": {PERSON: {}}}, sot=servers.now.dsn)
    try:
        bank.apply()
        bank.control()
        bank.worker("reports")
        bank.wait_caught_up("reports")
        yield bank
    finally:
        bank.close()


def changes_that_will_be_lost(bank: Bank, servers: Servers) -> None:
    """Applied to the replica, and then the source is gone: with log positions and ids that will be given again."""
    for number in range(200):
        bank.sot.execute("UPDATE person SET name = %s WHERE id = %s", [f"lost {number}", number % 20 + 1])
    bank.sot.execute("DELETE FROM person WHERE id BETWEEN 21 AND 25")
    bank.sot.execute("INSERT INTO person VALUES (901, 'never was', 'Oslo', '2001-01-01', NULL)")
    for _ in range(3):
        bank.sot.execute("SELECT pg_switch_wal(), pg_logical_emit_message(true, 'holdtrue', 'tests')")
    bank.wait_caught_up("reports")
    seen_by_control(bank)
    bank.sot.close()
    servers.lose()


def seen_by_control(bank: Bank) -> None:
    """Until control knows of the slot, and how far the log is."""
    row = bank.sot.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()
    assert row is not None
    with psycopg.connect(bank.env["HOLDTRUE_CONTROL_DSN"], autocommit=True) as control:
        there = "SELECT FROM pg_tables WHERE schemaname = 'holdtrue' AND tablename = 'source'"
        wait_until(lambda: control.execute(there).fetchone() is not None, "control's database")
        query = "SELECT FROM holdtrue.source WHERE slot AND lsn >= %s"
        wait_until(lambda: control.execute(query, [row[0]]).fetchone() is not None, "control to look")


def sot_reads(worker: Worker) -> float:
    """How often a change was asked about, as the worker counts it."""
    return worker.metric("holdtrue_sot_reads_total", reason="order")


def begun_again(bank: Bank) -> None:
    """What a person does: a new snapshot by a new slot. Then owners hear where the new log begins."""
    known = len(orders(bank))
    bank.sot = psycopg.connect(bank.env["HOLDTRUE_SOT_DSN"], autocommit=True)
    bank.done("connectors", "delete", "--forget", "--yes")
    continuity(bank, "offsets were deleted")
    bank.done("connectors", "apply")
    wait_until(lambda: len(orders(bank)) == known + 2, "an order for each partition")
    bank.sot.execute("UPDATE person SET name = 'new log' WHERE id <= 50")
    bank.wait_caught_up("reports")


def orders(bank: Bank) -> list[Any]:
    """Orders of a new log."""
    return [each for each in bank.events(f"checks.reports.{PERSON}") if each["depth"] == "log"]


def right_again(bank: Bank) -> None:
    """A run finds what was lost, a repair mends it, a correct run closes the drift of the table."""
    assert [each["outcome"] for each in bank.validate("--replica", "reports")] == ["drifted"]
    wait_until(lambda: bank.open_drift("reports") > 1, "control to know of the drift")
    bank.done("repair", "plan", "--replica", "reports")
    bank.done("repair", "apply", "repair.json")
    assert [each["outcome"] for each in bank.validate("--replica", "reports")] == ["correct"]
    assert bank.difference("reports") == {}
    wait_until(lambda: bank.open_drift("reports") == 0, "the drift to be closed")


def differing(bank: Bank) -> int:
    """How many rows of the replica are not as in the source; of a lost slot, that whose delete is in no log."""
    return sum(len(rows) for rows in bank.difference("reports").values())


def continuity(bank: Bank, words: str) -> None:
    """Until drift of the whole table is open, and says why."""

    def told() -> bool:
        found = [each for each in bank.events("drift") if each["kind"] == "continuity" and each["state"] == "open"]
        return any(words in each["reason"] for each in found)

    wait_until(told, f"continuity drift: {words}")


def tell_the_connector(bank: Bank, word: str) -> None:
    """Stop it or let it run again, as a person does."""
    connector = f"{bank.env['HOLDTRUE_CONNECT']}/connectors/holdtrue-{bank.name}"
    assert requests.put(f"{connector}/{word}", timeout=20).ok


def stop_the_connector(bank: Bank) -> None:
    """Until nobody reads the slot any more."""
    tell_the_connector(bank, "stop")
    free = "SELECT FROM pg_replication_slots WHERE slot_name = %s AND NOT active"
    wait_until(lambda: bank.sot.execute(free, [bank.slot]).fetchone() is not None, "the slot to be left")


def lose_the_slot(bank: Bank) -> None:
    """Drop it, and change and delete rows that no log has."""
    bank.sot.execute("SELECT pg_drop_replication_slot(%s)", [bank.slot])
    ids = bank.sot.execute("SELECT id FROM person WHERE id BETWEEN 250 AND 300 ORDER BY id DESC LIMIT 2").fetchall()
    bank.sot.execute("DELETE FROM person WHERE id = %s", ids[0])
    bank.sot.execute("UPDATE person SET name = 'in no log' WHERE id = %s", ids[1])


@pytest.mark.long
def test_a_slot_that_was_dropped(town: Bank) -> None:
    """Noticed while the connector is away; the snapshot does not tell what was deleted meanwhile: the run does."""
    seen_by_control(town)
    stop_the_connector(town)
    lose_the_slot(town)
    continuity(town, "slot was dropped")
    new_snapshot(town)
    assert differing(town) == 1
    right_again(town)
    assert differing(town) == 0


@pytest.mark.long
def test_a_slot_that_was_dropped_and_made_anew_between_two_looks(town: Bank) -> None:
    """At every look of control a slot is there, and the connector was told to run all the time: it is what says it."""
    seen_by_control(town)
    known = len(broken(town))
    with town.workers[0].paused():
        wait_until(lambda: taken_away(town), "the slot to be dropped")
        town.sot.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [town.slot])
    town.sot.execute("UPDATE person SET name = 'in the log of the new slot' WHERE id = 260")
    wait_status(town, "Its slot was dropped or made anew")
    wait_until(lambda: len(broken(town)) > known, "control to say that the slot is another one")
    new_snapshot(town)
    assert differing(town) == 1
    right_again(town)
    assert differing(town) == 0


def taken_away(bank: Bank) -> bool:
    """Whether its reader was cut off and the slot is dropped, before that one is back."""
    bank.sot.execute(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s", [bank.slot]
    )
    try:
        lose_the_slot(bank)
    except psycopg.errors.ObjectInUse:
        return False
    return True


@pytest.mark.long
def test_a_slot_that_has_lost_its_log(town: Bank) -> None:
    """The server has removed WAL that the connector still needed: by `max_slot_wal_keep_size`, while it was away."""
    seen_by_control(town)
    known = len(broken(town))
    stop_the_connector(town)
    town.change("DELETE FROM person WHERE id = 298", "UPDATE person SET name = 'in removed WAL' WHERE id = 297")
    keep(town, "1MB")
    lost = "SELECT FROM pg_replication_slots WHERE slot_name = %s AND wal_status = 'lost'"

    def written_and_lost() -> bool:
        town.change("SELECT pg_logical_emit_message(false, 'tests', '')", "SELECT pg_switch_wal()", "CHECKPOINT")
        return town.sot.execute(lost, [town.slot]).fetchone() is not None

    wait_until(written_and_lost, "the slot to be lost")
    wait_until(lambda: len(broken(town)) > known, "control to say that the slot has lost what it must give")
    keep(town, "-1")
    tell_the_connector(town, "resume")
    # The connector runs, and would wait for the slot for half an hour.
    wait_status(town, "has removed log")
    town.done("connectors", "delete", "--forget", "--yes")
    assert "had lost its log, dropped" in town.run("connectors", "apply").stderr
    town.wait_caught_up("reports")
    right_again(town)


def wait_status(bank: Bank, words: str) -> None:
    """Until `connectors status` says so, and what to do."""
    said: list[str] = []

    def told() -> bool:
        ran = bank.run("connectors", "status")
        said[:] = [ran.stdout, ran.stderr]
        return words in ran.stderr and "--forget" in ran.stderr and ran.returncode == 3

    wait_until(told, lambda: f"status to say {words!r}: {said}")


def keep(bank: Bank, size: str) -> None:
    """How much WAL the server keeps for a slot."""
    bank.change(f"ALTER SYSTEM SET max_slot_wal_keep_size = '{size}'", "SELECT pg_reload_conf()")


def broken(bank: Bank) -> list[Any]:
    """Continuity drift of a slot, as it was opened."""
    found = [each for each in bank.events("drift") if each["kind"] == "continuity" and each["state"] == "open"]
    return [each for each in found if "slot was dropped, made anew, or has lost" in each["reason"]]


def new_snapshot(bank: Bank) -> None:
    """What a person does about a slot that is no more."""
    bank.done("connectors", "delete", "--forget", "--yes")
    bank.done("connectors", "apply")
    bank.wait_caught_up("reports")


def test_a_restore_to_smaller_positions_and_ids(town: Bank, servers: Servers) -> None:
    """The image of a disk: same cluster, same timeline, older. Changes are asked about no more than once a key."""
    restored = servers.copy()
    changes_that_will_be_lost(town, servers)
    servers.take_over(restored)
    continuity(town, "the source's log ends at")
    begun_again(town)
    before = sot_reads(town.workers[1])
    town.sot.execute("UPDATE person SET name = 'new log, again' WHERE id <= 50")
    town.wait_caught_up("reports")
    assert sot_reads(town.workers[1]) == before
    right_again(town)


@pytest.mark.long
def test_a_failover_to_a_standby_that_lacks_the_last_changes(town: Bank, servers: Servers) -> None:
    """On the next timeline."""
    standby = servers.copy("-R")
    changes_that_will_be_lost(town, servers)
    servers.take_over(standby)
    with psycopg.connect(standby.dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_promote()")
        assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
    continuity(town, "is on timeline")
    begun_again(town)
    right_again(town)


@pytest.mark.long
def test_a_restore_that_brings_its_slot_back(town: Bank, servers: Servers) -> None:
    """The connector runs, and passes over what is before its offset: it is said, and nothing is taken for checked."""
    town.sot.close()
    restored = servers.image()
    town.sot = psycopg.connect(town.env["HOLDTRUE_SOT_DSN"], autocommit=True)
    town.done("connectors", "apply")
    town.wait_caught_up("reports")
    changes_that_will_be_lost(town, servers)
    servers.take_over(restored)
    continuity(town, "the source's log ends at")
    wait_status(town, "passes over every change")
    begun_again(town)
    assert town.run("connectors", "status").returncode == 0
    right_again(town)


@pytest.mark.long
def test_a_move_to_another_cluster_while_control_is_away(town: Bank, servers: Servers) -> None:
    """By dump and restore, as an upgrade across versions may be: positions and ids begin anew, and nobody looks."""
    seen_by_control(town)
    other = servers.empty()
    dump = servers.now.dump(town.name)
    assert stop_all(town.workers[:1]) == [0]
    town.sot.close()
    servers.lose()
    servers.take_over(other)
    other.load(town.name, dump)
    town.control()
    continuity(town, "the source is another cluster")
    begun_again(town)
    assert [each["outcome"] for each in town.validate("--replica", "reports")] == ["correct"]
    assert town.difference("reports") == {}
    wait_until(lambda: town.open_drift("reports") == 0, "the drift to be closed")
