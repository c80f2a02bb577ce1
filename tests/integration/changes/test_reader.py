"""Reads of the SOT by key, where a key's text is none of its type."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from streams.changes.visibility import Snapshot
from streams.plan.mapping import Column, Shape
from streams.plan.tables import Layout
from streams.rows.canonical import encode
from streams.sot import connection
from streams.sot.connection import SotChanged
from streams.sot.reader import SotReader
from tests.integration.kafka.conftest import stack
from tests.support.wait import wait_until

__all__ = ["stack"]
pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("stack")]
KEYS = [encode(("good", "1")), encode(("renamed", "1")), encode(("bad", "2")), encode(("", "3"))]


@pytest.fixture
def table() -> Iterator[str]:
    """A table with an enum in its key, and two rows."""
    name = f"moods{uuid.uuid4().hex[:8]}"
    with psycopg.connect(os.environ["HOLDTRUE_SOT_DSN"], autocommit=True) as sot:
        sot.execute(f"CREATE TYPE {name}_mood AS ENUM ('good', 'bad')".encode())
        sot.execute(f"CREATE TABLE {name} (mood {name}_mood, n int4, v text, PRIMARY KEY (mood, n))".encode())
        sot.execute(f"INSERT INTO {name} VALUES ('good', 1, 'a'), ('bad', 2, 'b')".encode())
        try:
            yield name
        finally:
            sot.execute(f"DROP TABLE {name}; DROP TYPE {name}_mood".encode())


@contextmanager
def reader(table: str, **layout: Any) -> Iterator[SotReader]:
    columns = [Column("mood", f"{table}_mood", False), Column("n", "int4", False), Column("v", "text")]
    shape = Shape.build(f"public.{table}", ["mood", "n"], columns, Layout.model_validate(layout))
    made = SotReader(os.environ["HOLDTRUE_SOT_DSN"], shape, application=table)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ALTER COLUMN v TYPE varchar(9)", "Column v"),
        ("ALTER COLUMN v TYPE jsonb USING to_jsonb(v)", "Column v"),
        ("DROP COLUMN v", "no column v"),
        ("RENAME COLUMN v TO w", "no column v"),
    ],
)
def test_nothing_is_read_of_a_column_that_is_not_what_it_was(table: str, change: str, words: str) -> None:
    """Its texts are another type's: a store would round them. Changed back, or beside the mapping, it is read again."""
    with reader(table) as source, psycopg.connect(os.environ["HOLDTRUE_SOT_DSN"], autocommit=True) as sot:
        assert source.read(KEYS[:1]).rows
        sot.execute(f"ALTER TABLE {table} ADD COLUMN other int, ALTER COLUMN v SET NOT NULL".encode())
        assert source.read(KEYS[:1]).rows
        sot.execute(f"ALTER TABLE {table} {change}".encode())
        for look in (lambda: source.read(KEYS[:1]), source.snapshot):
            with pytest.raises(SotChanged, match=words):
                look()


def test_a_reader_begins_with_the_types_of_its_shape(table: str) -> None:
    """One that was made before a type was changed does not begin with the type after that."""
    with reader(table) as source, psycopg.connect(os.environ["HOLDTRUE_SOT_DSN"], autocommit=True) as sot:
        sot.execute(f"ALTER TABLE {table} ALTER COLUMN v TYPE jsonb USING to_jsonb(v)".encode())
        with pytest.raises(SotChanged, match="another type"):
            source.read(KEYS[:1])
        sot.execute(f"ALTER TABLE {table} ALTER COLUMN v TYPE text USING v #>> '{{}}'".encode())
        assert source.read(KEYS[:1]).rows


def test_a_table_that_is_renamed_is_not_told_as_a_column_that_is_gone(table: str) -> None:
    """The way out is another one: nothing has to begin anew."""
    with psycopg.connect(os.environ["HOLDTRUE_SOT_DSN"], autocommit=True) as sot, reader(table) as source:
        source.snapshot()
        sot.execute(f"ALTER TABLE {table} RENAME TO elsewhere".encode())
        with pytest.raises(SotChanged, match="There is no table") as raised:
            source.snapshot()
        assert "restart the worker" in raised.value.hint
        sot.execute(f"ALTER TABLE elsewhere RENAME TO {table.rpartition('.')[2]}".encode())
        source.snapshot()


def test_a_key_that_its_type_does_not_know_names_no_row(table: str) -> None:
    """A label that was renamed, a key somebody made up in a store: the others are found all the same."""
    with reader(table) as source:
        assert source.read(KEYS).rows == {KEYS[0]: ("good", "1", "a"), KEYS[2]: ("bad", "2", "b")}
        assert source.read([KEYS[1]]).rows == {}


def test_a_value_that_is_no_key_still_says_that_the_source_changed(table: str) -> None:
    """A filter whose value the column does not take any more must never read as `no row`."""
    with reader(table) as source:
        source._where = lambda: "v::int4 > 0"  # type: ignore[method-assign]
        with pytest.raises(SotChanged, match="InvalidTextRepresentation"), source.scanning() as rows:
            list(rows)


