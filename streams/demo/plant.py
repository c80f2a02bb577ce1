"""Drift, planted straight into each store behind holdtrue's back: a changed, a removed and an added row per table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg
import redis

from streams.demo.bank import KEYS
from streams.local.endpoints import Endpoints
from streams.replicas.dynamodb_client import connect

# Far above every key of the bank.
ADDED = 900_000_000


class Planted(NamedTuple):
    """One key made wrong: where, and the kind of drift it must be found as."""

    replica: str
    table: str
    key: str
    kind: str


def plant(endpoints: Endpoints) -> list[Planted]:
    """Change, remove and add rows in all three stores."""
    return [*_postgres(endpoints.replica_dsn), *_redis(endpoints.redis_url), *_dynamodb(endpoints.dynamodb_url)]


def _wrong(replica: str, table: str, changed: int | None, removed: int) -> Iterator[Planted]:
    name = f"public.{table}"
    if changed is not None:
        yield Planted(replica, name, str(changed), "mismatch")
    yield Planted(replica, name, str(removed), "missing")
    yield Planted(replica, name, str(ADDED), "orphan")


# Untouched keys of each table: (changed, removed). The branches have one untouched key at scale 2.
_ROWS: dict[str, tuple[int | None, int]] = {
    "pgbench_accounts": (11, 12),
    "pgbench_tellers": (1, 2),
    "pgbench_branches": (None, 1),
}
_BALANCES = {"pgbench_accounts": "abalance", "pgbench_tellers": "tbalance", "pgbench_branches": "bbalance"}


def _postgres(dsn: str) -> Iterator[Planted]:
    with psycopg.connect(dsn) as connection:
        for table, (changed, removed) in _ROWS.items():
            key, balance = KEYS[table], _BALANCES[table]
            connection.execute(f"UPDATE {table} SET {balance} = 4242 WHERE {key} = %s".encode(), (changed,))
            connection.execute(f"DELETE FROM {table} WHERE {key} = %s".encode(), (removed,))
            connection.execute(f"INSERT INTO {table} ({key}) VALUES (%s)".encode(), (ADDED,))
            yield from _wrong("reports", table, changed, removed)


def _redis(url: str) -> Iterator[Planted]:
    client = redis.Redis.from_url(url)
    for table, (changed, removed) in _ROWS.items():
        prefix = table.removeprefix("pgbench_").rstrip("s").replace("branche", "branch")
        if changed is not None:
            row = json.loads(_text(client.get(f"{prefix}:{changed}")))
            client.set(f"{prefix}:{changed}", json.dumps({**row, _BALANCES[table]: 4242}, separators=(",", ":")))
        client.delete(f"{prefix}:{removed}")
        client.set(f"{prefix}:{ADDED}", json.dumps({KEYS[table]: ADDED}))
        yield from _wrong("cache", table, changed, removed)
    client.close()


def _dynamodb(url: str) -> Iterator[Planted]:
    connection = connect("local", url)
    connection.hold()
    client = connection.client
    changed, removed = 11, 12
    client.update_item(
        TableName="accounts", Key={"aid": {"N": str(changed)}}, UpdateExpression="SET abalance = :wrong",
        ExpressionAttributeValues={":wrong": {"N": "4242"}},
    )  # fmt: skip
    client.delete_item(TableName="accounts", Key={"aid": {"N": str(removed)}})
    # Inside the mapping's filter no such key exists; a key no account has, then.
    client.put_item(TableName="accounts", Item={"aid": {"N": str(ADDED)}, "abalance": {"N": "1"}})
    yield from _wrong("lookup", "pgbench_accounts", changed, removed)
    connection.release()


def _text(value: Any) -> str:
    if value is None:
        raise LookupError("a key of the bank is not in Redis")
    return bytes(value).decode()
