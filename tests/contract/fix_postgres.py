"""A real Postgres under the contract."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from itertools import count

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from streams.plan.mapping import Shape
from streams.replicas.base import ReplicaTable
from streams.replicas.postgres import PostgresTable
from streams.replicas.postgres_session import Sessions
from streams.rows.canonical import Row, decode
from tests.contract.harness import RETENTION
from tests.support.postgres_server import postgres_server as private_server

_numbers = count(1)
_EXTENT = "contract"


class PostgresHarness:
    """Each table lies in a schema of this suite, under a name of its own."""

    forgets = True

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.admin = psycopg.connect(dsn, autocommit=True)
        self.sessions: list[Sessions] = []
        self.made: list[PostgresTable] = []

    def make_table(self, shape: Shape) -> PostgresTable:
        return self.open(shape, f"{_EXTENT}.t{next(_numbers)}", self.sessions[0] if self.sessions else None)

    def again(self, table: ReplicaTable) -> PostgresTable:
        assert isinstance(table, PostgresTable)
        return self.open(table.shape, table.target)

    def open(self, shape: Shape, target: str, sessions: Sessions | None = None) -> PostgresTable:
        """A prepared table of this name; connections of its own unless some are given."""
        if sessions is None:
            self.sessions.append(Sessions(self.dsn))
            sessions = self.sessions[-1]
        table = PostgresTable(sessions, shape, target, token_schema=f"{_EXTENT}_tokens")
        self.made.append(table)
        table.prepare()
        return table

    def plant(self, table: ReplicaTable, key: bytes, row: Row | None) -> None:
        assert isinstance(table, PostgresTable)
        target = Identifier(*table.target.split("."))
        match = SQL(" AND ").join(SQL("{} = %s").format(Identifier(name)) for name in table.shape.target_key)
        self.admin.execute(SQL("DELETE FROM {} WHERE {}").format(target, match), decode(key))
        if row is not None:
            values = SQL(", ").join([SQL("%s")] * len(row))
            self.admin.execute(SQL("INSERT INTO {} VALUES ({})").format(target, values), row)

    def later(self, table: ReplicaTable, time: timedelta) -> None:
        """The worker asks for it from time to time."""
        assert isinstance(table, PostgresTable)
        versions = Identifier(table._sql.token_schema, table._sql.version_name)
        ages = SQL("UPDATE {} SET {dead} = {dead} - %s").format(versions, dead=Identifier(table._sql.dead_column))
        self.admin.execute(ages, [time])
        while table.forget_tombstones(RETENTION):
            pass

    def close(self) -> None:
        for table in self.made:
            table.close()
        for schema in (_EXTENT, f"{_EXTENT}_tokens"):
            self.admin.execute(SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(Identifier(schema)))
        self.admin.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The DSN of a Postgres for this test run: the one that is given, or a private one."""
    given = os.environ.get("HOLDTRUE_TEST_REPLICA_DSN")
    if given:
        yield given
        return
    with private_server() as dsn:
        yield dsn


@pytest.fixture
def postgres_harness(postgres_server: str) -> Iterator[PostgresHarness]:
    """Tables in Postgres."""
    harness = PostgresHarness(postgres_server)
    yield harness
    harness.close()
