"""Continuous checking on real servers: what others do to a replica is found in time, and mended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import boto3
import psycopg
import pytest

from tests.integration.worker.conftest import MakeBank
from tests.support.bank import Bank
from tests.support.load import Load
from tests.support.wait import wait_until

pytestmark = pytest.mark.stack
PERSON, THING = "public.person", "public.thing"
PERIOD_SECONDS = 6
STORES = ("reports", "cache", "lookup")


@pytest.fixture(scope="module")
def town(make_bank: MakeBank) -> Iterator[Bank]:
    """People in three stores, checked all the time; what is missing or stale is repaired without being asked."""
    bank = make_bank()
    for replica in bank.document["replicas"].values():
        checks: dict[str, Any] = {"depths": ["counts"], "every": "1h", "scrub_period": f"{PERIOD_SECONDS}s"}
        repair = {"automatic": ["missing", "mismatch", "orphan"], "stop_above": 50}
        if replica["kind"] == "postgres":
            checks["replica_log"] = True
        replica["defaults"] = {**replica["defaults"], "validation": checks, "repair": repair}
    bank.write_plan()
    bank.start()
    bank.control()
    for store in STORES:
        bank.wait_caught_up(store)
    yield bank
    bank.stop()


class Hands:
    """Somebody who changes a store behind everybody's back."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self.postgres = psycopg.connect(bank.env["HOLDTRUE_REPLICA_DSN"], autocommit=True)
        self.redis = bank.redis()
        self.dynamo: Any = boto3.resource(
            "dynamodb", endpoint_url=bank.env["HOLDTRUE_DYNAMODB"], region_name="local",
            aws_access_key_id="x", aws_secret_access_key="x",
        ).Table(f"{bank.name}_person")  # fmt: skip

    def change(self, store: str, key: int) -> None:
        """Another value, under the token that is there."""
        if store == "reports":
            self.postgres.execute("UPDATE person SET name = 'somebody else' WHERE id = %s", (key,))
        elif store == "cache":
            name = f"{self._bank.name}:person:{key}"
            row = json.loads(self.redis.get(name))  # type: ignore[arg-type]
            self.redis.set(name, json.dumps({**row, "full_name": "somebody else"}))
        else:
            self.dynamo.update_item(
                Key={"id": Decimal(key)}, UpdateExpression="SET #n = :n", ExpressionAttributeNames={"#n": "name"},
                ExpressionAttributeValues={":n": "somebody else"},
            )  # fmt: skip

    def remove(self, store: str, key: int) -> None:
        """The row is gone."""
        if store == "reports":
            self.postgres.execute("DELETE FROM person WHERE id = %s", (key,))
        elif store == "cache":
            self.redis.delete(f"{self._bank.name}:person:{key}")
        else:
            self.dynamo.delete_item(Key={"id": Decimal(key)})

    def add(self, store: str, key: int) -> None:
        """A row that the source does not have."""
        if store == "reports":
            self.postgres.execute("INSERT INTO person (id, name, city) VALUES (%s, 'nobody', 'Oslo')", (key,))
        elif store == "cache":
            row = {"id": key, "full_name": "nobody", "city": "Oslo", "born": None}
            self.redis.set(f"{self._bank.name}:person:{key}", json.dumps(row))
        else:
            self.dynamo.put_item(Item={"id": Decimal(key), "name": "nobody", "city": "Oslo"})


@pytest.fixture(scope="module")
def hands(town: Bank) -> Iterator[Hands]:
    found = Hands(town)
    with found.postgres, found.redis:
        yield found


def _states(town: Bank, store: str, key: int) -> list[str]:
    """What the drift topic says of a key, in order."""
    wanted = {"id": str(key)}
    return [event["state"] for event in town.events("drift") if (event["replica"], event["key"]) == (store, wanted)]


def _wait_resolved(town: Bank, store: str, key: int) -> list[str]:
    wait_until(lambda: _states(town, store, key)[-1:] == ["resolved"], lambda: str(_states(town, store, key)), 40.0)
    return _states(town, store, key)


MENDED = ["open", "repairing", "repaired", "resolved"]


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(
    ("act", "key"), [(Hands.change, 3), (Hands.remove, 6), (Hands.add, 9_000)], ids=["changed", "removed", "added"]
)
def test_what_others_do_is_found_told_and_mended(
    town: Bank, hands: Hands, store: str, act: Callable[[Hands, str, int], None], key: int
) -> None:
    """Each step once, and the store is as the source."""
    act(hands, store, key)
    assert _wait_resolved(town, store, key) == MENDED
    town.wait_equal(store)


def test_the_replicas_own_log_shows_what_others_do(town: Bank, hands: Hands) -> None:
    """In Postgres, where the plan wants that; `status` says so."""
    worker = town.workers[0]
    before = worker.metric("holdtrue_foreign_changes_total", table=PERSON)
    hands.change("reports", 15)
    wait_until(lambda: worker.metric("holdtrue_foreign_changes_total", table=PERSON) > before, "it to be seen")
    assert _wait_resolved(town, "reports", 15) == MENDED
    rows = json.loads(town.run("--format", "json", "status").stdout)["tables"]
    scrubbed = ["just_written", "scrub", "reverse_sweep"]
    checks = {row["replica"]: row["checks"] for row in rows}
    assert checks == {"reports": [*scrubbed, "replica_log"], "cache": scrubbed, "lookup": scrubbed}


def test_a_row_that_was_just_written_is_read_back_within_seconds(town: Bank, hands: Hands) -> None:
    """Before the scrub comes by: the period is not over when it is told."""
    town.sot.execute("UPDATE person SET name = 'new' WHERE id = 12")
    town.wait_caught_up("reports", PERSON)
    hands.change("reports", 12)
    assert _wait_resolved(town, "reports", 12) == MENDED


def test_a_row_that_the_filter_leaves_out_must_not_be_there(town: Bank, hands: Hands) -> None:
    """It is read back as any other: somebody else's row under its key is one too many."""
    town.sot.execute("INSERT INTO person (id, name, city) VALUES (9100, 'far', 'Rome')")
    town.wait_caught_up("cache", PERSON)
    hands.add("cache", 9_100)
    assert _wait_resolved(town, "cache", 9_100) == MENDED
    assert hands.redis.get(f"{town.name}:person:9100") is None


def test_under_load_nothing_is_told_that_is_not_so(town: Bank) -> None:
    """Rows that are written all the time, and come and go, are read back and scrubbed while they change."""
    before = len(town.events("drift"))
    load = Load(town.env["HOLDTRUE_SOT_DSN"], "thing")
    checked = town.workers[0].metric("holdtrue_keys_checked_total", table=THING)
    wait_until(
        lambda: load.changes > 2_000
        and town.workers[0].metric("holdtrue_keys_checked_total", table=THING) > checked + 2_000,
        "changes, and checks of them", 90.0,
    )  # fmt: skip
    load.stop()
    town.wait_equal("reports")
    assert town.events("drift")[before:] == []
    assert 0 < town.workers[0].metric("holdtrue_scrub_age_seconds", table=PERSON) < 2 * PERIOD_SECONDS + 5
