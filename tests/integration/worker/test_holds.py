"""A table that is held: what is said of it, and every way out of it that docs/operations.md names."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
import requests

from tests.integration.worker.conftest import MakeBank
from tests.support.bank import Bank
from tests.support.wait import wait_until

pytestmark = pytest.mark.stack
PERSON, THING = "public.person", "public.thing"


@pytest.fixture(scope="module")
def town(make_bank: MakeBank) -> Bank:
    """A Postgres replica that holds at the first failure; a worker, and control."""
    bank = make_bank("reports", partitions=1)
    policy(bank, "hold")
    bank.apply()
    bank.worker("reports", HOLDTRUE_UNKNOWN_SCHEMA_SECONDS="3")
    bank.control()
    bank.wait_caught_up("reports")
    return bank


def policy(bank: Bank, on_failure: str) -> None:
    """What the plan says of failures of both tables."""
    for mapping in bank.document["replicas"]["reports"]["tables"].values():
        mapping["on_failure"] = on_failure
    bank.write_plan()


def status(bank: Bank, table: str = THING) -> dict[str, Any]:
    """One line of `holdtrue status`."""
    tables: list[dict[str, Any]] = json.loads(bank.run("--format", "json", "status").stdout)["tables"]
    return next(line for line in tables if line["table"] == table)


def wait_held(bank: Bank, offset: int) -> str:
    """Until status names the record that holds; what it says."""
    said: list[Any] = []

    def named() -> bool:
        said[:] = [status(bank)["held"]]
        return f"{bank.topic(THING)} partition 0 offset {offset}: " in str(said[0])

    wait_until(named, lambda: f"a hold at offset {offset}; held: {said}", 90)
    return str(said[0])


def restart(bank: Bank) -> None:
    """The worker, under the plan as it is now."""
    assert bank.workers.pop(0).stop() == 0
    bank.worker("reports", HOLDTRUE_UNKNOWN_SCHEMA_SECONDS="3")
    bank.workers.insert(0, bank.workers.pop())


def end(bank: Bank) -> int:
    """The offset of the next record of `thing`."""
    return bank.ends(THING)[bank.topic(THING), 0]


def repaired(bank: Bank) -> None:
    """Validate, repair what that finds, and validate again: all is right, and nothing is open."""
    bank.run("validate")
    wait_until(lambda: bank.run("repair", "plan").returncode == 0, "a repair plan")
    bank.run("repair", "apply", "repair.json", "--reason", "test")
    assert [each["outcome"] for each in bank.validate()] == ["correct", "correct"]
    wait_until(lambda: bank.open_drift("reports") == 0, "no drift to be open")
    assert bank.difference("reports") == {}
    wait_until(lambda: status(bank)["held"] is None, "the hold to be over")


def test_the_cause_is_corrected_and_the_worker_restarted(town: Bank) -> None:
    """A row that the store refuses; what came before it in its batch and after it is applied in the end."""
    with psycopg.connect(town.env["HOLDTRUE_REPLICA_DSN"], autocommit=True) as replica:
        replica.execute("ALTER TABLE thing ADD CONSTRAINT short CHECK (length(note) < 30)")
        at = end(town)
        town.sot.execute("UPDATE thing SET note = repeat('n', 40) WHERE id = 1")
        assert "short" in wait_held(town, at)
        # The second time, nobody fetches any more.
        for behind in (9, 17):
            town.sot.execute("UPDATE thing SET note = 'after ' || %s WHERE id BETWEEN 2 AND 9", [behind])
            wait_behind(town, behind)
        replica.execute("ALTER TABLE thing DROP CONSTRAINT short")
    restart(town)
    town.wait_equal("reports")
    wait_until(lambda: status(town)["held"] is None, "the hold to be over")
    assert status(town)["problems"] == []


def test_a_table_waits_by_order_and_across_a_restart_until_it_is_released(town: Bank) -> None:
    """The other table runs on; a run says why it could not check; both orders are in the trail, with who and why."""
    person = {"replica": "reports", "table": PERSON, "partitions": 1, "taken": 1}
    ordered = json.loads(
        town.done("--format", "json", "hold", "--table", PERSON, "--reason", "a migration", "--by", "ada")
    )
    assert ordered["orders"] == [person]
    town.sot.execute("UPDATE person SET name = 'while it waits' WHERE id < 9")
    town.sot.execute("UPDATE thing SET note = 'the other table' WHERE id < 9")
    town.wait_caught_up("reports", THING)
    restart(town)
    wait_until(lambda: "a migration" in str(status(town, PERSON)["held"]), "status to say that it waits")
    (run,) = town.validate("--table", PERSON)
    assert (run["outcome"], run["reason"]) == ("incomplete", "held: a migration")
    assert town.workers[0].metric("holdtrue_held", table=PERSON) == 1
    town.sot.execute("UPDATE thing SET note = 'the other table again' WHERE id < 9")
    town.wait_caught_up("reports", THING)
    assert len(town.difference("reports")[PERSON]) == 8
    town.done("release", "--table", PERSON, "--replica", "reports", "--reason", "it is over", "--by", "bob")
    town.wait_equal("reports")
    wait_until(lambda: status(town, PERSON)["held"] is None, "the hold to be over")
    assert [each["outcome"] for each in town.validate("--table", PERSON)] == ["correct"]
    said = [(each["what"], each["who"], each["why"]) for each in trail(town)]
    assert ("hold", "ada", "a migration") in said
    assert ("release", "bob", "it is over") in said


def trail(bank: Bank) -> list[dict[str, Any]]:
    """The newest entries of the audit trail."""
    entries: list[dict[str, Any]] = json.loads(bank.done("--format", "json", "audit", "list"))["entries"]
    return entries


def test_an_order_is_about_something_and_has_a_reason(town: Bank) -> None:
    """One word forgotten must not stop every replica."""
    for words in (
        ["--reason", "a migration"],
        ["--table", PERSON, "--reason", " "],
        ["--table", "a.b", "--reason", "c"],
    ):
        assert town.run("hold", *words).returncode == 2


def wait_behind(bank: Bank, records: int) -> None:
    """Until everybody says that so many records are not applied."""
    wait_until(lambda: lags(bank) == {records}, lambda: f"{records} records to be behind, not {lags(bank)}", 90)


def lags(bank: Bank) -> set[float]:
    """Records of `thing` that are not applied, as status, the worker and control say."""
    served = {worker.metric("holdtrue_lag_events", table=THING) for worker in bank.workers}
    return {status(bank)["lag_events"], *served}


@pytest.mark.long
def test_the_plan_gives_the_record_up(town: Bank) -> None:
    """A row that the store refuses is brought by a repair; what has no key is what a validation makes sure of."""
    with psycopg.connect(town.env["HOLDTRUE_REPLICA_DSN"], autocommit=True) as replica:
        replica.execute("ALTER TABLE thing ADD CONSTRAINT short CHECK (length(note) < 50)")
        refused = end(town)
        town.sot.execute("UPDATE thing SET note = repeat('n', 60) WHERE id = 1")
        wait_held(town, refused)
        town.produce(town.topic(THING), b"garbage", key=b"\xff")
        policy(town, "dead-letter")
        restart(town)
        shown = [shown_letter(town, offset) for offset in (refused, refused + 1)]
        replica.execute("ALTER TABLE thing DROP CONSTRAINT short")
    assert [each["reason"] for each in shown] == ["refused", "undecodable"]
    assert [each["key"] for each in shown] == [{"id": "1"}, None]
    assert (shown[0]["schema_id"] is None, shown[1]["schema_id"]) == (False, None)
    assert {(each["topic"], each["partition"], each["drift_state"]) for each in shown} == {
        (town.topic(THING), 0, "open")
    }
    town.done("repair", "plan", "--file", "first.json")
    town.done("repair", "apply", "first.json", "--reason", "test")
    assert town.difference("reports") == {}
    wait_until(lambda: not json.loads(town.done("--format", "json", "repair", "plan"))["items"], "none to be open")
    again = town.run("--format", "json", "repair", "apply", "first.json")
    (outcome,) = json.loads(again.stdout)["repairs"]
    assert (again.returncode, outcome["unchanged"], outcome["repaired"]) == (0, 1, 0)
    assert "nothing was left to repair" in again.stderr
    repaired(town)
    policy(town, "hold")
    restart(town)


def shown_letter(bank: Bank, offset: int) -> dict[str, Any]:
    """What `dlq show` says of the letter for a record of `thing`, once control knows it."""
    letter = bank.wait_event("dlq", offset=offset, topic=bank.topic(THING))
    bank.wait_caught_up("reports")
    wait_until(lambda: bank.run("dlq", "show", letter["id"]).returncode == 0, "control to know the letter")
    shown: dict[str, Any] = json.loads(bank.done("dlq", "show", letter["id"]))
    return shown


@pytest.mark.long
def test_a_registry_that_knows_the_schema_again_ends_the_hold(town: Bank) -> None:
    """The records before it in its batch are applied, and the offset that is shown is its own."""
    record = town.records(THING)[0]
    base = town.env["HOLDTRUE_REGISTRY"]
    newest = requests.get(f"{base}/subjects/{town.topic(THING)}-value/versions/latest", timeout=10).json()
    schema = json.loads(newest["schema"])
    # An id that the registry will give to somebody soon; others register meanwhile.
    lost = register(base, f"{town.name}-0", schema | {"doc": "0"}) + 20
    at = end(town)
    town.produce(town.topic(THING), record.value(), key=record.key())
    town.produce(town.topic(THING), b"\x00" + lost.to_bytes(4, "big") + record.value()[5:], key=record.key())
    assert f"schema id {lost}" in wait_held(town, at + 1)
    assert any(register(base, f"{town.name}-{n}", schema | {"doc": str(n)}) == lost for n in range(1, 21))
    restart(town)
    town.wait_caught_up("reports")
    repaired(town)


def register(base: str, subject: str, schema: dict[str, Any]) -> int:
    """The id under which a registry keeps a schema."""
    answer = requests.post(f"{base}/subjects/{subject}/versions", json={"schema": json.dumps(schema)}, timeout=10)
    return int(answer.json()["id"])


@pytest.mark.long
@pytest.mark.parametrize("of", ["value", "key"])
def test_a_schema_that_is_lost_for_good_is_left_behind(town: Bank, of: str) -> None:
    """Kafka deletes the record; that changes may be missing is drift until a run finds every row right."""
    record = town.records(THING)[0]
    lost = {"value": record.value(), "key": record.key()}
    lost[of] = b"\x00\x7f\xff\xff\xff" + lost[of][5:]
    at = end(town) + 1
    town.produce(town.topic(THING), record.value(), key=record.key())
    town.produce(town.topic(THING), **lost)
    assert f"does not know schema id {0x7FFFFFFF}" in wait_held(town, at)
    town.sot.execute("UPDATE thing SET note = 'after what was lost' WHERE id = 3")
    town.delete_records(THING, at + 1)
    restart(town)
    town.wait_event("drift", kind="continuity", table=THING)
    town.wait_caught_up("reports")
    repaired(town)
