"""The streams of a DynamoDB replica's tables: what others do there is found and repaired within seconds."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.worker.conftest import MakeBank
from tests.support.bank import Bank
from tests.support.dynamodb_server import private_dynamodb
from tests.support.load import Load
from tests.support.looks import dynamodb
from tests.support.processes import Worker
from tests.support.wait import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.long]
PERSON, THING = "public.person", "public.thing"
REPLICAS: dict[str, dict[str, dict[str, Any]]] = {"lookup": {PERSON: {}, THING: {}}}
# Nothing but the streams can have found it: the scrub comes by once in an hour.
CHECKS = {"depths": ["counts"], "every": "1h", "scrub_period": "1h", "replica_log": True}
SECONDS = 10.0
PLANTED = 60


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A server of its own that keeps nothing: the shared one writes each record of a stream to the disk."""
    with private_dynamodb() as given:
        yield given


@pytest.fixture(scope="module")
def town(make_bank: MakeBank, endpoint: str) -> Iterator[Bank]:
    """People and things in DynamoDB tables whose streams are followed; what is found of people is repaired."""
    bank = make_bank("lookup", replicas=REPLICAS)
    bank.env["HOLDTRUE_DYNAMODB"] = endpoint
    lookup = bank.document["replicas"]["lookup"]
    lookup["defaults"] = {
        **lookup["defaults"],
        "validation": CHECKS,
        "repair": {"automatic": ["missing", "mismatch", "orphan"]},
    }
    bank.write_plan()
    bank.start()
    bank.wait_caught_up("lookup")
    wait_until(lambda: _follows(bank.workers[0]), "the streams to be followed")
    _wait_scrubbed(bank.workers[0])
    # What was written before it began is read first, and takes some seconds.
    wait_until(lambda: _behind(bank.workers[0]) < 2, "the streams to be read", 60.0)
    yield bank
    bank.stop()


@pytest.fixture(scope="module")
def rogue(town: Bank) -> Iterator[Any]:
    """Somebody who writes to the replica behind everybody's back."""
    with dynamodb(town.env) as client:
        yield client


def _follows(worker: Worker) -> bool:
    return worker.metric("holdtrue_replica_log_followed", table=PERSON) == 1


def _behind(worker: Worker) -> float:
    return worker.metric("holdtrue_replica_log_lag_seconds")


def _visited(worker: Worker) -> float:
    return worker.metric("holdtrue_keys_checked_total", table=PERSON)


def _wait_scrubbed(worker: Worker) -> None:
    """A stream that begins has every key visited, though the scrub's period is an hour."""
    wait_until(lambda: _visited(worker) >= 300, lambda: f"300 people to be visited: {_visited(worker)}", 30.0)


def _named(town: Bank, table: str) -> str:
    return str(town.document["replicas"]["lookup"]["tables"][table]["to"])


def _update(town: Bank, rogue: Any, key: int, note: str = "somebody else") -> None:
    rogue.update_item(
        TableName=_named(town, PERSON), Key={"id": {"N": str(key)}}, UpdateExpression="SET #n = :n",
        ExpressionAttributeNames={"#n": "name"}, ExpressionAttributeValues={":n": {"S": note}},
    )  # fmt: skip


def _told(town: Bank, table: str, key: int) -> list[tuple[str, str]]:
    wanted = (table, {"id": str(key)})
    return [(e["kind"], e["state"]) for e in town.events("drift") if (e["table"], e["key"]) == wanted]


def _wait_told(town: Bank, key: int, kind: str, state: str = "open", seconds: float = SECONDS) -> None:
    wait_until(
        lambda: (kind, state) in _told(town, PERSON, key), lambda: f"{kind}: {_told(town, PERSON, key)}", seconds
    )


def test_what_others_do_is_found_and_repaired_within_seconds(town: Bank, rogue: Any) -> None:
    """An update under our token, a put beside it, a delete, and a row that is nobody's; each by its stream alone."""
    name = _named(town, PERSON)
    _update(town, rogue, 3)
    rogue.delete_item(TableName=name, Key={"id": {"N": "6"}})
    rogue.put_item(TableName=name, Item={"id": {"N": "9"}, "name": {"S": "theirs"}})
    rogue.put_item(TableName=name, Item={"id": {"N": "9000"}, "name": {"S": "nobody"}})
    planted = {3: "mismatch", 6: "missing", 9: "mismatch", 9000: "orphan"}
    for key, kind in planted.items():
        _wait_told(town, key, kind)
    for key, kind in planted.items():
        _wait_told(town, key, kind, "resolved", 30.0)
    assert town.actual("lookup", PERSON) == town.expected("lookup", PERSON)


