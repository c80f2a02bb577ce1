"""Keys of several columns, of text and uuid; partitions; COPY; several tables in one transaction; messages."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import psycopg
import pytest

from tests.integration.worker.conftest import MakeBank
from tests.support import key_types
from tests.support.bank import Bank
from tests.support.wait import wait_until

pytestmark = pytest.mark.stack
DDL = """
CREATE TABLE line (
  order_id bigint, product text, amount int, PRIMARY KEY (order_id, product) DEFERRABLE INITIALLY IMMEDIATE
);
ALTER TABLE line REPLICA IDENTITY FULL;  -- a deferrable key is no replica identity
CREATE TABLE word (
  word text PRIMARY KEY, n int,
  twice int GENERATED ALWAYS AS (n * 2) STORED, size int GENERATED ALWAYS AS (length(word)) VIRTUAL
);
CREATE TABLE ticket (
  id uuid PRIMARY KEY, word text NOT NULL, big text, code uuid NOT NULL UNIQUE DEFAULT gen_random_uuid()
);
ALTER TABLE ticket ALTER big SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX ticket_whole ON ticket (word, id);
INSERT INTO line SELECT n, p, n FROM generate_series(1, 50) n, unnest(ARRAY['pen', 'ink, "blue"']) p;
INSERT INTO word SELECT w, length(w) FROM unnest(ARRAY['', ' ', 'a:b', 'a%b', 'ä', '{x}', 'null', '\\N', '😀']) w;
CREATE TABLE page (url text PRIMARY KEY, n int);
INSERT INTO page SELECT (SELECT string_agg(md5(n || '/' || m), '') FROM generate_series(1, 83) m), n
  FROM generate_series(1, 900) n;  -- 2,656 characters that do not compress: an index entry takes 2,704 bytes
