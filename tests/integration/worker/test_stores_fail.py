"""Redis, Redis Cluster and DynamoDB as they fail: what passes is waited for, what is lost is found and mended."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import boto3
import psycopg
import pytest
import redis

from streams.local.stack import Stack
from tests.integration.worker.conftest import REPLICAS, MakeBank
from tests.support.bank import Bank
from tests.support.dynamodb_proxy import Proxy, cancelled, half_read, refused
from tests.support.redis_cluster import cluster_node, command, follow, join, serves_all
from tests.support.redis_server import private_redis
from tests.support.wait import wait_until

pytestmark = pytest.mark.stack
PERSON = "public.person"
COPIES = {"cache": {PERSON: {}}, "shards": {PERSON: {}}, "lookup": REPLICAS["lookup"]}


class Servers(NamedTuple):
    """Servers of this module alone. replica: of the first of the cluster's primaries."""

    redis: redis.Redis
    cluster: list[str]
    replica: str
    dynamodb: Proxy


@pytest.fixture(scope="module")
def servers(shared_stack: Stack) -> Iterator[Servers]:
    with ExitStack() as stack:
        single = stack.enter_context(redis.Redis.from_url(stack.enter_context(private_redis()), decode_responses=True))
        nodes = [stack.enter_context(cluster_node()) for _ in range(4)]
        *primaries, replica = nodes
        join(primaries)
        follow(replica, primaries[0], primaries)
        proxy = stack.enter_context(Proxy(shared_stack.endpoints().environment()["HOLDTRUE_DYNAMODB"]).serving())
        yield Servers(single, primaries, replica, proxy)


@pytest.fixture(scope="module")
def town(make_bank: MakeBank, servers: Servers) -> Iterator[Bank]:
    """The same people in all three, each with a worker."""
    bank = make_bank(replicas=COPIES)
    bank.document["replicas"]["shards"]["absent"] = "allowed"
    bank.write_plan()
    known = servers.redis.connection_pool.connection_kwargs
    bank.env["HOLDTRUE_REDIS_URL"] = f"redis://{known['host']}:{known['port']}/0"
    bank.env["HOLDTRUE_SHARDS_URL"] = servers.cluster[1]
    bank.env["HOLDTRUE_DYNAMODB"] = servers.dynamodb.url
    bank.start()
    bank.control()
    bank.check_equal()
    wait_until(lambda: looked_at(bank) == 2, "control to know the servers of both Redis replicas")
    yield bank
    assert {worker.process.poll() for worker in bank.workers} == {None}, [w.said[-2000:] for w in bank.workers]


def looked_at(bank: Bank) -> int:
    """Of how many replicas control knows the servers."""
    with psycopg.connect(bank.env["HOLDTRUE_CONTROL_DSN"]) as database:
        return database.execute("SELECT count(*) FROM holdtrue.stores").fetchone()[0]  # type: ignore[index]


@contextmanager
def retried(bank: Bank, store: str, why: str) -> Iterator[None]:
    """Inside, the worker of this replica says that it tries something again, and why."""
    worker = next(worker for worker in reversed(bank.workers) if worker.log.name.startswith(store))
    before = len(worker.said)

    def said() -> bool:
        return any(why in line and "Trying again." in line for line in worker.said[before:].splitlines())

    yield
    wait_until(said, lambda: f"{store} to try again because it {why}:\n{worker.said[-2000:]}")


def found(bank: Bank, store: str) -> dict[str, Any]:
    """The result of a run over all people."""
    (result,) = bank.validate("--depth", "checksums", "--table", PERSON, "--replica", store)
    return result


def problems(bank: Bank, store: str) -> list[str]:
    """What `holdtrue status` says is wrong with people in a replica; it says so by its exit code, too."""
    shown = bank.run("--format", "json", "status")
    assert shown.returncode == 3
    tables = json.loads(shown.stdout)["tables"]
    (line,) = (line for line in tables if (line["table"], line["replica"]) == (PERSON, store))
    return list(line["problems"])


def drift(bank: Bank, store: str, count: int) -> list[dict[str, Any]]:
    """What control knows of drift in this replica: so many keys."""
    wait_until(
        lambda: bank.open_drift(store) == count, lambda: f"control to know {count}, not {bank.open_drift(store)}"
    )
    known: list[dict[str, Any]] = json.loads(
        bank.done("--format", "json", "drift", "list", "--replica", store, "--state", "open-all")
    )["drift"]
    return known


def mend(bank: Bank, store: str) -> None:
    """Repair what is known; nothing is wrong any more."""
    bank.done("repair", "plan", "--replica", store, "--file", "repair.json")
    bank.done("repair", "apply", "repair.json", "--reason", "test")
    assert bank.difference(store) == {}
    assert found(bank, store)["outcome"] == "correct"
    drift(bank, store, 0)


