"""Records that cannot be applied: seen, kept and counted, and nobody else suffers."""

from __future__ import annotations

import json
import shutil

import psycopg
import pytest
import requests
from confluent_kafka import Message

from tests.integration.worker.conftest import MakeBank
from tests.support.bank import Bank
from tests.support.topic import Decoder
from tests.support.wait import wait_until

pytestmark = pytest.mark.stack
PERSON, THING = "public.person", "public.thing"


@pytest.fixture(scope="module")
def town(make_bank: MakeBank) -> Bank:
    """Postgres by default; DynamoDB too."""
    bank = make_bank("reports", "lookup")
    bank.start()
    for store in ("reports", "lookup"):
        bank.wait_caught_up(store)
    return bank


def hold(bank: Bank, store: str) -> None:
    """Have the plan hold a table at the first failure."""
    for mapping in bank.document["replicas"][store]["tables"].values():
        mapping["on_failure"] = "hold"
    bank.write_plan()


def wait_held(bank: Bank, reason: str) -> dict[str, object]:
    """Until a signal says that a table is held; the signal's detail."""
    signals: list[dict[str, object]] = []

    def held() -> bool:
        signals[:] = [e["detail"] for e in bank.events("signals") if e["type"] == "table-held"]
        return any(reason in str(each["reason"]) for each in signals)

    wait_until(held, lambda: f"a hold because {reason!r}; held: {signals}", 60)
    return next(each for each in signals if reason in str(each["reason"]))


def test_what_is_not_avro_is_dead_lettered_with_its_bytes_and_opens_drift(town: Bank) -> None:
    """And the records after it are applied."""
    end = town.ends(PERSON)[town.topic(PERSON), 1]
    town.produce(town.topic(PERSON), b"not avro at all", key=b"\xff", partition=1)
    town.sot.execute("UPDATE person SET name = 'after garbage'")
    letter = town.wait_event("dlq", value=b"not avro at all", replica="reports")
    assert (letter["key"], letter["partition"], letter["offset"]) == (b"\xff", 1, end)
    assert (letter["topic"], letter["reason"]) == (town.topic(PERSON), "undecodable")
    assert letter["headers"] == [{"name": "origin", "value": b"test"}, {"name": "ce_source", "value": b""}]
    drift = town.wait_event("drift", id=letter["drift"])
    assert (drift["kind"], drift["state"], drift["replica"]) == ("unapplied", "open", "reports")
    for store in ("reports", "lookup"):
        town.wait_caught_up(store)
        assert town.difference(store) == {}


@pytest.mark.parametrize("value", [b"", b"\x00", b"\x00\x00\x00", b"\x01\x00\x00\x00\x01rest"])
def test_too_short_and_otherwise_marked_records_are_dead_lettered(town: Bank, value: bytes) -> None:
    """Each of them, also an empty one."""
    town.produce(town.topic(THING), value)
    assert town.wait_event("dlq", value=value, topic=town.topic(THING))["reason"] == "undecodable"
    town.wait_caught_up("reports")


def test_a_record_cut_short_is_dead_lettered(town: Bank) -> None:
    """A known schema id whose bytes end in the middle of the row."""
    record = town.records(THING)[0]
    whole = record.value()
    town.produce(town.topic(THING), whole[:12], key=record.key(), partition=record.partition())
    letter = town.wait_event("dlq", value=whole[:12])
    assert letter["reason"] == "undecodable"
    # Its key is whole: the drift is of a row, which a repair can be ordered for.
    drift = town.wait_event("drift", id=letter["drift"])
    assert (drift["kind"], list(drift["key"]), drift["key"]["id"].isdecimal()) == ("unapplied", ["id"], True)
    assert drift["key_bytes"] == drift["key"]["id"].encode()
    town.sot.execute("UPDATE thing SET note = 'after the cut'")
    town.wait_caught_up("reports")
    assert town.difference("reports") == {}


def test_a_text_that_postgres_cannot_hold_is_dead_lettered(town: Bank) -> None:
    """Avro like any other; in a store it would be a row that no source can have, and control could not keep its key."""
    whole = next(each.value() for each in town.records(THING) if b"note 7" in each.value())
    town.produce(town.topic(THING), whole.replace(b"note 7", b"no\x00e 7"))
    letter = town.wait_event("dlq", reason="undecodable", value=whole.replace(b"note 7", b"no\x00e 7"))
    assert "U+0000" in letter["error"]
    town.wait_caught_up("reports")
    assert town.difference("reports") == {}


