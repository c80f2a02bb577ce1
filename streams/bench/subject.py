"""The table that is copied: ten columns of everyday types, loaded once and then updated in every row."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final, LiteralString

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from streams.rows.canonical import SESSION

SCHEMA: Final = "bench"
NAME: Final = "orders"
TABLE: Final = f"{SCHEMA}.{NAME}"
KEY: Final = "id"
UPDATE_TRANSACTIONS: Final = 10

_COLUMNS: Final[LiteralString] = """
    id int8 PRIMARY KEY,
    revision int4 NOT NULL,
    customer int4 NOT NULL,
    product text NOT NULL,
    status varchar(16) NOT NULL,
    express bool NOT NULL,
    ordered_at timestamp NOT NULL,
    changed_at timestamptz NOT NULL,
    total numeric(12, 2) NOT NULL,
    note text
"""
_ROW: Final[LiteralString] = """
    n, {revision}, n::int8 * 7919 %% 90000, 'article ' || md5(n::text),
    (ARRAY['new', 'paid', 'packed', 'shipped'])[1 + n %% 4], n %% 5 = 0,
    timestamp '2024-01-01' + n * interval '1.000037 second',
    timestamptz '2024-01-01 00:00Z' + n * interval '1.5 second',
    (n %% 100000)::numeric / 100, CASE WHEN n %% 3 = 0 THEN 'leave at door ' || n END
"""
_LOAD: Final[LiteralString] = f"INSERT INTO {{}} SELECT {_ROW.format(revision=0)} FROM generate_series(1, %s) n"
_INSERT: Final[LiteralString] = f"INSERT INTO {{}} SELECT {_ROW.format(revision='%s')} FROM unnest(%s::int8[]) n"
_UPDATE: Final = """
UPDATE {} SET revision = revision + 1, status = 'delivered', changed_at = changed_at + interval '1 day 0.25 second',
    total = total + 1.25, note = CASE WHEN id %% 3 = 1 THEN 'signed by ' || customer END
WHERE id > %s AND id <= %s
"""
_CHANGE: Final = """
UPDATE {} SET revision = %s, status = (ARRAY['paid', 'packed', 'shipped'])[1 + customer %% 3], total = total + 1.25,
    changed_at = changed_at + interval '1 day 0.25 second', note = CASE WHEN revision %% 2 = 0 THEN 'change ' || id END
WHERE id = ANY(%s)
"""
_DIGESTS: Final = "SELECT id, hashtextextended(t::text, 0) FROM {} t WHERE id = ANY(%s)"
_ALL_DIGESTS: Final = "SELECT id, hashtextextended(t::text, 0) FROM {} t ORDER BY id"
# Every row as text, in one fixed session, hashed and summed: equal content, whatever the order of rows.
_CONTENT: Final = "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM {} t"

Content = tuple[Any, ...]


def connect(dsn: str) -> psycopg.Connection[Any]:
    """A connection with the canonical session, so that text is the same on both servers."""
    options = " ".join(f"-c {name}={value.replace(' ', '')}" for name, value in SESSION.items())
    return psycopg.connect(dsn, autocommit=True, connect_timeout=10, options=options, application_name="holdtrue bench")


def create(connection: psycopg.Connection[Any], table: str) -> None:
    """An empty table, with the fill factor that holdtrue gives a target which it creates: both contenders get it."""
    schema = Identifier(table.split(".", 1)[0])
    drop(connection, table)
    connection.execute(SQL("CREATE SCHEMA {}").format(schema))
    connection.execute(_named(f"CREATE TABLE {{}} ({_COLUMNS}) WITH (fillfactor = 85)", table))


def drop(connection: psycopg.Connection[Any], table: str) -> None:
    """Remove the table with all of its schema."""
    schema = Identifier(table.split(".", 1)[0])
    connection.execute(SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(schema))


def load(connection: psycopg.Connection[Any], rows: int) -> None:
    """Rows 1 to `rows`, revision 0."""
    connection.execute(_named(_LOAD, TABLE), (rows,))
    connection.execute(_named("ANALYZE {}", TABLE))


def update_all(connection: psycopg.Connection[Any], rows: int) -> None:
    """Bring every row to the next revision, in several transactions."""
    marks = [rows * number // UPDATE_TRANSACTIONS for number in range(UPDATE_TRANSACTIONS + 1)]
    for lower, upper in pairwise(marks):
        connection.execute(_named(_UPDATE, TABLE), (lower, upper))


def insert(connection: psycopg.Connection[Any], table: str, keys: list[int], revision: int) -> None:
    """Rows with these keys, as `load` makes them."""
    connection.execute(_named(_INSERT, table), (revision, keys))


def change(connection: psycopg.Connection[Any], keys: list[int], revision: int) -> None:
    """Bring these rows of the SOT to this revision."""
    connection.execute(_named(_CHANGE, TABLE), (revision, keys))


def delete(connection: psycopg.Connection[Any], keys: list[int]) -> None:
    """Remove these rows of the SOT."""
    connection.execute(_named("DELETE FROM {} WHERE id = ANY(%s)", TABLE), (keys,))


def digests(connection: psycopg.Connection[Any], table: str, keys: list[int]) -> dict[int, int]:
    """Key → hash of its row's text, of those of these keys that are there."""
    return dict(connection.execute(_named(_DIGESTS, table), (keys,)).fetchall())


def all_digests(connection: psycopg.Connection[Any], table: str) -> Iterator[tuple[int, int]]:
    """Key and hash of its row's text, of every row, in the order of keys, as a stream."""
    with connection.transaction(), connection.cursor("digests") as rows:
        rows.itersize = 10_000
        yield from rows.execute(_named(_ALL_DIGESTS, table))


def content(connection: psycopg.Connection[Any], table: str) -> Content:
    """Number of rows and a sum of hashes of their texts; equal for equal tables."""
    found = connection.execute(_named(_CONTENT, table)).fetchone()
    assert found is not None
    return tuple(found)


def arrived(connection: psycopg.Connection[Any], table: str, keys: list[int], revision: int) -> bool:
    """Whether the rows with these keys are there, at `revision` or later."""
    statement = _named("SELECT count(*) FROM {} WHERE id = ANY(%s) AND revision >= %s", table)
    found = connection.execute(statement, (keys, revision)).fetchone()
    return found is not None and found[0] == len(keys)


def _named(statement: LiteralString, table: str) -> Composed:
    return SQL(statement).format(Identifier(*table.split(".", 1)))