INSERT INTO ticket SELECT gen_random_uuid(), n::text, repeat('large ', 2000) FROM generate_series(1, 50) n;
CREATE TABLE visit (city text, id int, n int, PRIMARY KEY (city, id)) PARTITION BY LIST (city);
CREATE TABLE visit_oslo PARTITION OF visit FOR VALUES IN ('Oslo');
CREATE TABLE visit_rest PARTITION OF visit DEFAULT;
INSERT INTO visit SELECT c, n, n FROM generate_series(1, 50) n, unnest(ARRAY['Oslo', 'Bergen']) c;
"""
TABLES = {
    "public.line": ["order_id", "product"],
    "public.word": ["word"],
    "public.ticket": ["id"],
    "public.page": ["url"],
    "public.visit": ["city", "id"],
    **key_types.TABLES,
}
LOADED = 5_000


@pytest.fixture(scope="module")
def bank(make_bank: MakeBank) -> Iterator[Bank]:
    """Its connector and a worker for each replica run."""
    whole: dict[str, dict[str, object]] = {table: {} for table in TABLES}
    whole["public.word"] = {"columns": {"ask": ["twice", "size"]}}
    left_out = {**whole, "public.word": {"columns": {"omit": ["twice", "size"]}}}
    # No empty string is a key in DynamoDB.
    not_empty = {"columns": {"omit": ["twice", "size"]}, "where": [{"column": "word", "op": "!=", "value": ""}]}
    lookup = {**whole, "public.word": not_empty}
    lookup["public.felt"] = {"where": [{"column": "n", "op": ">", "value": 0}]}
    del lookup["public.page"], lookup["public.every"]  # nor one of more than 2,048 bytes, or of nine columns
    made = make_bank(
        ddl=DDL + key_types.DDL, tables=TABLES, replicas={"reports": whole, "cache": left_out, "lookup": lookup}
    )
    made.start()
    made.control()
    yield made
    made.stop()


def test_the_snapshot_arrives_under_every_key(bank: Bank) -> None:
    """Also those that look like a separator, an escape or a NULL."""
    bank.check_equal()
    assert len(bank.actual("reports", "public.line")) == 100
    assert len(bank.actual("cache", "public.word")) == len(bank.actual("lookup", "public.word")) + 1 == 9
    assert [len(bank.actual("cache", table)) for table in key_types.TABLES] == [27, 242]


def test_keys_of_several_columns_move_and_are_swapped(bank: Bank) -> None:
    """One part of them, all parts, and two rows that change places in one statement."""
    bank.change(
        "UPDATE line SET product = 'pencil' WHERE order_id = 1 AND product = 'pen'",
        "UPDATE line SET order_id = 1000, product = 'nib' WHERE order_id = 2 AND product = 'pen'",
        "UPDATE line SET order_id = CASE order_id WHEN 3 THEN 4 ELSE 3 END WHERE order_id IN (3, 4)",
        "UPDATE line SET order_id = order_id + 1 WHERE order_id >= 10",
        "DELETE FROM line WHERE order_id = 5",
    )
    bank.check_equal()
    lines = bank.actual("cache", "public.line")
    assert {("1", "pencil"), ("1001", "nib"), ("3", "pen")} <= lines.keys()
    assert not {("1", "pen"), ("2", "pen"), ("5", "pen")} & lines.keys()


def test_keys_of_text_and_uuid_change_and_come_back(bank: Bank) -> None:
    """A text key is what it is: blanks at its end, letters of other cases and composed letters are other keys."""
    bank.change(
        "UPDATE word SET word = 'a:b:c' WHERE word = 'a:b'",
        "INSERT INTO word VALUES ('a:b', 2), ('A:B', 3), ('a:b ', 4), (repeat('k', 700), 5)",
        r"INSERT INTO word VALUES (U&'a\0308', 6)",
        "DELETE FROM word WHERE word = ' '",
    )
    with bank.sot.transaction():
        bank.change(
            "UPDATE ticket SET id = gen_random_uuid() WHERE word = '1'",
            "DELETE FROM ticket WHERE word = '2'",
        )
    bank.check_equal()
    assert {("a:b",), ("A:B",), ("a:b ",), ("a:b:c",)} <= bank.actual("lookup", "public.word").keys()


def test_keys_of_every_type_change_and_come_back(bank: Bank) -> None:
    """bytea, bool, enums, int2, varchar, and domains over them and others: by the snapshot and by the log."""
    bank.change(*key_types.CHANGES)
    bank.check_equal()
    assert len(bank.actual("lookup", "public.felt")) == 4 * 3 + 5
    moved = [key for key, row in bank.actual("cache", "public.every").items() if row["n"] == "9000"]
    assert [key[:5] for key in moved] == [(r"\x6e657701", "false", "", "nib", "0")]


def test_rows_of_partitions_arrive_under_their_root(bank: Bank) -> None:
    """Also those that move to another partition, and what is changed in a partition by its own name."""
    bank.change(
        "UPDATE visit SET city = 'Bergen', id = id + 100 WHERE city = 'Oslo' AND id <= 10",
        "UPDATE visit_oslo SET n = -n WHERE id > 40",
        "CREATE TABLE visit_hamar PARTITION OF visit FOR VALUES IN ('Hamar')",
        "UPDATE visit SET city = 'Hamar' WHERE city = 'Oslo' AND id = 50",
        "DELETE FROM visit WHERE city = 'Bergen' AND id = 1",
    )
    bank.check_equal()
    visits = bank.actual("cache", "public.visit")
    assert len(visits) == 99
    assert (visits["Bergen", "110"]["n"], visits["Hamar", "50"]["n"]) == ("10", "-50")


def test_generated_columns_are_asked_or_left_out(bank: Bank) -> None:
    """Stored and virtual ones are in no record. As part of an identity Postgres lets nothing be changed."""
    bank.change("INSERT INTO word VALUES ('generated', 21)", "UPDATE word SET n = 30 WHERE word = 'ä'")
    bank.check_equal()
    words = bank.actual("reports", "public.word")
    assert [words[word,]["twice"] for word in ("generated", "ä", "")] == ["42", "60", "0"]
    assert [words[word,]["size"] for word in ("generated", "ä", "")] == ["9", "1", "0"]
    assert set(bank.actual("cache", "public.word")["generated",]) == {"word", "n"}
    bank.change("ALTER TABLE word REPLICA IDENTITY FULL")
    with pytest.raises(psycopg.errors.InvalidColumnReference):
        bank.change("UPDATE word SET n = 0")
    assert "generated columns in its replica identity" in bank.run("plan", "check", "--live").stdout
    bank.change("ALTER TABLE word REPLICA IDENTITY DEFAULT")


def test_several_tables_in_one_transaction_and_what_it_takes_back(bank: Bank) -> None:
    """What is rolled back to a savepoint never was; the rest arrives in every table."""
    with bank.sot.transaction():
        bank.change(
            "INSERT INTO line VALUES (2000, 'kept', 1)",
            "SAVEPOINT s",
            "DELETE FROM word",
            "INSERT INTO line VALUES (2001, 'not kept', 1)",
            "ROLLBACK TO s",
            "UPDATE word SET n = n + 1",
            "UPDATE ticket SET word = 'of one transaction' WHERE word < '3'",
        )
    bank.check_equal()
    lines = bank.actual("reports", "public.line")
    assert ("2000", "kept") in lines
    assert ("2001", "not kept") not in lines


def test_messages_in_the_log_are_no_changes(bank: Bank) -> None:
    """Of others, with and without a transaction, between the changes of one."""
    with bank.sot.transaction():
        bank.change(
            "UPDATE word SET n = 100 WHERE word = 'ä'",
            "SELECT pg_logical_emit_message(true, 'somebody', 'in the transaction')",
            "SELECT pg_logical_emit_message(false, 'somebody', 'beside it')",
            "UPDATE word SET n = 101 WHERE word = 'ä'",
        )
    bank.check_equal()
    assert bank.actual("cache", "public.word")[("ä",)]["n"] == "101"


def test_a_replica_identity_that_is_changed_changes_nothing(bank: Bank) -> None:
    """FULL sends whole old rows, DEFAULT their keys, an index its columns: each is right before, between and after.

    Also where a large value is left alone, which is in no record then.
    """
    for number, identity in enumerate(("FULL", "USING INDEX ticket_whole", "DEFAULT")):
        bank.change(
            "UPDATE ticket SET word = word || '+' WHERE word LIKE '4%'",
            f"ALTER TABLE ticket REPLICA IDENTITY {identity}",
            "UPDATE ticket SET word = word || '-' WHERE word LIKE '4%'",
            f"UPDATE ticket SET id = gen_random_uuid(), word = 'moved ' || word WHERE word LIKE '3{number}'",
            f"UPDATE ticket SET id = gen_random_uuid() WHERE word LIKE '3{number + 3}'",
            "DELETE FROM ticket WHERE id = (SELECT id FROM ticket WHERE word LIKE '4%' LIMIT 1)",
        )
    bank.check_equal()
    (left,) = bank.sot.execute("SELECT count(*) FROM ticket").fetchall()[0]
    tickets = bank.actual("lookup", "public.ticket").values()
    assert len(tickets) == left == 46
    assert sum(str(row["word"]).startswith("moved 3") for row in tickets) == 3


def test_an_identity_without_the_key_is_refused(bank: Bank) -> None:
    """Under an index of other columns records name other keys: it is told. Under NOTHING Postgres refuses changes."""
    bank.change("ALTER TABLE ticket REPLICA IDENTITY USING INDEX ticket_code_key")
    assert "its changes are not published" in bank.run("--format", "json", "status").stdout
    refused = bank.run("connectors", "apply")
    assert "Not every change of public.ticket is in the log under its whole key" in refused.stderr
    assert "an index without its whole primary key" in bank.run("plan", "check", "--live").stdout
    bank.change("ALTER TABLE ticket REPLICA IDENTITY NOTHING")
    assert "Postgres refuses updates and deletes" in bank.run("plan", "check", "--live").stdout
    for statement in ("UPDATE ticket SET word = word || '.'", "DELETE FROM ticket"):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            bank.change(statement)
    bank.change("INSERT INTO ticket VALUES (gen_random_uuid(), 'under nothing')")
    bank.change("ALTER TABLE ticket REPLICA IDENTITY DEFAULT")
    bank.check_equal()


def test_a_load_by_copy_arrives(bank: Bank) -> None:
    """Rows of COPY are changes like any other; then all of them are changed by one statement, and half are deleted."""
    with bank.sot.cursor() as cursor, cursor.copy("COPY line FROM STDIN") as load:
        for number in range(LOADED):
            load.write_row((10_000 + number, "copied", number))
    bank.change(
        "UPDATE line SET amount = -amount WHERE product = 'copied'",
        "DELETE FROM line WHERE product = 'copied' AND order_id % 2 = 0",
    )
    bank.check_equal()
    assert len(bank.actual("cache", "public.line")) > LOADED // 2


def test_every_row_is_validated(bank: Bank) -> None:
    """To the content, in every store."""
    results = bank.validate("--depth", "checksums")
    assert [(each["outcome"], each["drift_found"]) for each in results] == [("correct", 0)] * 19, results


@pytest.mark.long
@pytest.mark.parametrize("table", key_types.TABLES)
def test_rows_under_keys_of_every_type_are_found_and_repaired(bank: Bank, table: str) -> None:
    """One that somebody changed, one that is gone, and one under a key that no row has, in every store."""
    bank.check_equal()
    stores = [replica for replica in key_types.PLANT if table in bank.document["replicas"][replica]["tables"]]
    for replica in stores:
        key_types.PLANT[replica](bank, table)
    found = bank.validate("--depth", "checksums", "--table", table)
    assert [(each["outcome"], each["drift_found"]) for each in found] == [("drifted", 3)] * len(stores)
    planned = json.loads(bank.done("--format", "json", "repair", "plan", "--table", table))
    kinds = Counter(item["kind"] for item in planned["items"])
    assert kinds == dict.fromkeys(("mismatch", "missing", "orphan"), len(stores))
    bank.done("repair", "apply", "repair.json", "--reason", "test")
    again = bank.validate("--depth", "checksums", "--table", table)
    assert [(each["outcome"], each["drift_found"]) for each in again] == [("correct", 0)] * len(stores)
    bank.check_equal()


def test_rows_of_long_keys_are_found_and_repaired(bank: Bank) -> None:
    """Thousands of them, named in requests, answers, drift and repairs; and control takes in all of it."""
    cache = bank.redis()
    lost = list(cache.scan_iter(f"{bank.name}:page:*", count=5_000))
    assert cache.unlink(*lost) == len(lost) == 900
    of_pages = ("--table", "public.page", "--replica", "cache")
    (found,) = bank.validate("--depth", "checksums", *of_pages)
    assert (found["outcome"], found["drift_found"]) == ("drifted", 900)
    planned = json.loads(bank.done("--format", "json", "repair", "plan", *of_pages))
    assert len(planned["items"]) == 900  # it waits until control has taken them in
    bank.done("repair", "apply", "repair.json", "--reason", "test", "--above-threshold")
    wait_until(lambda: bank.open_drift("cache") == 0, "control to know that it is resolved")
    assert bank.difference("cache") == {}


def test_another_digest_key_is_no_drift(bank: Bank) -> None:
    """Digests under it cannot be compared with those that are there: a run with it says so of every table."""
    bank.document["digest_key"] = {"env": "BANK_DIGEST_KEY"}
    bank.env["BANK_DIGEST_KEY"] = "another secret, of somebody's shell"
    bank.write_plan()
    results = bank.validate("--depth", "checksums", "--replica", "reports")
    assert {each["outcome"] for each in results} == {"incomplete"}
    assert all("digest key" in each["reason"] for each in results)
    assert "another secret" not in str(results)
    wait_until(lambda: bank.open_drift("reports") == 0, "control to know of no drift")
