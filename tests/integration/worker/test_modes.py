"""Replicas that somebody else writes, and caches that applications fill: checked as they are, written on an order."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests.integration.worker.conftest import MakeBank
from tests.support.bank import Bank
from tests.support.load import Load
from tests.support.other_writer import OtherWriter, copy
from tests.support.wait import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.long]
THING = "public.thing"
LAG_SECONDS = 3
DDL = """
CREATE TABLE thing (id int PRIMARY KEY, note text);
INSERT INTO thing SELECT n, 'note ' || n FROM generate_series(1, 100) n;
"""
KEYS = {THING: ["id"]}


def of_mode(bank: Bank, mode: str) -> Bank:
    """The plan says so of every table."""
    for replica in bank.document["replicas"].values():
        lag = {"kind": "eventual", "lag": f"{LAG_SECONDS}s"}
        replica["defaults"] = {**replica["defaults"], "mode": mode, "consistency": lag}
    bank.write_plan()
    return bank


def role_of(bank: Bank) -> str:
    """A role that may do nothing but look; the plan's replica is opened as it."""
    role, dsn = f"{bank.name}_looks", urlsplit(bank.env["HOLDTRUE_REPLICA_DSN"])
    with psycopg.connect(bank.env["HOLDTRUE_REPLICA_DSN"], autocommit=True) as replica:
        replica.execute(SQL("CREATE ROLE {} LOGIN PASSWORD 'looks'").format(Identifier(role)))
        replica.execute("CREATE TABLE thing (id int PRIMARY KEY, note text, seen timestamptz)")
        replica.execute(SQL("GRANT SELECT ON thing TO {}").format(Identifier(role)))
    host = f"{dsn.hostname}:{dsn.port}"
    bank.env["HOLDTRUE_LOOKS_DSN"] = urlunsplit(dsn._replace(netloc=f"{role}:looks@{host}"))
    bank.document["replicas"]["reports"]["dsn"] = {"env": "HOLDTRUE_LOOKS_DSN"}
    bank.write_plan()
    return role


@contextmanager
def hands(bank: Bank) -> Iterator[psycopg.Connection[Any]]:
    """The replica's database, as its owner has it."""
    with psycopg.connect(bank.env["HOLDTRUE_REPLICA_DSN"], autocommit=True) as replica:
        yield replica


def drift(bank: Bank) -> list[dict[str, Any]]:
    """What is open."""
    said = bank.done("--format", "json", "drift", "list", "--state", "open-all")
    found: list[dict[str, Any]] = json.loads(said)["drift"]
    return found


def wait_open(bank: Bank, count: int) -> list[dict[str, Any]]:
    """Until so many drifts are open."""
    wait_until(lambda: len(drift(bank)) == count, lambda: f"{count} open drifts, not {drift(bank)}")
    return drift(bank)


def repair(bank: Bank) -> dict[str, Any]:
    """What became of a repair of all that is open."""
    bank.done("repair", "plan")
    said = bank.run("--format", "json", "repair", "apply", "repair.json", "--reason", "test")
    (outcome,) = json.loads(said.stdout)["repairs"]
    found: dict[str, Any] = outcome
    return found


@pytest.fixture(scope="module")
def watched(make_bank: MakeBank) -> Iterator[Bank]:
    """A Postgres replica that somebody else writes, and that the worker's role may only read."""
    bank = of_mode(make_bank("reports", ddl=DDL, tables=KEYS, replicas={"reports": {THING: {}}}), "verify")
    bank.role = role_of(bank)  # type: ignore[attr-defined]
    bank.start()
    bank.control()
    bank.wait_caught_up("reports")
    yield bank
    bank.stop()


def test_what_somebody_else_writes_is_checked_and_nothing_is_created(watched: Bank) -> None:
    """The plan fits with SELECT alone; what is not there is missing, what is there is right, no token asked for."""
    watched.done("plan", "check", "--live")
    (before,) = watched.validate()
    assert (before["outcome"], before["drift_found"]) == ("drifted", 100)
    assert {(each["kind"], each["cause"]) for each in wait_open(watched, 100)} == {("missing", "other writer")}
    copy(watched.env["HOLDTRUE_SOT_DSN"], watched.env["HOLDTRUE_REPLICA_DSN"], "thing")
    assert [each["outcome"] for each in watched.validate()] == ["correct"]
    assert [each["outcome"] for each in watched.validate("--depth", "counts")] == ["correct"]
    wait_open(watched, 0)
    with hands(watched) as replica:
        made = "SELECT count(*) FROM pg_namespace WHERE nspname = 'holdtrue'"
        assert replica.execute(made).fetchone() == (0,)