def test_a_change_that_does_not_belong_where_it_lies_is_dead_lettered(town: Bank) -> None:
    """Under another row's key, under one that is not Avro, in another partition: nobody applies it there."""
    town.wait_caught_up("reports")
    sent = sent_of_things(town)
    here, other, garbled, moved = [row for row, each in sent.items() if each.partition() == 0][:4]
    there = next(row for row, each in sent.items() if each.partition() == 1)
    for row, key, partition, why in (
        (other, sent[here].key(), 0, "not that of the row"),
        (garbled, b"garbagekey", 0, "not Avro"),
        (moved, sent[moved].key(), 1, "not in the partition of its key"),
        (there, sent[here].key(), 0, "not that of the row"),
    ):
        town.produce(town.topic(THING), sent[row].value(), key=key, partition=partition)
        drift = town.wait_event("drift", key={"id": str(row)}, kind="unapplied", replica="reports")
        assert why in drift["reason"]
        letter = town.wait_event("dlq", drift=drift["id"])
        assert (letter["key"], letter["value"], letter["partition"]) == (key, sent[row].value(), partition)
    (result,) = town.validate("--replica", "reports", "--table", THING)
    assert (result["outcome"], result["verified"]) == ("correct", result["sot_rows"])


def sent_of_things(bank: Bank) -> dict[int, Message]:
    """What the connector sent last of each row, whatever else lies there."""
    decoded = Decoder(bank.env["HOLDTRUE_REGISTRY"]).decoded
    whole = [each for each in bank.records(THING) if len(each.value() or b"") > 50 and len(each.key() or b"") > 5]
    return {decoded(each.key())["id"]: each for each in whole}


def test_tombstone_messages_without_a_key_are_nothing(town: Bank) -> None:
    """Null key, null value."""
    town.produce(town.topic(THING), None, key=None)
    town.wait_caught_up("reports")
    assert town.difference("reports") == {}


def test_a_row_dynamodb_cannot_hold_is_dead_lettered_and_others_go_on(town: Bank) -> None:
    """400 KB and more: refused for this key alone; a smaller row of the same key is taken again."""
    town.sot.execute("UPDATE person SET big = repeat('x', 420000) WHERE id = 7")
    town.sot.execute("UPDATE person SET name = 'beside it' WHERE id BETWEEN 1 AND 20 AND id <> 7")
    letter = town.wait_event("dlq", replica="lookup", reason="refused")
    assert "400" in letter["error"] or "409600" in letter["error"]
    assert "xxx" not in letter["error"]
    drift = town.wait_event("drift", id=letter["drift"], state="open")
    assert (drift["kind"], drift["key"]) == ("unapplied", {"id": "7"})
    town.wait_caught_up("lookup")
    town.wait_caught_up("reports")
    assert town.difference("reports") == {}
    assert list(town.difference("lookup")[PERSON]) == [("7",)]
    results = town.validate("--replica", "lookup")
    assert [(each["outcome"], each["drift_found"]) for each in results] == [("drifted", 1)]
    seen = town.wait_event("drift", id=letter["drift"], run=results[0]["run"])
    assert (seen["kind"], seen["cause"]) == ("unapplied", "refused by store")
    town.sot.execute("UPDATE person SET big = 'small' WHERE id = 7")
    town.wait_equal("lookup")


def test_nobody_is_accused_of_what_the_store_refused(town: Bank) -> None:
    """A constraint of the replica's own: an older row stays, and a new one never comes. A run names both as refused,
    after a restart too, which has it from the changelog."""
    with psycopg.connect(town.env["HOLDTRUE_REPLICA_DSN"], autocommit=True) as replica:
        replica.execute("ALTER TABLE thing ADD CONSTRAINT short CHECK (length(note) < 30)")
    town.sot.execute("UPDATE thing SET note = repeat('n', 40) WHERE id = 1")
    town.sot.execute("INSERT INTO thing VALUES (500, repeat('n', 40))")
    for key in ("1", "500"):
        town.wait_event("drift", replica="reports", key={"id": key}, cause="refused by store")
    town.wait_caught_up("reports")
    town.workers.pop(0).stop()
    shutil.rmtree(town.folder / "workers" / town.name / "reports")
    town.worker("reports")
    (result,) = town.validate("--replica", "reports", "--table", THING)
    assert (result["outcome"], result["drift_found"]) == ("drifted", 2)
    seen = [event for event in town.events("drift") if event["run"] == result["run"]]
    assert {event["key"]["id"]: (event["kind"], event["cause"]) for event in seen} == {
        "1": ("unapplied", "refused by store"), "500": ("unapplied", "refused by store"),
    }  # fmt: skip
    town.sot.execute("DELETE FROM thing WHERE id = 500")
    town.sot.execute("UPDATE thing SET note = 'short' WHERE id = 1")
    town.wait_equal("reports")


def test_garbage_on_a_request_topic_does_not_stop_checks(town: Bank) -> None:
    """Requests are ours alone; whatever else lies there is passed over, and told."""
    town.produce(town.own_topic(f"checks.reports.{THING}"), b"garbage")
    town.produce(town.own_topic(f"checks.reports.{THING}"), None, partition=1)
    town.produce(town.own_topic(f"repairs.reports.{THING}"), b"\x00garbage")
    results = town.validate("--replica", "reports")
    assert [each["outcome"] for each in results] == ["correct", "correct"], results
    told = town.wait_event("signals", type="record-unreadable", replica="reports")["detail"]
    assert told["topic"] == town.own_topic(f"checks.reports.{THING}")


