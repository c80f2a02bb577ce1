"""Partitioned tables: rows and changes arrive under the root, whichever partition of the source they are in."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.integration.worker.conftest import MakeBank
from tests.support.bank import Bank
from tests.support.wait import wait_until

# In short it is among test_keys_and_loads.py.
pytestmark = [pytest.mark.stack, pytest.mark.long]
VISIT = "public.visit"
# Partitions of two levels, one with its columns in another order, and identities that are their own.
DDL = """
CREATE TABLE visit (city text, id int, note text, big text, PRIMARY KEY (city, id)) PARTITION BY LIST (city);
CREATE TABLE visit_oslo PARTITION OF visit FOR VALUES IN ('Oslo');
CREATE TABLE visit_bergen (big text, note text, gone int, id int NOT NULL, city text NOT NULL, PRIMARY KEY (city, id));
ALTER TABLE visit_bergen DROP COLUMN gone;
ALTER TABLE visit ATTACH PARTITION visit_bergen FOR VALUES IN ('Bergen');
CREATE TABLE visit_rest PARTITION OF visit DEFAULT PARTITION BY RANGE (id);
CREATE TABLE visit_rest_low PARTITION OF visit_rest FOR VALUES FROM (MINVALUE) TO (100);
CREATE TABLE visit_rest_high PARTITION OF visit_rest FOR VALUES FROM (100) TO (MAXVALUE);
ALTER TABLE visit_oslo REPLICA IDENTITY FULL;
ALTER TABLE visit_bergen ALTER COLUMN big SET STORAGE EXTERNAL;
INSERT INTO visit SELECT c, n, 'note ' || n, NULL
  FROM generate_series(1, 200) n, unnest(ARRAY['Oslo', 'Bergen', 'Bodø']) c;
"""
# A replica may divide its copy otherwise.
TARGET = """
CREATE TABLE visit (city text, id int, note text, big text, PRIMARY KEY (city, id)) PARTITION BY HASH (id);
CREATE TABLE visit_even PARTITION OF visit FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE visit_odd PARTITION OF visit FOR VALUES WITH (MODULUS 2, REMAINDER 1);
"""
REPLICAS = {
    "reports": {VISIT: {}},
    "cache": {VISIT: {"where": [{"column": "city", "op": "in", "value": ["Oslo", "Bodø"]}]}},
    "lookup": {VISIT: {"columns": {"omit": ["big"]}}},
}
LARGE = "".join(chr(97 + n * 7 % 26) for n in range(9000))


@pytest.fixture(scope="module")
def town(make_bank: MakeBank) -> Iterator[Bank]:
    """Its connector, control, and a worker for each replica run; the plan fits."""
    bank = make_bank(ddl=DDL, tables={VISIT: ["city", "id"]}, replicas=REPLICAS)
    with psycopg.connect(bank.env["HOLDTRUE_REPLICA_DSN"]) as replica:
        replica.execute(TARGET)
    bank.done("plan", "check", "--live")
    bank.start()
    bank.control()
    yield bank
    bank.stop()


def test_the_snapshot_arrives_under_the_root(town: Bank) -> None:
    """Rows of every partition, once each."""
    town.check_equal()
    assert len(town.actual("reports", VISIT)) == len(town.actual("lookup", VISIT)) == 600
    assert len(town.actual("cache", VISIT)) == 400
    assert len(town.records(VISIT)) == 600


def test_changes_of_every_partition_arrive(town: Bank) -> None:
    """Through the root and by the partition's own name, under every identity that a partition has."""
    town.change(
        "UPDATE visit SET note = note || '!' WHERE id % 10 = 0",
        "UPDATE visit_bergen SET note = 'its own name' WHERE id = 11",
        "DELETE FROM visit WHERE id % 10 = 1",
        "DELETE FROM visit_oslo WHERE id = 12",
        "INSERT INTO visit VALUES ('Tromsø', 1, 'low'), ('Tromsø', 1000, 'high')",
        "INSERT INTO visit_oslo VALUES ('Oslo', 1000, 'new')",
        "UPDATE visit SET id = id + 5000 WHERE id = 13",
    )
    town.check_equal()