def test_who_is_late_by_less_than_the_lag_is_never_drift(watched: Bank) -> None:
    """While rows come, go and change all the time, and are brought half a second later."""
    load = Load(watched.env["HOLDTRUE_SOT_DSN"], "thing")
    other = OtherWriter(watched.env["HOLDTRUE_SOT_DSN"], watched.env["HOLDTRUE_REPLICA_DSN"], "thing")
    try:
        results = [watched.validate()[0] for _ in range(2)]
        with hands(watched) as replica:
            replica.execute("INSERT INTO thing VALUES (5001, 'nobody''s'), (5002, 'nobody''s')")
            found = watched.validate()[0]
    finally:
        load.stop()
        other.stop()
    assert [each["drift_found"] for each in results] == [0, 0]
    assert load.changes > 500
    # The other writer takes away what the source does not have, as a change of it would be.
    assert found["drift_found"] == 0
    copy(watched.env["HOLDTRUE_SOT_DSN"], watched.env["HOLDTRUE_REPLICA_DSN"], "thing")


def test_it_is_written_on_an_order_and_only_then(watched: Bank) -> None:
    """A repair needs rights, and says so; with them it writes under the guard, whose version table it creates."""
    with hands(watched) as replica:
        replica.execute("INSERT INTO thing VALUES (6001, 'nobody''s')")
        ids = [key for (key,) in replica.execute("SELECT id FROM thing WHERE id < 6000 ORDER BY id LIMIT 2")]
        replica.execute("UPDATE thing SET note = 'somebody else''s' WHERE id = %s", (ids[0],))
        replica.execute("DELETE FROM thing WHERE id = %s", (ids[1],))
        assert watched.validate()[0]["drift_found"] == 3
        assert {each["kind"] for each in wait_open(watched, 3)} == {"orphan", "mismatch", "missing"}
        refused = repair(watched)
        assert (refused["repaired"], refused["failed"]) == (0, 3)
        role, name = Identifier(watched.role), Identifier(watched.name)  # type: ignore[attr-defined]
        replica.execute(SQL("GRANT INSERT, UPDATE, DELETE ON thing TO {}").format(role))
        replica.execute(SQL("GRANT CREATE ON DATABASE {} TO {}").format(name, role))
        done = repair(watched)
        assert (done["repaired"], done["resolved"]) == (3, 3)
        versions = 'SELECT count(*) FROM holdtrue."public.thing"'
        assert replica.execute(versions).fetchone() == (3,)
    wait_open(watched, 0)
    assert [each["outcome"] for each in watched.validate()] == ["correct"]


def adopted(bank: Bank) -> tuple[int, dict[str, Any]]:
    """How an adoption ended."""
    ran = bank.run("--format", "json", "adopt", "--replica", "reports", "--table", THING)
    (result,) = json.loads(ran.stdout)["results"]
    found: dict[str, Any] = result
    return ran.returncode, found


def test_what_is_right_gets_its_token_and_no_row_is_touched(watched: Bank) -> None:
    """Also where the worker is killed in the middle; what is wrong is drift, and repaired by order."""
    assert watched.workers.pop(0).stop() == 0
    crashing = watched.worker("reports", HOLDTRUE_CRASH_AT="rows-stamped:1")
    watched.workers.remove(crashing)
    with hands(watched) as replica, ThreadPoolExecutor() as beside:
        replica.execute("UPDATE thing SET note = 'somebody else''s' WHERE id IN (SELECT id FROM thing LIMIT 2)")
        rows = "SELECT id, note, xmin::text, ctid::text FROM thing ORDER BY id"
        before = replica.execute(rows).fetchall()
        first = beside.submit(adopted, watched)
        assert crashing.process.wait(120) == -signal.SIGKILL
        watched.worker("reports")
        watched.workers.insert(0, watched.workers.pop())
        code, result = first.result()
        assert (code, result["outcome"], result["drift_found"]) == (3, "drifted", 2)
        assert replica.execute(rows).fetchall() == before
        stamped = 'SELECT count(*) FROM holdtrue."public.thing" v JOIN thing USING (id) WHERE v.dead_since IS NULL'
        assert replica.execute(stamped).fetchone()[0] >= len(before) - 2  # type: ignore[index]
        wait_open(watched, 2)
        assert repair(watched)["resolved"] == 2
        code, result = adopted(watched)
        assert (code, result["outcome"], result["verified"]) == (0, "correct", len(before))
        assert replica.execute(stamped).fetchone() == (len(before),)