def test_workers_are_alive_after_all_of_this(town: Bank) -> None:
    """None crashed and came again."""
    assert [worker.process.poll() for worker in town.workers] == [None, None]
    assert not any("Traceback" in worker.said for worker in town.workers)


def test_hold_stops_before_what_cannot_be_decoded_and_other_tables_run_on(make_bank: MakeBank) -> None:
    """Under `on_failure: hold` nothing is dead-lettered, nothing after the record is applied, and it is said why."""
    bank = make_bank("reports", partitions=1)
    hold(bank, "reports")
    bank.apply()
    worker = bank.worker("reports")
    bank.wait_caught_up("reports")
    end = bank.ends(PERSON)[bank.topic(PERSON), 0]
    bank.produce(bank.topic(PERSON), b"garbage")
    detail = wait_held(bank, "Avro")
    assert detail["offset"] == str(end)
    bank.sot.execute("UPDATE person SET name = 'after' WHERE id = 1")
    bank.sot.execute("UPDATE thing SET note = 'runs on'")
    bank.wait_caught_up("reports", THING)
    bank.wait_published()
    assert list(bank.difference("reports")) == [PERSON]
    assert bank.committed("reports")[bank.topic(PERSON), 0] == end
    assert bank.events("dlq") == []
    assert "Traceback" not in worker.said
    results = {each["table"]: each for each in bank.validate("--table", PERSON, "--depth", "checksums")}
    assert results[PERSON]["outcome"] in ("incomplete", "drifted")
    # A restart neither forgets nor skips it.
    assert worker.stop() == 0
    again = bank.worker("reports")
    again.wait_said("is held in reports")
    assert bank.committed("reports")[bank.topic(PERSON), 0] == end


@pytest.mark.long
def test_a_hold_is_shown_at_the_record_that_is_wrong(make_bank: MakeBank) -> None:
    """Partitions that stop for it come after it, whatever their numbers; their records are applied in the end."""
    bank = make_bank("reports", partitions=2)
    hold(bank, "reports")
    bank.apply()
    bank.control()
    bank.worker("reports")
    bank.wait_caught_up("reports")
    end = bank.ends(PERSON)[bank.topic(PERSON), 1]
    bank.produce(bank.topic(PERSON), b"garbage", partition=1)
    wait_held(bank, "Avro")
    bank.sot.execute("UPDATE person SET name = 'innocent'")
    stops = f"stops only because partition 1 is held at offset {end}: "
    assert (wait_held(bank, stops)["partition"], wait_held(bank, stops)["held_by"]) == ("0", "1")
    said: list[str] = []

    def told() -> bool:
        tables = json.loads(bank.run("--format", "json", "status").stdout)["tables"]
        said[:] = [str(line["held"]) for line in tables if line["table"] == PERSON]
        return "1 more partitions are held" in said[0]

    wait_until(told, lambda: f"both holds to be shown, not {said}", 60)
    assert said[0].startswith(f"{bank.topic(PERSON)} partition 1 offset {end}: ")
    bank.delete_records(PERSON, end + 1, partition=1)
    assert bank.workers.pop().stop() == 0
    bank.worker("reports")
    bank.wait_caught_up("reports")
    assert bank.difference("reports") == {}


def test_a_schema_id_nobody_knows_is_waited_for_then_holds(make_bank: MakeBank) -> None:
    """Never dead-lettered: the registry may be the one that is wrong."""
    bank = make_bank("reports", partitions=1)
    bank.apply()
    worker = bank.worker("reports", HOLDTRUE_UNKNOWN_SCHEMA_SECONDS="3")
    bank.wait_caught_up("reports")
    end = bank.ends(PERSON)[bank.topic(PERSON), 0]
    bank.produce(bank.topic(PERSON), b"\x00\x7f\xff\xff\xff" + b"\x00\x02rest")
    bank.sot.execute("UPDATE thing SET note = 'runs on'")
    bank.wait_caught_up("reports", THING)
    assert "schema id 2147483647" in str(wait_held(bank, "schema id")["reason"])
    assert bank.committed("reports")[bank.topic(PERSON), 0] == end
    assert bank.events("dlq") == []
    assert worker.stop() == 0


def test_a_schema_that_is_no_debezium_envelope_holds_the_table(make_bank: MakeBank) -> None:
    """The key's schema, a registered string: somebody else writes to this topic."""
    bank = make_bank("reports", partitions=1)
    bank.apply()
    worker = bank.worker("reports")
    bank.wait_caught_up("reports")
    subject = f"{bank.name}-text-value"
    made = requests.post(
        f"{bank.env['HOLDTRUE_REGISTRY']}/subjects/{subject}/versions",
        json={"schema": json.dumps({"type": "string"})}, timeout=10,
    )  # fmt: skip
    bank.produce(bank.topic(PERSON), b"\x00" + made.json()["id"].to_bytes(4, "big") + b"\x06abc")
    bank.sot.execute("UPDATE thing SET note = 'runs on'")
    bank.wait_caught_up("reports", THING)
    wait_until(lambda: bank.events("signals") or bank.events("dlq"), "a hold or a dead letter")
    assert worker.process.poll() is None
    assert "Traceback" not in worker.said