def test_rows_that_move_to_another_partition_arrive_there(town: Bank) -> None:
    """Each is a delete and an insert: alone, twice in one transaction, to and fro, and to a key that was freed."""
    town.change(
        "UPDATE visit SET city = 'Bergen', id = 2020 WHERE city = 'Oslo' AND id = 20",
        "UPDATE visit SET id = id + 200 WHERE city = 'Bodø' AND id < 30",
    )
    with town.sot.transaction():
        town.change(
            "UPDATE visit SET city = 'Hamar' WHERE city = 'Oslo' AND id = 32",
            "UPDATE visit SET city = 'Oslo', note = 'back' WHERE city = 'Hamar' AND id = 32",
            "DELETE FROM visit WHERE city = 'Bergen' AND id = 33",
            "UPDATE visit SET city = 'Bergen' WHERE city = 'Oslo' AND id = 33",
        )
    town.check_equal()
    assert town.actual("cache", VISIT)["Oslo", "32"]["note"] == "back"
    assert ("Oslo", "33") not in town.actual("cache", VISIT)


@pytest.mark.parametrize("identity", ["FULL", "NOTHING", "DEFAULT"])
def test_a_large_column_that_stays_moves_with_its_row(town: Bank, identity: str) -> None:
    """It is in no record of an update; in those of a move it is. The root's identity is nobody's."""
    town.change(f"ALTER TABLE visit REPLICA IDENTITY {identity}")
    for city in ("Oslo", "Bergen", "Hamar"):
        town.change(f"INSERT INTO visit SELECT '{city}', n FROM generate_series(40, 44) n ON CONFLICT DO NOTHING")
        town.sot.execute("UPDATE visit SET big = %s WHERE city = %s AND id BETWEEN 40 AND 44", [LARGE, city])
    town.change(
        f"UPDATE visit SET note = 'small change {identity}' WHERE id IN (40, 42)",
        "DELETE FROM visit WHERE city = 'Hamar'",
        "UPDATE visit SET city = 'Hamar' WHERE city = 'Bergen' AND id IN (42, 43)",
        "UPDATE visit SET city = 'Bergen' WHERE city = 'Oslo' AND id = 43",
        "UPDATE visit SET id = id + 9000 WHERE city = 'Bergen' AND id = 44",
        "DELETE FROM visit WHERE city IN ('Oslo', 'Bergen') AND id IN (41, 9044)",
    )
    town.check_equal()
    assert town.actual("reports", VISIT)["Bergen", "40"]["big"] == LARGE
    assert town.actual("reports", VISIT)["Hamar", "42"]["big"] == LARGE


def test_the_root_is_truncated(town: Bank) -> None:
    """Rows of all partitions go, those that came later stay."""
    with town.sot.transaction():
        town.change("TRUNCATE visit", "INSERT INTO visit VALUES ('Oslo', 1, 'again'), ('Bodø', 1, 'again')")
    town.change("INSERT INTO visit VALUES ('Bergen', 1, 'later')")
    for replica in REPLICAS:
        town.wait_equal(replica)
    assert set(town.actual("reports", VISIT)) == {("Oslo", "1"), ("Bodø", "1"), ("Bergen", "1")}


def test_rows_are_copied_anew_through_the_root(town: Bank) -> None:
    """By an incremental snapshot, as `connectors apply` asks for."""
    town.change(
        "INSERT INTO visit SELECT c, n, 'more', NULL FROM generate_series(10, 500) n, unnest(ARRAY['Oslo', 'Bodø']) c"
    )
    town.signal_snapshot(VISIT)
    wait_until(lambda: sum(b"incremental" in (m.value() or b"") for m in town.records(VISIT)) >= 985, "the reads")
    town.check_equal()


def seen_by_control(bank: Bank) -> None:
    """Until control has looked at the partitions that there are now."""
    (oids,) = bank.sot.execute(
        "SELECT ARRAY(SELECT relid::oid::text FROM pg_partition_tree('visit') WHERE level > 0 ORDER BY 1)"
    ).fetchall()[0]
    with psycopg.connect(bank.env["HOLDTRUE_CONTROL_DSN"], autocommit=True) as control:
        query = (
            "SELECT FROM holdtrue.source WHERE slot AND ARRAY(SELECT jsonb_object_keys(parts -> %s) ORDER BY 1) = %s"
        )
        wait_until(lambda: control.execute(query, [VISIT, oids]).fetchone() is not None, "control to look")


def continuity(bank: Bank) -> list[str]:
    """Drift of the whole table that was ever told, by reason."""
    return [each["reason"] for each in bank.events("drift") if each["kind"] == "continuity" and each["state"] == "open"]


def settled(bank: Bank) -> None:
    """Until every replica equals the SOT; a run then finds it so."""
    for replica in REPLICAS:
        bank.wait_equal(replica)
    assert {each["outcome"] for each in bank.validate()} == {"correct"}


