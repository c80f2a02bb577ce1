"""A Postgres that is away, cuts connections or refuses the role: said clearly, without a secret, and survived."""

from __future__ import annotations

import socket

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier

from streams.errors import StoreUnavailable
from streams.replicas import postgres_session
from streams.replicas.base import Held, Outcome, Refused, Result
from streams.replicas.postgres import PostgresTable
from streams.replicas.postgres_session import Sessions
from tests.contract.fix_postgres import PostgresHarness
from tests.support.shapes import make_shape
from tests.support.wait import wait_until
from tests.support.writes import put, token

SHAPE = make_shape({"id": "int4", "note": "text"}, ["id"])
SECRET = "hunter2-do-not-show"


@pytest.fixture
def table(postgres_harness: PostgresHarness) -> PostgresTable:
    return postgres_harness.make_table(SHAPE)


def cut_sessions(harness: PostgresHarness) -> int:
    query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'holdtrue'"
    row = harness.admin.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def test_a_list_of_keys_takes_as_long_as_its_table_is_large(
    postgres_harness: PostgresHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What bounds a batch does not bound it; nor does one that is not taken to its end spoil the connection."""
    monkeypatch.setitem(postgres_session._SETTINGS, "statement_timeout", "1s")
    table, rows = postgres_harness.open(SHAPE, "public.many_keys"), 1_000_000
    fill = SQL("INSERT INTO {} SELECT n, '' FROM generate_series(1, %s) n").format(Identifier(*table.target.split(".")))
    postgres_harness.admin.execute(fill, [rows])
    late = "SELECT FROM pg_stat_activity WHERE application_name = 'holdtrue' AND now() - query_start > '1.5 s'"
    listed = table.keys(1_000)
    next(listed)
    wait_until(lambda: postgres_harness.admin.execute(late).fetchone() is not None, "the list to take longer")
    assert sum(map(len, listed), 1_000) == rows
    broken_off = table.keys(1_000)
    next(broken_off)
    broken_off.close()  # type: ignore[attr-defined]
    assert table.count() == rows


def test_a_port_where_nobody_listens(unused_port: int) -> None:
    """Host and port are named, the password is not."""
    dsn = f"postgresql://someone:{SECRET}@127.0.0.1:{unused_port}/orders"
    table = PostgresTable(Sessions(dsn), SHAPE, "public.t")
    with pytest.raises(StoreUnavailable) as raised:
        table.apply([put(SHAPE, ("1", "a"), token(1))])
    assert f"127.0.0.1:{unused_port}/orders" in str(raised.value)
    assert "Connection refused" in raised.value.what
    assert SECRET not in f"{raised.value} {raised.value!r} {raised.value.__cause__}"


def test_a_database_that_does_not_exist(postgres_harness: PostgresHarness) -> None:
    """The server's answer to a connection is passed on as far as it is known to be harmless."""
    table = PostgresTable(Sessions(make_conninfo(postgres_harness.dsn, dbname="nowhere")), SHAPE, "public.t")
    with pytest.raises(StoreUnavailable, match="does not exist"):
        table.prepare()


def test_a_dsn_that_cannot_be_read() -> None:
    """Trying again cannot help; what was written is not repeated."""
    table = PostgresTable(Sessions(f"postgresql://u:{SECRET}@h:1/d?nonsense={SECRET}"), SHAPE, "public.t")
    with pytest.raises(Refused) as raised:
        table.prepare()
    assert SECRET not in str(raised.value)


def test_a_cut_connection_fails_one_batch_and_the_next_one_works(
    postgres_harness: PostgresHarness, table: PostgresTable
) -> None:
    """An administrator's shutdown of the session, then a new session."""
    table.apply([put(SHAPE, ("1", "a"), token(1))])
    assert cut_sessions(postgres_harness) > 0
    with pytest.raises(StoreUnavailable):
        table.apply([put(SHAPE, ("1", "b"), token(2))])
    assert table.apply([put(SHAPE, ("1", "b"), token(2))]) == [Result(Outcome.applied)]
    assert table.read([b"1"]) == {b"1": Held(token(2), ("1", "b"))}


def test_a_scan_goes_on_over_a_cut_between_its_chunks(postgres_harness: PostgresHarness, table: PostgresTable) -> None:
    """The cut shows as an error of the scan, not as a shorter table."""
    table.apply([put(SHAPE, (str(n), "a"), token(n)) for n in range(1, 11)])
    chunks = table.scan(4)
    assert len(next(chunks)) == 4
    cut_sessions(postgres_harness)
    with pytest.raises(StoreUnavailable):
        list(chunks)


def test_a_read_only_server_is_unavailable(postgres_harness: PostgresHarness, table: PostgresTable) -> None:
    """A failover that left a standby behind this address can pass."""
    with table._sessions.session() as session:
        session.connection.execute("SET default_transaction_read_only = on")
    with pytest.raises(StoreUnavailable, match="ReadOnlySqlTransaction") as raised:
        table.apply([put(SHAPE, ("1", "a"), token(1))])
    assert "primary" in raised.value.hint
    assert table.apply([put(SHAPE, ("1", "a"), token(1))]) == [Result(Outcome.applied)]


def test_a_table_that_went_away_is_refused_by_name(postgres_harness: PostgresHarness, table: PostgresTable) -> None:
    """Not a row's fault and not a passing one."""
    postgres_harness.admin.execute(SQL("DROP TABLE {}").format(Identifier(*table.target.split("."))))
    with pytest.raises(Refused, match=r"UndefinedTable \(42P01\)") as raised:
        table.apply([put(SHAPE, ("1", "a"), token(1))])
    assert table.target in raised.value.what


def test_a_role_without_privileges_is_refused(postgres_harness: PostgresHarness, table: PostgresTable) -> None:
    """The missing privilege is named."""
    admin = postgres_harness.admin
    admin.execute("DROP ROLE IF EXISTS contract_guest")
    admin.execute("CREATE ROLE contract_guest LOGIN PASSWORD 'contract_guest'")
    try:
        dsn = make_conninfo(postgres_harness.dsn, user="contract_guest", password="contract_guest")
        guest = PostgresTable(Sessions(dsn), SHAPE, table.target, "contract_tokens")
        with pytest.raises(Refused, match="permission denied"):
            guest.apply([put(SHAPE, ("1", "a"), token(1))])
        guest.close()
    finally:
        admin.execute("DROP ROLE contract_guest")


def test_writes_are_durable_when_the_database_prefers_speed(postgres_harness: PostgresHarness) -> None:
    """`synchronous_commit = off` as a default of the database does not reach the store's sessions."""
    dsn = make_conninfo(postgres_harness.dsn, options="-c synchronous_commit=off")
    sessions = Sessions(dsn)
    with sessions.session() as session:
        row = session.connection.execute("SHOW synchronous_commit").fetchone()
        assert row == ("on",)
        assert conninfo_to_dict(dsn)["options"]
    sessions.leave()


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
