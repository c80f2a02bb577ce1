"""A real Redis under the contract, and a real Redis Cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
import redis

from streams.replicas.base import ReplicaTable
from streams.replicas.redis import RedisTable
from streams.replicas.redis_client import Client, connect
from streams.rows.canonical import Row
from tests.contract.harness import RETENTION
from tests.support.redis_cluster import private_cluster
from tests.support.redis_server import redis_url

_numbers = count(1)


class RedisHarness:
    """Each table lies under a name of its own, so that a server given from outside keeps its other keys."""

    forgets = True

    def __init__(self, url: str, raw: redis.Redis | redis.RedisCluster) -> None:
        self.url = url
        self.raw = raw
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
            self.raw.delete(name)
        else:
            self.raw.set(name, table.json.encode(row))

    def later(self, table: ReplicaTable, time: timedelta) -> None:
        """Redis expires what has a time to live."""
        for name in _names(self.raw, table.shape.table):
            left = self.raw.pttl(name)
            if left >= 0:
                self.raw.pexpire(name, timedelta(milliseconds=left) - time)  # of less than nothing: gone at once

    def close(self) -> None:
        for table in self.made:
            for name in _names(self.raw, table.shape.table):
                self.raw.unlink(name)
            table.close()
        self.client.close()
        self.raw.close()

    def _open(self, shape: Any, client: Client) -> ReplicaTable:
        table = RedisTable(shape, client, tombstone_retention=RETENTION)
        table.prepare()
        self.made.append(table)
        return table


def _names(client: redis.Redis | redis.RedisCluster, table: str) -> Iterator[Any]:
    for pattern in (f"{table}:*", f"holdtrue:{table}:*"):
        yield from client.scan_iter(match=pattern, count=1000)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The URL of a Redis for this test run."""
    with redis_url() as url:
        yield url


@pytest.fixture
def redis_harness(redis_server: str) -> Iterator[RedisHarness]:
    """Tables in Redis."""
    harness = RedisHarness(redis_server, redis.Redis.from_url(redis_server))
    yield harness
    harness.close()


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[str]:
    """The URL of one of three primaries for this test run."""
    with private_cluster() as urls:
        yield urls[0]


@pytest.fixture
def redis_cluster_harness(redis_cluster: str) -> Iterator[RedisHarness]:
    """Tables in Redis Cluster."""
    raw = redis.RedisCluster.from_url(redis_cluster)
    harness = RedisHarness(redis_cluster, raw)
    yield harness
    harness.close()
    raw.disconnect_connection_pools()