def test_our_own_changes_are_nobody_elses(town: Bank) -> None:
    """Changes of every kind: none is looked at for the streams' sake, and none is told."""
    worker = town.workers[0]
    before = worker.metric("holdtrue_foreign_changes_total", table=THING)
    read = worker.metric("holdtrue_replica_log_changes_total")
    load = Load(town.env["HOLDTRUE_SOT_DSN"], "thing")
    wait_until(
        lambda: load.changes > 1_500 and worker.metric("holdtrue_replica_log_changes_total") > read + 1_000,
        "changes in the replica's streams", 90.0,
    )  # fmt: skip
    load.stop()
    town.wait_caught_up("lookup")
    assert town.actual("lookup", THING) == town.expected("lookup", THING)
    assert worker.metric("holdtrue_foreign_changes_total", table=THING) == before
    assert not [event for event in town.events("drift") if event["table"] == THING]


def test_status_says_that_it_is_followed(town: Bank) -> None:
    """As the replica itself says."""
    tables = json.loads(town.run("--format", "json", "status").stdout)["tables"]
    assert all("replica_log" in row["checks"] for row in tables)


def test_how_soon_it_is_found(town: Bank, rogue: Any, record_property: Any) -> None:
    """Beside a load of ours, one fault after the other: median and 99th percentile go into the decision."""
    load = Load(town.env["HOLDTRUE_SOT_DSN"], "thing", seed=2)
    seconds = sorted(_seconds_until_told(town, rogue, key) for key in range(100, 100 + PLANTED))
    load.stop()
    median, last = seconds[PLANTED // 2], seconds[int(PLANTED * 0.99)]
    print(f"{PLANTED} found: median {median:.2f} s, 99th percentile {last:.2f} s, longest {seconds[-1]:.2f} s")
    record_property("median", median)
    assert last < SECONDS
    assert {tuple(event["key"].items()) for event in town.events("drift") if event["table"] == THING} == set()


def _seconds_until_told(town: Bank, rogue: Any, key: int) -> float:
    begun = time.monotonic()
    _update(town, rogue, key)
    _wait_told(town, key, "mismatch", seconds=30.0)
    return time.monotonic() - begun


def test_a_worker_that_is_killed_goes_on(town: Bank, rogue: Any) -> None:
    """With a change in hand that nobody was told of; and what came meanwhile is seen, without a visit to every key."""
    town.workers[0].stop()
    first = town.worker("lookup", HOLDTRUE_CRASH_AT="foreign-seen:1")
    wait_until(lambda: _follows(first), "it to follow", 60.0)
    _update(town, rogue, 33)
    wait_until(lambda: first.process.poll() is not None, "its end")
    _update(town, rogue, 34)
    second = town.worker("lookup")
    for key in (33, 34):
        _wait_told(town, key, "mismatch", seconds=90.0)
    assert "followed from now on" not in second.said
    assert _visited(second) < 300
    town.workers[:] = [second]


def test_a_stream_that_is_replaced_has_every_key_visited(town: Bank, rogue: Any) -> None:
    """While no stream was there somebody wrote: the visit finds it, and a signal says that nothing was seen before."""
    name, worker = _named(town, PERSON), town.workers[0]
    rogue.update_table(TableName=name, StreamSpecification={"StreamEnabled": False})
    _update(town, rogue, 44)
    _wait_told(town, 44, "mismatch", seconds=60.0)
    _wait_scrubbed(worker)
    begun = [event for event in town.events("signals") if event["type"] == "replica-log-begun"]
    assert begun[-1]["table"] == PERSON
    wait_until(lambda: _follows(worker), "it to be followed again")
    _update(town, rogue, 45)
    _wait_told(town, 45, "mismatch")


def test_whoever_does_not_follow_any_more_leaves_nothing(town: Bank, rogue: Any) -> None:
    """The next worker under a plan without the word removes what was kept."""
    assert [name for name in rogue.list_tables()["TableNames"] if name.startswith(f"holdtrue_{town.name}")]
    town.workers[0].stop()
    town.document["replicas"]["lookup"]["defaults"]["validation"] = {**CHECKS, "replica_log": False}
    town.write_plan()
    town.workers[:] = [town.worker("lookup")]
    wait_until(
        lambda: not [name for name in rogue.list_tables()["TableNames"] if name.startswith(f"holdtrue_{town.name}")],
        "the table to be removed", 60.0,
    )  # fmt: skip
