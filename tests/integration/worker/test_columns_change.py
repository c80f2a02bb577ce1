"""A column that is dropped at the source, or given another type, and how its tables go on."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.integration.worker.conftest import MakeBank
from tests.support.bank import Bank
from tests.support.processes import stop_all
from tests.support.wait import wait_until

pytestmark = pytest.mark.stack


def test_a_dropped_column_holds_its_table_until_the_replica_begins_anew(make_bank: MakeBank) -> None:
    """Under another name in the plan, over the store as it is: with its rows and their tokens."""
    bank = make_bank("reports", "cache")
    bank.start()
    bank.check_equal()
    bank.change(
        "ALTER TABLE person DROP COLUMN born",
        "UPDATE person SET name = 'after' WHERE id < 10",
        "DELETE FROM person WHERE id > 290",
    )
    for replica in ("reports", "cache"):
        reason = bank.wait_event("signals", type="table-held", replica=replica)["detail"]["reason"]
        assert "no column born" in reason  # in the record, or in the catalog
        assert "under another name" in reason
    assert stop_all(bank.workers) == [0, 0]
    bank.workers.clear()
    replicas = bank.document["replicas"]
    replicas.update({f"{name}-anew": replicas.pop(name) for name in list(replicas)})
    bank.write_plan()
    bank.start()
    for replica in replicas:
        bank.wait_caught_up(replica)
    results = bank.validate("--depth", "checksums")
    assert [(each["outcome"], each["drift_found"]) for each in results] == [("correct", 0)] * 3, results
    assert bank.difference("cache-anew") == {}


def test_a_column_whose_type_is_changed_holds_its_table_until_the_replica_has_it(make_bank: MakeBank) -> None:
    """A store that has the old type would round what comes; what was written before the change is asked for."""
    bank = make_bank("reports", "cache")
    bank.start()
    bank.check_equal()
    assert stop_all([bank.workers.pop()]) == [0]
    bank.change(
        "UPDATE person SET born = born + 1 WHERE id < 20",
        "ALTER TABLE person ALTER COLUMN born TYPE timestamp USING born + time '11:22:33.5'",
        "UPDATE person SET name = 'after' WHERE id < 10",
    )
    reason = bank.wait_event("signals", type="table-held", replica="reports")["detail"]["reason"]
    assert "born" in reason  # of the record, or of the catalog: whichever is seen first
    assert "Give a Postgres replica's column the new type" in reason
    assert not [row for row in bank.actual("reports", "public.person").values() if row["name"] == "after"]
    assert stop_all(bank.workers) == [0]
    bank.workers.clear()
    with psycopg.connect(bank.env["HOLDTRUE_REPLICA_DSN"], autocommit=True) as replica:
        replica.execute("ALTER TABLE person ALTER COLUMN born TYPE timestamp")
    bank.worker("reports")
    bank.worker("cache")  # it has not seen the records of the old type
    for name in ("reports", "cache"):
        bank.wait_caught_up(name)
    assert {row["born"][-10:] for key, row in bank.actual("cache", "public.person").items() if int(key[0]) < 20} == {
        "11:22:33.5"
    }
    # Nothing was logged of the others: they are found and repaired. What the worker applied before the change is, too.
    bank.control()
    found = {each["replica"]: each["drift_found"] for each in bank.validate("--table", "public.person")}
    assert 300 - 19 <= found["reports"] <= 300 - 9
    wait_until(lambda: bank.open_drift("reports") == found["reports"], "control to know of all drift")
    bank.done("repair", "plan", "--replica", "reports", "--file", "repair.json")
    bank.done("repair", "apply", "repair.json")
    assert bank.difference("reports") == {}


@pytest.mark.long
def test_a_renamed_column_is_brought_in_by_a_new_name_and_a_new_topic(make_bank: MakeBank) -> None:
    """Every row of the store is under a token of the old topic, larger than what its new one has: all are settled."""
    bank = make_bank("reports")
    bank.change("INSERT INTO person SELECT n, 'name', 'Oslo', '2000-01-01', NULL FROM generate_series(301, 3000) n")
    bank.start()
    bank.change("UPDATE person SET born = born + 1")
    bank.check_equal()
    bank.change("ALTER TABLE person RENAME COLUMN name TO label", "UPDATE person SET label = 'after' WHERE id < 10")
    bank.wait_event("signals", type="table-held", replica="reports")
    with psycopg.connect(bank.env["HOLDTRUE_REPLICA_DSN"], autocommit=True) as replica:
        replica.execute("ALTER TABLE person DROP COLUMN name, ADD COLUMN label text")
    begin_anew(bank, 2990)

    def differing() -> set[int]:
        return {int(key) for (key,) in bank.difference("reports-anew").get("public.person", {})}

    # That these were deleted no topic tells.
    deleted = {*range(2991, 3001)}
    wait_until(lambda: differing() == deleted, lambda: f"all others to be right, also {differing() - deleted}", 60)
    found = {each["table"]: each["drift_found"] for each in bank.validate("--depth", "checksums")}
    assert found == {"public.person": 10, "public.thing": 0}
    planned = json.loads(bank.done("--format", "json", "repair", "plan", "--file", "repair.json"))["items"]
    assert [item["kind"] for item in planned] == ["orphan"] * 10
    bank.done("repair", "apply", "repair.json")
    assert bank.difference("reports-anew") == {}


def begin_anew(bank: Bank, last: int) -> None:
    """The replica under another name, over a new topic; what is behind the last row is deleted before the snapshot."""
    assert stop_all(bank.workers) == [0]
    bank.workers.clear()
    replicas = bank.document["replicas"]
    replicas["reports-anew"] = replicas.pop("reports")
    bank.write_plan()
    bank.done("connectors", "delete", "--forget", "--yes")
    bank.delete_topics(bank.topic("public.person"))
    bank.sot.execute("DELETE FROM person WHERE id > %s", [last])
    bank.start()
    bank.control()
    bank.wait_caught_up("reports-anew", seconds=150)


@pytest.mark.long
def test_keys_under_another_schema_hold_the_table_until_all_begins_anew(make_bank: MakeBank) -> None:
    """A default of a key column is enough: the same row's next change would be another owner's."""
    bank = make_bank("reports")
    bank.start()
    bank.wait_caught_up("reports")
    bank.change("ALTER TABLE person ALTER id SET DEFAULT 7", "UPDATE person SET name = 'after' WHERE id < 10")
    held = bank.wait_event("signals", type="table-held", replica="reports")
    assert "a key column has another type or default" in held["detail"]["reason"]
    assert len(bank.difference("reports")["public.person"]) == 9
    begin_anew(bank, 290)
    found = {each["table"]: each["drift_found"] for each in bank.validate("--depth", "checksums")}
    assert found == {"public.person": 10, "public.thing": 0}
    bank.done("repair", "plan", "--file", "repair.json")
    bank.done("repair", "apply", "repair.json")
    assert bank.difference("reports-anew") == {}