def test_what_is_read_is_what_the_replica_stores(table: str) -> None:
    """By key and in a scan, less what the mapping takes; the filter has looked at the whole value, here and there."""
    with psycopg.connect(os.environ["HOLDTRUE_SOT_DSN"], autocommit=True) as sot:
        sot.execute(f"UPDATE {table} SET v = 'abc' WHERE n = 1".encode())
    where = [{"column": "v", "op": "=", "value": "abc"}]
    with reader(table, columns={"cut": {"v": 2}}, where=where) as source, source.scanning() as rows:
        assert list(rows) == [(KEYS[0], b"good\t1\tab")]
    with reader(table, columns={"cut": {"v": 2}}, where=where) as source:
        assert source.read(KEYS).rows == {KEYS[0]: ("good", "1", "ab")}
        assert source.count() == 1


def test_a_table_is_read_in_stretches_that_leave_no_gap(table: str) -> None:
    """Each row in one of them, in the order of the keys' bytes, whatever is in a key's text."""
    with psycopg.connect(os.environ["HOLDTRUE_SOT_DSN"], autocommit=True) as sot:
        sot.execute(f"INSERT INTO {table} SELECT 'good', n, 'x' FROM generate_series(10, 3000) n".encode())
    with reader(table) as source:
        assert source.bounds(5_000, 16) == []
        bounds = source.bounds(500, 16)
        assert bounds == sorted({*bounds})
        assert 3 <= len(bounds) <= 7
        assert len(source.bounds(1, 4)) <= 5
        found = []
        for after, upto in pairwise([b"", *bounds, None]):
            assert after is not None
            with source.scanning(after, upto) as rows:
                keys = [row.key for row in rows]
            assert all(after < key and (upto is None or key <= upto) for key in keys)
            found += keys
        with source.scanning() as rows:
            assert found == [row.key for row in rows]
        assert len(found) == 2_993


@pytest.mark.timeout(60)
def test_a_scan_that_is_given_up_in_the_middle_ends(table: str) -> None:
    """By an error of whoever reads it, which is told, and not by a session that waits for the rows' end."""
    with psycopg.connect(os.environ["HOLDTRUE_SOT_DSN"], autocommit=True) as sot:
        sot.execute(
            f"INSERT INTO {table} SELECT 'good', n, repeat('x', 200) FROM generate_series(10, 100000) n".encode()
        )
    with reader(table) as source:
        with pytest.raises(ZeroDivisionError), source.scanning() as rows:  # noqa: PT012 - in the middle of it
            next(rows)
            raise ZeroDivisionError
        assert source.count() > 100_000 - 10


def test_a_scan_takes_as_long_as_its_table_is_large(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What bounds a question of some keys does not bound it."""
    monkeypatch.setattr(connection, "STATEMENT_SECONDS", 1)
    dsn, rows = os.environ["HOLDTRUE_SOT_DSN"], 200_000
    with psycopg.connect(dsn, autocommit=True) as sot, reader(table) as source:
        fill = f"INSERT INTO {table} SELECT 'good', n, repeat('x', 200) FROM generate_series(10, {rows + 9}) n"
        sot.execute(fill.encode())
        late = "SELECT FROM pg_stat_activity WHERE application_name = %s AND now() - query_start > '1.5 s'"
        with source.scanning() as scanned:
            next(scanned)
            wait_until(lambda: sot.execute(late, [table]).fetchone() is not None, "the scan to take longer")
            assert 1 + sum(1 for _ in scanned) == rows + 2
        assert source.count() == rows + 2


def test_keys_are_listed_in_portions_by_the_tables_own_index(table: str) -> None:
    """Each key once, also one that comes behind the last one given; a row that the filter leaves out is not there."""
    with psycopg.connect(os.environ["HOLDTRUE_SOT_DSN"], autocommit=True) as sot, reader(table) as source:
        sot.execute(f"INSERT INTO {table} SELECT 'good', n, 'x' FROM generate_series(2, 9) n".encode())
        first = source.keys_after(None, 8)
        assert first == [encode(("good", str(n))) for n in range(1, 9)]
        sot.execute(f"INSERT INTO {table} VALUES ('bad', 1, 'c')".encode())
        rest = source.keys_after(first[-1], 8)
        assert rest == [encode(key) for key in (("good", "9"), ("bad", "1"), ("bad", "2"))]
        assert source.keys_after(rest[-1], 8) == []
        source._where = lambda: "v = 'x' OR v = 'c'"  # type: ignore[method-assign]
        assert source.keys_after(encode(("good", "8")), 8) == rest[:2]


def test_no_truncate_commits_between_a_snapshot_and_the_reading(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would show an old snapshot an empty table: rows were drift that the replica rightly held.

    A scan waits for a fence in between, which the TRUNCATE's record then lay behind.
    """

    def truncate() -> None:
        with psycopg.connect(os.environ["HOLDTRUE_SOT_DSN"], autocommit=True) as sot:
            sot.execute("SET lock_timeout = '50ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                sot.execute(f"TRUNCATE {table}".encode())

    def taken(source: SotReader, cursor: Any) -> Snapshot:
        snapshot = take(source, cursor)
        truncate()
        return snapshot

    take = SotReader._snapshot
    with reader(table) as source:
        with source.scanning() as rows:
            truncate()
            assert len(list(rows)) == 2
        monkeypatch.setattr(SotReader, "_snapshot", taken)
        assert len(source.read(KEYS).rows) == 2