def test_rows_go_with_a_partition_that_is_truncated_detached_or_dropped(town: Bank) -> None:
    """Nothing in the log says so: control sees it, and has every row looked up. No drift is left, and none was told."""
    seen_by_control(town)
    for statement in (
        "TRUNCATE visit_oslo",
        "TRUNCATE visit_rest",
        "ALTER TABLE visit DETACH PARTITION visit_bergen",
        "DROP TABLE visit_oslo",
    ):
        town.change("INSERT INTO visit SELECT c, n, 'once more' FROM generate_series(600, 640) n, unnest(ARRAY['Oslo',"
                    " 'Bodø']) c ON CONFLICT DO NOTHING", statement)  # fmt: skip
        for replica in REPLICAS:
            town.wait_equal(replica)
    settled(town)
    assert not continuity(town)


def test_partitions_that_are_created_or_written_anew_lose_nothing(town: Bank) -> None:
    """Every day's work is no drift: a partition made in place, filled in the same transaction or later; VACUUM FULL."""
    with town.sot.transaction():
        town.change("CREATE TABLE visit_oslo PARTITION OF visit FOR VALUES IN ('Oslo')",
                    "INSERT INTO visit VALUES ('Oslo', 1, 'in the same transaction')")  # fmt: skip
    town.change("CREATE TABLE visit_moss PARTITION OF visit FOR VALUES IN ('Moss') PARTITION BY HASH (id)",
                "CREATE TABLE visit_moss_0 PARTITION OF visit_moss FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
                "INSERT INTO visit VALUES ('Moss', 1, 'later')", "VACUUM FULL visit_oslo")  # fmt: skip
    seen_by_control(town)
    settled(town)
    assert not continuity(town)
    assert ("Oslo", "1") in town.actual("cache", VISIT)


def test_rows_of_a_partition_that_is_attached_are_missed_until_they_are_copied(town: Bank) -> None:
    """They are in no log. It is told; the connector can be asked for them alone; a run that finds all right ends it."""
    (before,) = town.sot.execute("SELECT count(*) FROM visit").fetchall()[0]
    town.change("INSERT INTO visit_bergen (id, city) SELECT n, 'Bergen' FROM generate_series(2, 100) n",
                "ALTER TABLE visit ATTACH PARTITION visit_bergen FOR VALUES IN ('Bergen')")  # fmt: skip
    town.wait_event("drift", kind="continuity", state="open", table=VISIT)
    assert all("attached" in reason for reason in continuity(town))
    wait_until(lambda: all(town.open_drift(replica) == 1 for replica in REPLICAS), "control to know of the drift")
    town.change("UPDATE visit SET note = 'attached' WHERE city = 'Bergen' AND id <= 10")
    town.wait_caught_up("reports")
    assert len(town.actual("reports", VISIT)) == before + 10
    town.signal_rows(VISIT, "tableoid = 'visit_bergen'::regclass")
    settled(town)
    assert len(town.actual("reports", VISIT)) == before + 100
    wait_until(lambda: not any(map(town.open_drift, REPLICAS)), "the drift to be closed")


def test_an_unlogged_partition_is_told(town: Bank) -> None:
    """Its changes are in no log; nothing is prepared over it, and it is named."""
    town.change("CREATE UNLOGGED TABLE visit_odda PARTITION OF visit FOR VALUES IN ('Odda')",
                "INSERT INTO visit VALUES ('Odda', 1, 'in no log')")  # fmt: skip
    wait_until(lambda: any("not published" in reason for reason in continuity(town)), "drift to be told")
    assert "not published" in town.run("--format", "json", "status").stdout
    refused = town.run("connectors", "apply")
    assert refused.returncode == 1
    assert "Not every change of public.visit is in the log" in refused.stderr
    assert "has the partition public.visit_odda, which is unlogged" in town.run("plan", "check", "--live").stdout
    town.change("ALTER TABLE visit_odda SET LOGGED", "UPDATE visit SET note = 'in the log' WHERE city = 'Odda'")
    town.done("connectors", "apply")
    settled(town)
    wait_until(lambda: not any(map(town.open_drift, REPLICAS)), "the drift to be closed")


def test_every_row_is_validated(town: Bank) -> None:
    """To both depths, in every store."""
    for depth in ("counts", "checksums"):
        results = town.validate("--depth", depth)
        assert [(each["outcome"], each["drift_found"]) for each in results] == [("correct", 0)] * 3, results
