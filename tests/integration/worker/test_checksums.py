"""`validate` by depths: each kind of drift is found in SQL as row by row, and nothing else, also under load."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.integration.worker.conftest import MakeBank
from tests.support.bank import Bank
from tests.support.load import Load
from tests.support.wait import wait_until

pytestmark = pytest.mark.stack

DDL = """
CREATE TABLE account (id int8 PRIMARY KEY, owner text, balance numeric(20,4), rate float8, note text, code char(4));
CREATE TABLE word (lang text, word text, said timestamptz, weight numeric, hidden text, PRIMARY KEY (lang, word));
CREATE TABLE busy (id int PRIMARY KEY, note text);
INSERT INTO account SELECT n, 'owner ' || n, n + 0.5, 0, CASE n % 5 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'n' END, 'x'
  FROM generate_series(1, 3000) n;
INSERT INTO word SELECT (ARRAY['en', 'no', 'de'])[1 + n % 3], 'ord ' || n,
  '2024-01-01Z'::timestamptz + n * '1.3 s'::interval, n / 7.0, 'h' FROM generate_series(1, 900) n;
"""
TABLES = {"public.account": ["id"], "public.word": ["lang", "word"], "public.busy": ["id"]}
REPLICAS = {
    "reports": {
        "public.account": {},
        "public.word": {
            "columns": {"rename": {"said": "told"}, "omit": ["hidden"], "round": {"weight": 2, "said": 0}},
            "where": [{"column": "lang", "op": "in", "value": ["en", "no"]}],
        },
        "public.busy": {},
    }
}


@pytest.fixture(scope="module")
def bank(make_bank: MakeBank) -> Iterator[Bank]:
    """Three tables in a Postgres replica, two of them filled and at rest."""
    made = make_bank(ddl=DDL, tables=TABLES, replicas=REPLICAS)
    made.start()
    made.wait_caught_up("reports")
    yield made
    made.stop()


@pytest.fixture
def replica(bank: Bank) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The replica's own database, behind everybody's back."""
    with psycopg.connect(bank.env["HOLDTRUE_REPLICA_DSN"], autocommit=True) as connection:
        yield connection


def asked(bank: Bank, table: str, run: str) -> set[bytes]:
    """The keys that a run has asked the owners of a table about."""
    requests = [event for event in bank.events(f"checks.reports.{table}") if event["run"] == run]
    assert requests
    return {key for request in requests for key in request["keys"]}


@pytest.mark.long
@pytest.mark.parametrize(("table", "rows"), [("public.account", 3000), ("public.word", 600)])
def test_equal_tables_are_verified_without_asking_about_any_key(bank: Bank, table: str, rows: int) -> None:
    """Under filter, other names and rounding as well; the full depth says the same, and asks about all."""
    (quick,) = bank.validate("--depth", "checksums", "--table", table)
    (full,) = bank.validate("--depth", "full", "--table", table)
    for found, depth in ((quick, "checksums"), (full, "full")):
        assert (found["depth"], found["outcome"], found["sot_rows"], found["replica_rows"]) == (
            depth,
            "correct",
            rows,
            rows,
        )
        assert (found["verified"], found["drift_found"], found["failed"]) == (rows, 0, 0)
        assert found["verified_through"].startswith(found["fence_lsn"])
    assert asked(bank, table, quick["run"]) == set()
    assert len(asked(bank, table, full["run"])) == rows


@pytest.mark.long
def test_a_sample_is_the_same_for_the_same_seed_and_looks_at_all_sides(
    bank: Bank, replica: psycopg.Connection[tuple[object, ...]]
) -> None:
    """It says what it means for all keys, finds orphans in Postgres, and moves no mark."""
    words = ("--depth", "sample", "--table", "public.word")
    first, again, other = (bank.validate(*words, "--keys", "50", "--seed", seed) for seed in ("7", "7", "8"))
    chosen = [asked(bank, "public.word", run["run"]) for (run,) in (first, again, other)]
    assert len(chosen[0]) == 50
    assert chosen[0] == chosen[1] != chosen[2]
    assert (first[0]["outcome"], first[0]["seed"], first[0]["verified"]) == ("correct", 7, 50)
    assert 0.055 < first[0]["wrong_share_below"] < 3 / 50
    assert first[0]["verified_through"] is None
    replica.execute("INSERT INTO word (lang, word) VALUES ('no', 'nobody''s')")
    replica.execute("UPDATE word SET weight = -1 WHERE lang = 'no' AND word = 'ord 10'")
    (all_keys,) = bank.validate(*words, "--keys", "1000")
    assert (all_keys["outcome"], all_keys["drift_found"], all_keys["verified"]) == ("drifted", 2, 599)
    replica.execute("DELETE FROM word WHERE word = 'nobody''s'")
    replica.execute("UPDATE word SET weight = 1.43 WHERE lang = 'no' AND word = 'ord 10'")