def test_a_primary_of_the_cluster_dies_while_it_is_written_to(town: Bank, servers: Servers) -> None:
    """The worker waits, writes on through the replica that takes over, and has passed nothing over."""
    town.sot.execute("UPDATE person SET name = 'before' WHERE id % 2 = 0")
    town.wait_caught_up("shards")
    with redis.Redis.from_url(servers.cluster[0]) as dying:
        assert command(dying, "WAIT", 1, 5000) == 1
        with pytest.raises(redis.ConnectionError):
            command(dying, "SHUTDOWN", "NOSAVE")
    with retried(town, "shards", "cannot be reached"):
        town.sot.execute("UPDATE person SET name = 'a primary is dead', city = 'Moss' WHERE id % 3 = 0")
        town.sot.execute("DELETE FROM person WHERE id BETWEEN 250 AND 260")
    with redis.Redis.from_url(servers.replica) as replica:
        command(replica, "CLUSTER FAILOVER", "TAKEOVER")
    wait_until(
        lambda: all(serves_all(url) for url in (*servers.cluster[1:], servers.replica)), "the cluster to be whole"
    )
    town.wait_caught_up("shards")
    assert town.difference("shards") == {}
    # What the dead one had not passed on is looked for without being asked.
    ends = {"replica": "shards", "kind": "continuity", "cause": "failover rollback", "state": "superseded"}
    town.wait_event("drift", seconds=180, **ends)
    assert found(town, "shards")["outcome"] == "correct"


def test_rows_that_may_be_gone_are_counted_and_no_drift(town: Bank, servers: Servers) -> None:
    """The plan's `absent: allowed`, to both depths: evicted or expiring rows are none, other content is."""
    cluster = redis.RedisCluster.from_url(servers.cluster[1], decode_responses=True)
    names = [f"{town.name}:person:{key}" for key in range(1, 9)]
    for name in names[:5]:
        cluster.delete(name)
    cluster.expire(names[5], 3600)
    result = found(town, "shards")
    assert (result["outcome"], result["absent"], result["drift_found"]) == ("correct", 5, 0)
    assert result["replica_rows"] + 5 == result["verified"] + 5 == result["sot_rows"]
    (counted,) = town.validate("--depth", "counts", "--replica", "shards")
    assert (counted["outcome"], counted["absent"]) == ("correct", 5)
    cluster.set(names[6], "rubbish", ex=3600)
    result = found(town, "shards")
    assert (result["outcome"], result["absent"], result["drift_found"]) == ("drifted", 5, 1)
    assert [each["key"]["id"] for each in drift(town, "shards", 1)] == ["7"]
    town.done("repair", "plan", "--replica", "shards", "--file", "repair.json")
    town.done("repair", "apply", "repair.json", "--reason", "test")
    town.sot.execute("UPDATE person SET name = 'all of them' WHERE id < 9")
    town.wait_caught_up("shards")
    assert town.difference("shards") == {}
    cluster.close()
    cluster.disconnect_connection_pools()


def test_redis_that_is_full_is_waited_for(town: Bank, servers: Servers) -> None:
    """`maxmemory` with `noeviction`: nothing is lost, nothing is committed that was not stored."""
    servers.redis.config_set("maxmemory", 1)
    try:
        with retried(town, "cache", "is out of memory"):
            town.sot.execute("UPDATE person SET name = 'no room'")
            town.sot.execute("DELETE FROM person WHERE id BETWEEN 240 AND 249")
        assert any("out of memory" in problem for problem in problems(town, "cache"))
        assert any(town.committed("cache").get(tp, 0) < end for tp, end in town.ends(PERSON).items())
    finally:
        servers.redis.config_set("maxmemory", 0)
    town.wait_caught_up("cache")
    assert town.difference("cache") == {}
    assert found(town, "cache")["outcome"] == "correct"


def test_a_failover_that_takes_acknowledged_writes_back_is_noticed_and_mended(town: Bank, servers: Servers) -> None:
    """The server that takes over lacks the last changes, deletes among them, with their tokens; nobody has to ask."""
    known = servers.redis.connection_pool.connection_kwargs
    with private_redis() as url, redis.Redis.from_url(url, decode_responses=True) as behind:
        behind.replicaof(known["host"], known["port"])
        wait_until(lambda: behind.info("replication").get("master_link_status") == "up", "the replica to follow")
        assert command(servers.redis, "WAIT", 1, 5000) == 1
        behind.replicaof("NO", "ONE")
        town.sot.execute("UPDATE person SET name = 'acknowledged' WHERE id BETWEEN 10 AND 29")
        town.sot.execute("DELETE FROM person WHERE id BETWEEN 30 AND 34")
        town.sot.execute("INSERT INTO person VALUES (1001, 'acknowledged too')")
        town.wait_caught_up("cache")
        assert town.difference("cache") == {}
        port = behind.connection_pool.connection_kwargs["port"]
        servers.redis.replicaof("127.0.0.1", port)
        wait_until(
            lambda: servers.redis.info("replication").get("master_link_status") == "up", "the other to take over"
        )
        servers.redis.replicaof("NO", "ONE")
    assert len(town.difference("cache")[PERSON]) == 10  # of 26, so many are shown
    # Control has noticed another history of writes, and had a run made.
    kinds = [each["kind"] for each in drift(town, "cache", 27)]
    assert {kind: kinds.count(kind) for kind in kinds} == {"stale": 20, "orphan": 5, "missing": 1, "continuity": 1}
    mend(town, "cache")


