"""Drift as a person meets it: too many keys to be told one by one, accepted for a time, closed by hand."""

from __future__ import annotations

import json
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from streams.drift.names import Names
from tests.integration.worker.conftest import MakeBank
from tests.support.bank import Bank
from tests.support.drift_topic import DriftTopic
from tests.support.wait import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.long]
PERSON = "public.person"
FLOOD_ABOVE = 3


@pytest.fixture(scope="module")
def town(make_bank: MakeBank) -> Bank:
    """A Redis replica of which runs name three keys, a worker, and control."""
    bank = make_bank("cache", partitions=2)
    plan(bank, flood_above=FLOOD_ABOVE)
    bank.apply()
    bank.worker("cache")
    bank.control()
    bank.wait_equal("cache")
    return bank


def plan(bank: Bank, **drift: Any) -> None:
    """What the plan says of drift."""
    bank.document["replicas"]["cache"]["tables"][PERSON]["drift"] = drift
    bank.write_plan()


def listed(bank: Bank, *words: str) -> list[dict[str, Any]]:
    """`holdtrue drift list`."""
    rows: list[dict[str, Any]] = json.loads(bank.done("--format", "json", "drift", "list", *words))["drift"]
    return rows


def lose(bank: Bank, *ids: int) -> None:
    """Somebody deletes these rows from Redis."""
    assert bank.redis().delete(*(f"{bank.name}:person:{number}" for number in ids)) == len(ids)


def kept(bank: Bank) -> list[int]:
    """Ids of rows that the replica must have."""
    return sorted(int(key[0]) for key in bank.expected("cache", PERSON))


def status(bank: Bank) -> dict[str, Any]:
    """The line of `holdtrue status`."""
    (line,) = json.loads(bank.run("--format", "json", "status").stdout)["tables"]
    found: dict[str, Any] = line
    return found


def planned(bank: Bank) -> list[dict[str, Any]]:
    """The items of a repair plan, which control has all drift for."""
    items: list[dict[str, Any]] = json.loads(bank.done("--format", "json", "repair", "plan"))["items"]
    return items


def found(bank: Bank) -> dict[str, Any]:
    """What a run finds; control has taken it in."""
    (result,) = bank.validate()
    planned(bank)
    return result


def test_drift_that_came_right_by_itself_is_over_when_it_is_looked_at_again(town: Bank) -> None:
    """Somebody puts one of two rows back; the other one stays open."""
    first, second = kept(town)[:2]
    client = town.redis()
    name = f"{town.name}:person:{first}"
    before = client.get(name)
    lose(town, first, second)
    assert found(town)["drift_found"] == 2
    client.set(name, before)
    ran = town.run("--format", "json", "drift", "recheck")
    (answer,) = json.loads(ran.stdout)["rechecked"]
    assert (ran.returncode, answer["keys"], answer["ended"], answer["wrong"]) == (3, 2, 1, 1)
    wait_until(lambda: len(listed(town, "--state", "open-all")) == 1, "control to take it in")
    planned(town)
    town.done("repair", "apply", "repair.json", "--reason", "test")
    assert town.run("drift", "recheck").returncode == 0


def test_very_many_keys_are_named_in_part_and_counted_as_a_whole(town: Bank) -> None:
    """The first three get records of their own, the others are counted by partition; each repair makes them fewer."""
    lose(town, *kept(town)[:8])
    for left in (8, 5, 2):
        assert found(town)["drift_found"] == left
        rows = listed(town, "--state", "open-all")
        named = [row for row in rows if row["key"] is not None]
        assert (len(named), sum(row["keys"] for row in rows)) == (min(FLOOD_ABOVE, left), left)
        counted: Counter[str] = sum((Counter(row["causes"]) for row in rows if row["key"] is None), Counter())
        assert counted == Counter({"rogue delete, eviction or expiry": max(0, left - FLOOD_ABOVE)})
        assert status(town)["drift_open"] == left
        assert len(planned(town)) == len(named)
        town.done("repair", "apply", "repair.json", "--reason", "test")
    assert found(town)["outcome"] == "correct"
    assert listed(town, "--state", "open-all") == []


def test_a_flood_counts_each_key_once_across_a_kill_and_beside_a_run(make_bank: MakeBank) -> None:
    """At every moment; the next worker names again what is named, and ends what is over."""
    bank = make_bank("cache", partitions=2)
    checks = {"depths": ["counts"], "every": "1h", "scrub_period": "5s"}
    bank.document["replicas"]["cache"]["tables"][PERSON]["validation"] = checks
    plan(bank, flood_above=4)
    bank.apply()
    first = bank.worker("cache")
    bank.control()
    bank.wait_equal("cache")
    gone = kept(bank)[:30]
    lose(bank, *gone)
    wait_until(lambda: told(bank) == (4, 30), lambda: str(told(bank)), 120)
    first.stop(signal.SIGKILL)
    before = len(bank.events("drift"))
    bank.worker("cache")
    while len(bank.events("drift")) < before + 8:  # each that is named is told twice
        assert told(bank) == (4, 30)
    (run,) = bank.validate()
    assert (run["drift_found"], told(bank)) == (30, (4, 30))
    bank.change(f"UPDATE person SET name = name || '.' WHERE id = ANY(ARRAY{gone})")
    wait_until(lambda: told(bank) == (0, 0), lambda: str(told(bank)), 180)