def test_every_kind_of_drift_is_found_and_told_as_a_full_run_does(
    bank: Bank, replica: psycopg.Connection[tuple[object, ...]]
) -> None:
    """And what only looks otherwise is no drift: a scale, a physical order."""
    statements = (
        "DELETE FROM account WHERE id = 10",
        "INSERT INTO account (id, owner) VALUES (-7, 'nobody'), (1000000, 'nobody')",
        "UPDATE account SET owner = 'thief' WHERE id = 20",
        "UPDATE account SET rate = '-0' WHERE id = 30",
        "UPDATE account SET note = '' WHERE id = 40",
        "UPDATE account SET note = NULL WHERE id = 41",
        "UPDATE account SET owner = owner || ' ' WHERE id = 50",
        "UPDATE account SET balance = balance + 0.0001 WHERE id = 60",
        "ALTER TABLE account ALTER COLUMN balance TYPE numeric(30,9)",
        "DELETE FROM word WHERE lang = 'en' AND word = 'ord 3'",
        "UPDATE word SET told = told + '1 s'::interval WHERE lang = 'no' AND word = 'ord 4'",
        "INSERT INTO word (lang, word) VALUES ('de', 'ord 2')",
    )
    for statement in statements:
        replica.execute(statement.encode())
    kinds: dict[str, dict[frozenset[tuple[str, str]], tuple[str, tuple[str, ...]]]] = {}
    for depth in ("full", "checksums"):
        results = bank.validate("--depth", depth, "--replica", "reports")
        found = {result["table"]: result for result in results}
        assert {table: result["drift_found"] for table, result in found.items()} == {
            "public.account": 9, "public.word": 3, "public.busy": 0,
        }  # fmt: skip
        assert found["public.account"]["verified"] == 3000 - 7
        assert (found["public.account"]["sot_rows"], found["public.account"]["replica_rows"]) == (3000, 3001)
        runs = {result["run"] for result in results}
        events = [event for event in bank.events("drift") if event["run"] in runs and event["state"] == "open"]
        kinds[depth] = {frozenset(event["key"].items()): (event["kind"], tuple(event["columns"])) for event in events}
    assert kinds["checksums"] == kinds["full"]
    assert len(kinds["full"]) == 12
    wanted = {"10": "missing", "-7": "orphan", "20": "mismatch", "30": "mismatch", "50": "mismatch"}
    told = {key: kinds["full"][frozenset([("id", key)])][0] for key in wanted}
    assert told == wanted


@pytest.mark.long
def test_under_load_nothing_is_drift_that_is_none(bank: Bank) -> None:
    """Rows that change between the two snapshots are decided by their owners; one that is wrong is found among them."""
    load = Load(bank.env["HOLDTRUE_SOT_DSN"], "busy")
    try:
        wait_until(lambda: load.changes > 300, "some load")
        for _ in range(4):
            (result,) = bank.validate("--depth", "checksums", "--table", "public.busy")
            assert (result["drift_found"], result["failed"], result["skipped"]) == (0, 0, 0), result
            assert result["outcome"] in ("correct", "incomplete")
        with psycopg.connect(bank.env["HOLDTRUE_REPLICA_DSN"], autocommit=True) as replica:
            replica.execute("INSERT INTO busy VALUES (777777, 'nobody')")
            (result,) = bank.validate("--depth", "checksums", "--table", "public.busy")
            replica.execute("DELETE FROM busy WHERE id = 777777")
        assert (result["outcome"], result["drift_found"]) == ("drifted", 1)
    finally:
        load.stop()


@pytest.mark.long
def test_a_held_table_is_not_verified(bank: Bank) -> None:
    """However equal it is."""
    bank.done("hold", "--table", "public.word", "--replica", "reports", "--reason", "a test")
    try:
        (result,) = bank.validate("--depth", "checksums", "--table", "public.word")
        assert result["outcome"] == "incomplete"
        assert "held" in result["reason"]
    finally:
        bank.done("release", "--table", "public.word", "--replica", "reports", "--reason", "the test is over")