def test_an_adopted_replica_is_written_by_its_worker(watched: Bank) -> None:
    """The plan says so from now on; what was adopted needs no snapshot and no rebuild."""
    of_mode(watched, "replicate")
    assert watched.workers.pop(0).stop() == 0
    watched.worker("reports")
    watched.workers.insert(0, watched.workers.pop())
    watched.sot.execute("UPDATE thing SET note = 'ours now'")
    watched.sot.execute("INSERT INTO thing VALUES (7001, 'new')")
    watched.wait_caught_up("reports")
    assert [each["outcome"] for each in watched.validate()] == ["correct"]
    refused = watched.run("adopt", "--replica", "reports")
    assert (refused.returncode, "mode replicate" in refused.stderr) == (2, True)


@pytest.fixture(scope="module")
def cache(make_bank: MakeBank) -> Iterator[Bank]:
    """A Redis that applications fill with what they have read. It has been filled before holdtrue came."""
    bank = of_mode(make_bank("cache", ddl=DDL, tables=KEYS, replicas={"cache": {THING: {}}}), "invalidate")
    for key in range(1, 41):
        fill(bank, key, f"note {key}")
    fill(bank, 50, "what it was long ago")
    fill(bank, 500, "what was deleted long ago")
    bank.start()
    bank.control()
    bank.wait_caught_up("cache")
    yield bank
    bank.stop()


def fill(bank: Bank, key: int, note: str) -> None:
    """An application has not found a row, has read it, and puts it there for a while."""
    with bank.redis() as client:
        client.set(f"{bank.name}:thing:{key}", json.dumps({"id": key, "note": note}), ex=3600)


def there(bank: Bank) -> set[int]:
    """The keys that the cache has."""
    return {int(key) for (key,) in (each for each in bank.actual("cache", THING)) if key is not None}


def test_a_snapshot_empties_no_cache(cache: Bank) -> None:
    """It takes away what is not what the source has; what no row is for, a run finds."""
    assert there(cache) == {*range(1, 41), 500}
    (run,) = cache.validate()
    assert (run["outcome"], run["drift_found"], run["verified"], run["absent"]) == ("drifted", 1, 40, 60)
    assert [each["kind"] for each in wait_open(cache, 1)] == ["orphan"]
    done = repair(cache)
    assert (done["resolved"], there(cache)) == (1, set(range(1, 41)))


def test_what_changes_is_deleted_and_may_be_filled_in_again(cache: Bank) -> None:
    """Absent is fine, and what is filled in must be right, for however long it stays."""
    cache.sot.execute("UPDATE thing SET note = 'changed' WHERE id <= 10")
    cache.sot.execute("DELETE FROM thing WHERE id = 20")
    cache.wait_caught_up("cache")
    assert there(cache) == {*range(11, 20), *range(21, 41)}
    fill(cache, 1, "changed")
    (run,) = cache.validate()
    assert (run["outcome"], run["verified"], run["absent"]) == ("correct", 30, 69)
    assert [each["outcome"] for each in cache.validate("--depth", "counts")] == ["correct"]


def test_a_row_that_was_read_before_its_change_and_filled_in_after_it_is_drift(cache: Bank) -> None:
    """Nothing would take it away; its repair does, and fills nothing in."""
    cache.sot.execute("UPDATE thing SET note = 'newer' WHERE id = 2")
    cache.wait_caught_up("cache")
    fill(cache, 2, "changed")
    assert cache.validate()[0]["drift_found"] == 1
    (open_drift,) = wait_open(cache, 1)
    assert (open_drift["key"], open_drift["kind"], open_drift["cause"]) == ({"id": "2"}, "mismatch", "other writer")
    assert repair(cache)["resolved"] == 1
    assert 2 not in there(cache)
    wait_open(cache, 0)
    assert [each["outcome"] for each in cache.validate()] == ["correct"]
