"""Snapshot, then every kind of change, into all three stores."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest

from tests.integration.worker.conftest import MakeBank
from tests.support.bank import Bank
from tests.support.wait import wait_until

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def town(make_bank: MakeBank) -> Iterator[Bank]:
    """Its connector and a worker for each replica run."""
    bank = make_bank()
    bank.start()
    yield bank
    bank.stop()


def test_snapshot_arrives_everywhere_under_filter_and_names(town: Bank) -> None:
    """300 people: all in Postgres, two cities in Redis under other names, 200 in DynamoDB."""
    town.check_equal()
    assert len(town.actual("reports", "public.person")) == 300
    assert len(town.actual("cache", "public.person")) == 200
    assert len(town.actual("lookup", "public.person")) == 200
    person = town.actual("cache", "public.person")[("1",)]
    assert set(person) == {"id", "full_name", "city", "born"}


def test_updates_inserts_and_deletes(town: Bank) -> None:
    """One transaction each, and several changes of one key in one transaction."""
    town.sot.execute("UPDATE person SET name = name || '!' WHERE id BETWEEN 10 AND 40")
    town.sot.execute("INSERT INTO person VALUES (1001, 'new', 'Oslo', NULL, NULL), (199999, 'far', 'Bodø', NULL, NULL)")
    town.sot.execute("DELETE FROM person WHERE id IN (50, 51, 52)")
    with town.sot.transaction():
        for number in range(5):
            town.sot.execute("UPDATE person SET name = %s WHERE id = 60", [f"try {number}"])
    town.check_equal()
    assert ("50",) not in town.actual("reports", "public.person")


def test_deleted_keys_come_back(town: Bank) -> None:
    """Delete, insert; insert, delete, insert in one transaction; delete last."""
    town.sot.execute("DELETE FROM person WHERE id IN (70, 71, 72)")
    town.sot.execute("INSERT INTO person VALUES (70, 'again', 'Oslo')")
    with town.sot.transaction():
        town.sot.execute("INSERT INTO person VALUES (71, 'again', 'Oslo')")
        town.sot.execute("DELETE FROM person WHERE id = 71")
        town.sot.execute("INSERT INTO person VALUES (71, 'and again', 'Bergen')")
    with town.sot.transaction():
        town.sot.execute("INSERT INTO person VALUES (72, 'not for long', 'Oslo')")
        town.sot.execute("DELETE FROM person WHERE id = 72")
    town.check_equal()
    assert town.actual("reports", "public.person")[("71",)]["name"] == "and again"
    assert ("72",) not in town.actual("reports", "public.person")


def test_primary_keys_change(town: Bank) -> None:
    """To a free key, to a key freed in the same transaction, and in a chain."""
    town.sot.execute("UPDATE person SET id = 2001 WHERE id = 80")
    with town.sot.transaction():
        town.sot.execute("DELETE FROM person WHERE id = 82")
        town.sot.execute("UPDATE person SET id = 82 WHERE id = 81")
    with town.sot.transaction():
        town.sot.execute("UPDATE person SET id = 3000 WHERE id = 90")
        town.sot.execute("UPDATE person SET id = 90 WHERE id = 91")
        town.sot.execute("UPDATE person SET id = 91 WHERE id = 3000")
    town.check_equal()
    held = town.actual("reports", "public.person")
    assert {("2001",), ("82",), ("90",), ("91",)} <= held.keys()
    assert not {("80",), ("81",), ("3000",)} & held.keys()


def test_deferrable_keys_are_swapped_in_one_statement(town: Bank) -> None:
    """A statement that moves every key by one delivers creates before the deletes of the same keys."""
    with town.sot.transaction():
        town.sot.execute("ALTER TABLE person DROP CONSTRAINT person_pkey")
        town.sot.execute("ALTER TABLE person ADD PRIMARY KEY (id) DEFERRABLE INITIALLY IMMEDIATE")
    # A deferrable key is no replica identity.
    town.sot.execute("ALTER TABLE person REPLICA IDENTITY FULL")
    town.sot.execute("UPDATE person SET id = id + 1 WHERE id BETWEEN 100 AND 300")
    town.sot.execute("UPDATE person SET id = CASE id WHEN 140 THEN 141 ELSE 140 END WHERE id IN (140, 141)")
    town.check_equal()
    assert ("100",) not in town.actual("reports", "public.person")
    with town.sot.transaction():
        town.sot.execute("ALTER TABLE person DROP CONSTRAINT person_pkey")
        town.sot.execute("ALTER TABLE person ADD PRIMARY KEY (id)")
    town.sot.execute("ALTER TABLE person REPLICA IDENTITY DEFAULT")


def test_rows_move_out_of_the_filter_and_back(town: Bank) -> None:
    """Redis keeps two cities: who moves away leaves it, who moves in comes, also within one transaction."""
    town.sot.execute("UPDATE person SET city = 'Bodø' WHERE id = 150 OR id = 151")
    town.check_equal()
    assert ("150",) not in town.actual("cache", "public.person")
    town.sot.execute("UPDATE person SET city = 'Oslo' WHERE id = 150")
    with town.sot.transaction():
        town.sot.execute("UPDATE person SET city = 'Oslo' WHERE id = 151")
        town.sot.execute("UPDATE person SET city = 'Tromsø' WHERE id = 151")
    town.sot.execute("UPDATE person SET city = NULL WHERE id = 152")
    town.sot.execute("DELETE FROM person WHERE city = 'Bodø' AND id BETWEEN 153 AND 160")
    town.check_equal()
    assert ("150",) in town.actual("cache", "public.person")
    assert not {("151",), ("152",)} & town.actual("cache", "public.person").keys()


def test_unchanged_toast_column_is_not_replaced_by_a_placeholder(town: Bank) -> None:
    """Without REPLICA IDENTITY FULL a large column that did not change is not in the change: the row is asked for."""
    text = "".join(chr(97 + n * 7 % 26) for n in range(9000))
    town.sot.execute("ALTER TABLE person ALTER COLUMN big SET STORAGE EXTERNAL")
    town.sot.execute("UPDATE person SET big = %s WHERE id IN (170, 171)", [text])
    town.sot.execute("UPDATE person SET name = 'small change' WHERE id = 170")
    with town.sot.transaction():
        town.sot.execute("UPDATE person SET name = 'one' WHERE id = 171")
        town.sot.execute("UPDATE person SET name = 'two' WHERE id = 171")
    town.check_equal()
    row = town.actual("reports", "public.person")[("170",)]
    assert (row["name"], row["big"]) == ("small change", text)
    assert town.actual("lookup", "public.person")[("170",)]["big"] == text


def test_incremental_snapshot_while_changes_run(town: Bank) -> None:
    """Reads of the snapshot never undo a change that came meanwhile."""
    stop = threading.Event()
    worked: list[int] = []

    def change() -> None:
        with psycopg.connect(town.env["HOLDTRUE_SOT_DSN"], autocommit=True) as sot:
            number = 0
            while not stop.is_set():
                number += 1
                sot.execute("UPDATE person SET name = %s WHERE id = %s", [f"run {number}", 1 + number % 60])
                if number % 10 == 0:
                    sot.execute("DELETE FROM person WHERE id = %s", [5000 + number % 40])
                    sot.execute("INSERT INTO person VALUES (%s, 'short life', 'Oslo')", [5000 + number % 40])
            worked.append(number)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        town.signal_snapshot("public.person")
        # A row that changes while it is read comes as that change only.
        unchanged = town.sot.execute("SELECT count(*) FROM person WHERE id BETWEEN 61 AND 4999").fetchall()[0][0]
        wait_for_reads(town, unchanged)
    finally:
        stop.set()
        thread.join(20)
    assert worked
    town.check_equal()


def wait_for_reads(bank: Bank, count: int) -> None:
    """Until the topic has this many records of an incremental snapshot."""

    def reads() -> bool:
        messages = bank.records("public.person")
        return sum(b"incremental" in (message.value() or b"") for message in messages) >= count

    wait_until(reads, f"{count} reads of the incremental snapshot", 60)


def test_validation_finds_nothing_wrong(town: Bank) -> None:
    """After all of this, to both depths, in every replica."""
    for depth in ("counts", "checksums"):
        results = town.validate("--depth", depth)
        assert [(each["outcome"], each["drift_found"]) for each in results] == [("correct", 0)] * 4, results
