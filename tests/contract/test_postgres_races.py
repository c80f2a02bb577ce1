"""Two writers of one key on Postgres, in every order of lock and wait: the larger token decides both tables."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from streams.errors import StoreUnavailable
from streams.replicas.base import Held, Outcome, Result, Write
from streams.replicas.postgres import PostgresTable
from streams.versions.entry import Token
from tests.contract.fix_postgres import PostgresHarness
from tests.support.shapes import make_shape
from tests.support.writes import bury, put, token

SHAPE = make_shape({"id": "int4", "note": "text"}, ["id"])
WAIT_SECONDS_MAX = 30


@pytest.fixture
def table(postgres_harness: PostgresHarness) -> PostgresTable:
    return postgres_harness.make_table(SHAPE)


class Holder:
    """A writer stopped in the middle: it has its version row and not yet its content."""

    def __init__(self, connection: psycopg.Connection, table: PostgresTable, mark: Token, note: str | None) -> None:
        self.connection, self.table, self.note = connection, table, note
        take = "INSERT INTO {} (id, token) VALUES (1, %s) ON CONFLICT (id) DO UPDATE SET token = excluded.token"
        connection.execute(SQL(take).format(Identifier("contract_tokens", table.target)), [mark.encode()])

    def finish(self) -> None:
        """Write the content and commit."""
        target = Identifier(*self.table.target.split("."))
        self.connection.execute(SQL("DELETE FROM {} WHERE id = 1").format(target))
        if self.note is not None:
            self.connection.execute(SQL("INSERT INTO {} VALUES (1, %s)").format(target), [self.note])
        self.connection.commit()


@contextmanager
def holding(harness: PostgresHarness, table: PostgresTable, mark: Token, note: str | None) -> Iterator[Holder]:
    with psycopg.connect(harness.dsn) as connection:
        yield Holder(connection, table, mark, note)


def wait_until_blocked(admin: psycopg.Connection, doing: Future[list[Result]]) -> None:
    """Until another session of the store waits for a lock."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'holdtrue'"
    while time.monotonic() < deadline and not doing.done():
        row = admin.execute(query).fetchone()
        if row is not None and row[0]:
            return
        time.sleep(0.01)
    raise AssertionError("the second writer did not wait for the first")


@pytest.mark.parametrize("before", [None, "old"], ids=["no row before", "a row before"])
@pytest.mark.parametrize("first", [None, "first"], ids=["delete holds", "upsert holds"])
@pytest.mark.parametrize("second", [None, "second"], ids=["delete waits", "upsert waits"])
@pytest.mark.parametrize("newer", ["holder", "waiter"])
def test_a_writer_that_waited_decides_on_what_it_then_sees(
    postgres_harness: PostgresHarness,
    table: PostgresTable,
    before: str | None,
    first: str | None,
    second: str | None,
    newer: str,
) -> None:
    """A delete that began before an older upsert committed still removes its row; an older waiter writes nothing."""
    if before is not None:
        table.apply([put(SHAPE, ("1", before), token(1))])
    marks = (token(20), token(10)) if newer == "holder" else (token(10), token(20))
    write: Write = bury(b"1", marks[1]) if second is None else put(SHAPE, ("1", second), marks[1])
    with ThreadPoolExecutor(1) as pool, holding(postgres_harness, table, marks[0], first) as holder:
        doing = pool.submit(table.apply, [write])
        wait_until_blocked(postgres_harness.admin, doing)
        holder.finish()
        result = doing.result(timeout=WAIT_SECONDS_MAX)
    note = first if newer == "holder" else second
    assert result == [Result(Outcome.stale, token(20)) if newer == "holder" else Result(Outcome.applied)]
    assert table.read([b"1"]) == {b"1": Held(token(20), None if note is None else ("1", note))}


def test_a_version_row_that_stays_locked_makes_the_store_unavailable(
    postgres_harness: PostgresHarness, table: PostgresTable
) -> None:
    """Waiting for another session is bounded; the batch can be sent again."""
    with table._sessions.session() as session:
        session.connection.execute("SET lock_timeout = '50ms'")
    with holding(postgres_harness, table, token(5), "x") as holder:
        with pytest.raises(StoreUnavailable, match="LockNotAvailable") as raised:
            table.apply([put(SHAPE, ("1", "y"), token(6))])
        assert "locks" in raised.value.hint
        holder.finish()
    assert table.apply([put(SHAPE, ("1", "y"), token(6))]) == [Result(Outcome.applied)]