def test_redis_that_was_flushed_is_filled_again(town: Bank, servers: Servers) -> None:
    """Every row is found missing, by whose doing can be told, and a repair brings it back."""
    rows = len(town.expected("cache", PERSON))
    servers.redis.flushall()
    result = found(town, "cache")
    assert (result["outcome"], result["drift_found"], result["replica_rows"]) == ("drifted", rows, 0)
    assert {(each["kind"], each["cause"]) for each in drift(town, "cache", rows)} == {
        ("missing", "rogue delete, eviction or expiry")
    }
    mend(town, "cache")


def test_rows_that_redis_evicts_are_found_and_come_back(town: Bank, servers: Servers) -> None:
    """`allkeys-lru` takes values and tokens alike: every row that is gone is found, and none that is not."""
    used = int(servers.redis.info("memory")["used_memory"])
    servers.redis.config_set("maxmemory-policy", "allkeys-lru")
    servers.redis.config_set("maxmemory", used - 20_000)
    try:
        wait_until(lambda: servers.redis.set("somebody", "x") and len(town.actual("cache", PERSON)) < 250, "evictions")
    finally:
        servers.redis.config_set("maxmemory", 0)
        servers.redis.config_set("maxmemory-policy", "noeviction")
    gone = {key[0] for key in town.expected("cache", PERSON).keys() - town.actual("cache", PERSON).keys()}
    assert gone
    result = found(town, "cache")
    assert (result["outcome"], result["drift_found"]) == ("drifted", len(gone))
    assert {(each["key"]["id"], each["kind"]) for each in drift(town, "cache", len(gone))} == {
        (key, "missing") for key in gone
    }
    mend(town, "cache")


def test_a_row_that_somebody_lets_expire_is_found_before_and_after(town: Bank, servers: Servers) -> None:
    """While it is still there it is not what was written; then it is gone. A repair makes it stay."""
    kept, gone = (f"{town.name}:person:{key}" for key in (1, 2))
    servers.redis.expire(kept, 3600)
    servers.redis.pexpire(gone, 1)
    wait_until(lambda: not servers.redis.exists(gone), "the row to expire")
    assert found(town, "cache")["drift_found"] == 2
    known = {each["key"]["id"]: each["kind"] for each in drift(town, "cache", 2)}
    assert known == {"1": "mismatch", "2": "missing"}
    mend(town, "cache")
    assert servers.redis.ttl(kept) == -1


def test_dynamodb_that_throttles_is_waited_for(town: Bank, servers: Servers) -> None:
    """Calls as a whole, and transactions that one item has cancelled; and a run whose reads come in halves."""
    for fault in (refused("ProvisionedThroughputExceededException"), cancelled("ThrottlingError")):
        servers.dynamodb.fail("TransactWriteItems", fault, times=2)
        with retried(town, "lookup", "is throttling this table"):
            town.sot.execute("UPDATE person SET name = name || ' throttled'")
        town.wait_caught_up("lookup")
        assert (servers.dynamodb.left, town.difference("lookup")) == (0, {})
    servers.dynamodb.fail("BatchGetItem", half_read, times=3)
    assert found(town, "lookup")["outcome"] == "correct"
    assert servers.dynamodb.left == 0


def test_a_dynamodb_table_that_is_deleted_is_made_again_by_a_start_and_filled_by_a_repair(town: Bank) -> None:
    """The worker waits and makes no empty table by itself; nothing of what the old one held is taken for there."""
    client = boto3.client("dynamodb", endpoint_url=town.env["HOLDTRUE_DYNAMODB"], region_name="local",
                          aws_access_key_id="local", aws_secret_access_key="local")  # fmt: skip
    with retried(town, "lookup", "does not have the table"):
        client.delete_table(TableName=f"{town.name}_person")
        assert any("does not have the table" in problem for problem in problems(town, "lookup"))
        town.sot.execute("UPDATE person SET name = 'no table' WHERE id <= 20")
    client.close()
    worker = next(worker for worker in town.workers if worker.log.name.startswith("lookup"))
    worker.stop(signal.SIGKILL)
    town.workers.remove(worker)
    town.worker("lookup")
    town.wait_caught_up("lookup")
    rows = len(town.expected("lookup", PERSON))
    result = found(town, "lookup")
    assert (result["outcome"], result["drift_found"], result["replica_rows"]) == ("drifted", rows - 20, 20)
    assert {each["kind"] for each in drift(town, "lookup", rows - 20)} == {"missing"}
    mend(town, "lookup")
