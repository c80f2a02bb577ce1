"""A real Redis under the contract."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
import redis

from streams.replicas.base import ReplicaTable
from streams.replicas.redis import RedisTable, connect
from streams.rows.canonical import Row
from tests.support.redis_server import redis_url

_numbers = count(1)
RETENTION = timedelta(hours=1)


class RedisHarness:
    """Each table lies under a name of its own, so that a server given from outside keeps its other keys."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = connect(url)
        self.made: list[ReplicaTable] = []

    def make_table(self, shape: Any) -> ReplicaTable:
        named = replace(shape, table=f"contract{next(_numbers)}")
        return self._open(named, self.client)

    def again(self, table: ReplicaTable) -> ReplicaTable:
        return self._open(table.shape, connect(self.url))

    def plant(self, table: ReplicaTable, key: bytes, row: Row | None) -> None:
        assert isinstance(table, RedisTable)
        name, _ = table.names.pair(key)
        if row is None:
            self.client.delete(name)
        else:
            self.client.set(name, table.json.encode(row))

    def close(self) -> None:
        for table in self.made:
            _forget(self.client, table.shape.table)
            table.close()
        self.client.close()

    def _open(self, shape: Any, client: redis.Redis) -> ReplicaTable:
        table = RedisTable(shape, client, tombstone_retention=RETENTION)
        table.prepare()
        self.made.append(table)
        return table


def _forget(client: redis.Redis, table: str) -> None:
    for pattern in (f"{table}:*", f"holdtrue:{table}:*"):
        for name in client.scan_iter(match=pattern, count=1000):
            client.unlink(name)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The URL of a Redis for this test run."""
    with redis_url() as url:
        yield url


@pytest.fixture
def redis_harness(redis_server: str) -> Iterator[RedisHarness]:
    """Tables in Redis."""
    harness = RedisHarness(redis_server)
    yield harness
    harness.close()