def told(bank: Bank) -> tuple[int, int]:
    """How many keys the drift topic names, and how many are in drift as it says."""
    topic = DriftTopic("cache")
    for event in bank.events("drift"):
        topic.send("drift", event["id"], "drift", event)
    return len(topic.named), topic.total


def test_accepted_drift_does_not_count_until_its_date(town: Bank) -> None:
    """However often it is seen meanwhile; then control opens it again. Who accepted it, and why, is in the trail."""
    lost = kept(town)[0]
    lose(town, lost)
    found(town)
    (drift,) = listed(town, "--state", "open-all")
    words = ("drift", "accept", drift["id"], "--reason", "known", "--by", "ada", "--until")
    accepted = json.loads(town.done("--format", "json", *words, "1h"))
    assert [(row["id"], row["state"]) for row in accepted["drift"]] == [(drift["id"], "accepted")]
    assert (found(town)["drift_found"], planned(town)) == (1, [])
    assert status(town)["drift_open"] == 0
    # Accepted again, with an earlier date.
    town.done(*words, (datetime.now(UTC) + timedelta(seconds=30)).isoformat())
    wait_until(lambda: status(town)["drift_open"] == 1, "the acceptance to end", 120)
    shown = json.loads(town.done("--format", "json", "drift", "show", drift["id"]))
    assert (shown["state"], shown["accepted_by"]) == ("open", None)
    assert "accepted by ada" in shown["reason"]
    assert ("drift.accepted", "ada", "known") in trail(town)


def trail(bank: Bank) -> list[tuple[str, str, str]]:
    """What, who and why of the newest entries."""
    entries = json.loads(bank.done("--format", "json", "audit", "list"))["entries"]
    return [(each["what"], each["who"], each["why"]) for each in entries]


def test_a_drift_is_closed_by_hand_only_when_its_key_is_right(town: Bank) -> None:
    """The key is looked at again; what put it right is the root cause that the trail names."""
    (drift,) = listed(town, "--state", "open-all")
    words = ("drift", "close", drift["id"], "--reason", "a bad deploy", "--by", "ada")
    refused = town.run(*words)
    assert (refused.returncode, "its key is wrong (missing" in refused.stderr) == (3, True), refused.stderr
    assert listed(town, "--state", "open-all")[0]["times_seen"] > drift["times_seen"]
    # The next change of the row brings it back.
    town.sot.execute("UPDATE person SET name = 'right again' WHERE id = %s", (drift["key"]["id"],))
    town.wait_equal("cache")
    closed = json.loads(town.done("--format", "json", *words))
    assert [(row["id"], row["state"]) for row in closed["drift"]] == [(drift["id"], "resolved")]
    assert ("drift.resolved", "ada", "a bad deploy") in trail(town)
    assert town.run(*words).returncode == 2


def test_hidden_keys_are_in_no_record_and_are_repaired_all_the_same(make_bank: MakeBank) -> None:
    """By the same verbs: neither drift, its ids, nor what control keeps of repairs gives them away."""
    bank = make_bank("cache", partitions=2)
    bank.document["digest_key"] = {"env": "BANK_DIGEST_KEY"}
    bank.env["BANK_DIGEST_KEY"] = "a secret of the bank"
    plan(bank, hidden_keys=True, row_values=True)
    bank.apply()
    bank.worker("cache")
    bank.control()
    bank.wait_equal("cache")
    first, second, *_ = kept(bank)
    lose(bank, first, second)
    assert bank.redis().set(f"{bank.name}:person:4711", "{}")  # an orphan
    assert found(bank)["drift_found"] == 3
    drift = listed(bank, "--state", "open-all")
    assert sorted(row["kind"] for row in drift) == ["missing", "missing", "orphan"]
    assert all(row["key"].startswith("hmac:") for row in drift)
    items = planned(bank)
    assert all(item["hidden"] and item["shown"] == {"hmac": item["key"]} for item in items)
    applied = json.loads(bank.done("--format", "json", "repair", "apply", "repair.json", "--reason", "test"))
    assert [(each["ordered"], each["resolved"]) for each in applied["repairs"]] == [(3, 3)]
    assert bank.difference("cache") == {}
    lose(bank, second)
    found(bank)
    (again,) = listed(bank, "--state", "open-all")
    assert again["id"] in {row["id"] for row in drift}
    bank.sot.execute("UPDATE person SET name = 'right again' WHERE id = %s", (second,))
    bank.wait_equal("cache")
    bank.done("drift", "close", again["id"], "--reason", "a bad deploy")
    events = bank.events("drift")
    assert {(event["key"], event["key_hidden"], len(event["key_bytes"])) for event in events} == {(None, True, 32)}
    opened = [event for event in events if event["state"] == "open"]
    assert all(event["evidence"] for event in opened)
    assert {frozenset(event["sot_row"]) for event in opened if event["kind"] == "missing"} == {
        frozenset(("full_name", "city", "born"))
    }
    unkeyed = Names("cache", PERSON, ["id"])
    ids = {unkeyed.id(str(number).encode()) for number in (*kept(bank), 4711)}
    assert ids.isdisjoint(event["id"] for event in events)
    with psycopg.connect(bank.env["HOLDTRUE_CONTROL_DSN"]) as control:
        repaired = control.execute("SELECT length(key_bytes) FROM holdtrue.repair_items").fetchall()
    assert repaired == [(32,)] * 3
