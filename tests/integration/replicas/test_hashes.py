"""Two Postgres tables compared by hashes made in SQL: exactly the keys whose canonical texts differ are named."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import psycopg
import pytest

from streams.checks import buckets
from streams.plan.mapping import Column, Shape
from streams.plan.tables import Layout
from streams.replicas.postgres import PostgresTable
from streams.replicas.postgres_session import Sessions
from streams.rows import hashes as sql
from streams.rows.canonical import encode
from streams.sot.reader import SotReader
from streams.validation.hashes import Hashes
from tests.support.postgres_server import postgres_server

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def server() -> Iterator[psycopg.Connection[Any]]:
    """A server with one database, where both tables are."""
    with postgres_server() as dsn, psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


class Pair(NamedTuple):
    """A table `sot.NAME`, its copy `copy.NAME`, and how to compare them."""

    run: Callable[[str], Any]
    compared: Callable[[], tuple[list[bytes], int, int]]


MakePair = Callable[..., Pair]


@pytest.fixture
def make_pair(server: psycopg.Connection[Any]) -> Iterator[MakePair]:
    """Makes two tables; `{sot}` and `{copy}` in statements are their names."""
    made: list[Any] = []

    def make(
        given: Sequence[tuple[str, str]], key: Sequence[str], *, copy: Sequence[tuple[str, str]] = (), **layout: Any
    ) -> Pair:
        name = f"t{uuid.uuid4().hex[:8]}"
        names = {"sot": f"public.{name}", "copy": f'copy."{name}"'}

        def run(statement: str) -> Any:
            return server.execute(statement.format(**names).encode())

        run("CREATE SCHEMA IF NOT EXISTS copy")
        defined = ", ".join(f'"{column}" {kind}' for column, kind in given)
        run(f"CREATE TABLE {{sot}} ({defined}, PRIMARY KEY ({', '.join(key)}))")
        defined = ", ".join(f'"{column}" {kind}' for column, kind in copy or given)
        run(f"CREATE TABLE {{copy}} ({defined})")
        types = server.execute(
            "SELECT attname, typname FROM pg_attribute JOIN pg_type t ON t.oid = atttypid "
            "WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum", (names["sot"],),
        ).fetchall()  # fmt: skip
        shape = Shape.build(names["sot"], key, [Column(*found) for found in types], Layout.model_validate(layout))
        dsn = server.info.dsn
        source = SotReader(dsn, shape, application="tests")
        replica = PostgresTable(Sessions(dsn), shape, f"copy.{name}")
        made.extend((source, replica))

        def compared() -> tuple[list[bytes], int, int]:
            with source.hashing() as left, replica.hashing() as right:
                both = Hashes(left.asked, right)
                counted = both.counted(lambda: None)
                keys = [key for portion in both.differing(counted) for key in portion.keys]
            return sorted(keys), counted.sot_rows, counted.replica_rows

        return Pair(run, compared)

    yield make
    for each in made:
        each.close()


def test_every_kind_of_difference_is_named_and_nothing_else(make_pair: MakePair) -> None:
    """Missing, orphan, other content; a copy in another order of columns and rows is equal."""
    pair = make_pair(
        [("id", "int8"), ("note", "text"), ("n", "numeric(20,4)")], ["id"],
        copy=[("n", "numeric"), ("id", "int8"), ("note", "text")],
    )  # fmt: skip
    pair.run("INSERT INTO {sot} SELECT g, 'note ' || g, g / 8.0 FROM generate_series(-500, 2000) g")
    pair.run("INSERT INTO {copy} (id, note, n) SELECT id, note, n::text::numeric FROM {sot} ORDER BY id DESC")
    assert pair.compared() == ([], 2501, 2501)
    pair.run("DELETE FROM {copy} WHERE id IN (-500, 7)")
    pair.run("INSERT INTO {copy} (id) VALUES (9000000000000000000), (-9000000000000000000)")
    pair.run("UPDATE {copy} SET note = 'other' WHERE id = 1000")
    assert pair.compared() == (
        sorted([b"-500", b"7", b"9000000000000000000", b"-9000000000000000000", b"1000"]), 2501, 2501
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("float8", "'-0'", "'0'"),
        ("float4", "'NaN'", "NULL"),
        ("float8", "0.1", "0.1000000000000001"),
        ("numeric", "5", "-5"),
        ("numeric", "'NaN'", "0"),
        ("int8", "1", "4294967297"),
        ("int4", "NULL", "0"),
        ("text", "NULL", "''"),
        ("text", "'a'", "'a '"),
        ("text", "'a'", "'A'"),
        ("text", r"E'\\N'", "NULL"),
        ("text", r"E'a\tb'", "'a b'"),
        ("varchar(9)", "'é'", r"E'e\u0301'"),
        ("char(4)", "'a'", "'b'"),
        ("bytea", r"'\x00'", r"'\x'"),
        ("bool", "true", "NULL"),
        ("timestamp", "'2024-01-01 00:00:00'", "'2024-01-01 00:00:00.000001'"),
        ("timestamptz", "'infinity'", "'-infinity'"),
        ("timestamp", "'0044-03-15 BC'", "'0044-03-15'"),
        ("time", "'24:00'", "'00:00'"),
        ("date", "'2024-02-29'", "'2024-03-01'"),
        ("inet", "'10.0.0.1'", "'10.0.0.1/24'"),
        ("json", """'{{"a":1}}'""", """'{{"a": 1}}'"""),
        ("jsonb", "'1'", "'10'"),
        ("uuid", "NULL", "'00000000-0000-0000-0000-000000000000'"),
        ("int4range", "'empty'", "NULL"),
        ("int4[]", "'{{1,2}}'", "'[2:3]={{1,2}}'"),
        ("text[]", "'{{NULL}}'", """'{{"NULL"}}'"""),
        ("tsvector", "'a b'", "'a:1 b'"),
    ],
)
def test_values_that_print_otherwise_differ(make_pair: MakePair, kind: str, one: str, other: str) -> None:
    """Whatever their types' own notion of equality; and equal ones do not."""
    pair = make_pair([("id", "int4"), ("v", kind)], ["id"])
    pair.run(f"INSERT INTO {{sot}} VALUES (1, {one}), (2, {other})")
    pair.run("INSERT INTO {copy} SELECT * FROM {sot}")
    assert pair.compared() == ([], 2, 2)
    pair.run(f"UPDATE {{copy}} SET v = {other} WHERE id = 1")
    assert pair.compared() == ([b"1"], 2, 2)


def test_equal_values_that_are_stored_otherwise_are_equal(make_pair: MakePair) -> None:
    """Scale of a numeric, collation, an enum as text."""
    pair = make_pair(
        [("id", "text"), ("n", "numeric"), ("mood", "text")], ["id"],
        copy=[("id", 'text COLLATE "C"'), ("n", "numeric(12,6)"), ("mood", "varchar")],
    )  # fmt: skip
    pair.run("INSERT INTO {sot} VALUES ('a', 1.5, 'x'), ('b', 100, 'y'), ('', NULL, NULL)")
    pair.run("INSERT INTO {copy} SELECT * FROM {sot}")
    assert pair.compared() == ([], 3, 3)


def test_a_value_that_moves_to_another_row_or_column_is_seen(make_pair: MakePair) -> None:
    """Sums over a bucket are of whole rows; and what separates columns cannot be forged."""
    pair = make_pair([("id", "int4"), ("a", "text"), ("b", "text"), ("c", "int4"), ("d", "int4")], ["id"])
    pair.run("INSERT INTO {sot} VALUES (1, 'x', 'y', 1, NULL), (2, 'z', 'y', NULL, 1), (3, E'p\\t1\\tq', '', 0, 0)")
    pair.run("INSERT INTO {copy} SELECT * FROM {sot}")
    pair.run("UPDATE {copy} SET a = CASE id WHEN 1 THEN 'z' ELSE 'x' END WHERE id IN (1, 2)")
    assert pair.compared()[0] == [b"1", b"2"]
    pair.run("UPDATE {copy} SET a = CASE id WHEN 1 THEN 'x' ELSE 'z' END, c = d, d = c WHERE id IN (1, 2)")
    assert pair.compared()[0] == [b"1", b"2"]
    pair.run("UPDATE {copy} SET c = d, d = c WHERE id IN (1, 2)")
    pair.run("UPDATE {copy} SET a = 'p', b = E'1\\tq\\t0' WHERE id = 3")
    assert pair.compared()[0] == [b"3"]


def test_the_mapping_is_what_is_compared(make_pair: MakePair) -> None:
    """Filter, names, columns left out, values rounded and cut; a digit that is not kept is no difference."""
    pair = make_pair(
        [("id", "int4"), ("price", "numeric"), ("at", "timestamp"), ("clock", "time"), ("note", "text"),
         ("secret", "text"), ("city", "text")],
        ["id"],
        copy=[("nr", "int4"), ("price", "numeric(12,2)"), ("at", "timestamp(0)"), ("clock", "time"), ("note", "text")],
        columns={
            "rename": {"id": "nr"}, "omit": ["secret", "city"],
            "round": {"price": 2, "at": 0, "clock": 1}, "cut": {"note": 3},
        },
        where=[{"column": "city", "op": "in", "value": ["Oslo", "it's"]}],
    )  # fmt: skip
    pair.run(
        "INSERT INTO {sot} SELECT g, g + 0.005, '2024-01-01'::timestamp + g * '0.7 s'::interval, "
        "'23:59:59.97'::time, 'é€😀note', 's', (ARRAY['Oslo', 'it''s', 'Bodø'])[1 + g % 3] "
        "FROM generate_series(1, 300) g"
    )
    pair.run(
        'INSERT INTO {copy} SELECT id, price::numeric(12,2), at::timestamp(0), clock::time(1), "left"(note, 3) '
        "FROM {sot} WHERE city <> 'Bodø'"
    )
    assert pair.compared() == ([], 200, 200)
    pair.run("UPDATE {sot} SET price = price + 0.0001, secret = 'other', note = note || '!' WHERE id < 100")
    assert pair.compared() == ([], 200, 200)
    pair.run("UPDATE {copy} SET price = price + 0.01 WHERE nr = 3")
    pair.run("INSERT INTO {copy} SELECT id, price, at, clock, note FROM {sot} WHERE id = 2")
    assert pair.compared() == ([b"2", b"3"], 200, 201)


@pytest.mark.parametrize(
    ("key", "columns"),
    [
        (["id"], [("id", "int2"), ("v", "text")]),
        (["id"], [("id", "uuid"), ("v", "text")]),
        (["id"], [("id", "text"), ("v", "text")]),
        (["id"], [("id", "bytea"), ("v", "text")]),
        (["id", "n"], [("n", "int4"), ("v", "text"), ("id", "text")]),
    ],
)
def test_keys_of_every_type(make_pair: MakePair, key: Sequence[str], columns: Sequence[tuple[str, str]]) -> None:
    """Named by their canonical bytes, in the order of the key."""
    values = {
        "int2": "g", "uuid": "md5(g::text)::uuid", "bytea": "decode(md5(g::text), 'hex')", "int4": "g",
        "text": "'k' || g",
    }  # fmt: skip
    pair = make_pair(columns, key)
    listed = ", ".join("'v'" if name == "v" else values[kind] for name, kind in columns)
    pair.run(f"INSERT INTO {{sot}} SELECT {listed} FROM generate_series(1, 200) g")
    pair.run("INSERT INTO {copy} SELECT * FROM {sot}")
    assert pair.compared() == ([], 200, 200)
    pair.run("DELETE FROM {copy} WHERE ctid = (SELECT ctid FROM {copy} OFFSET 20 LIMIT 1)")
    pair.run("UPDATE {copy} SET v = '' WHERE ctid = (SELECT ctid FROM {copy} OFFSET 30 LIMIT 1)")
    gone = "(SELECT * FROM {sot} EXCEPT SELECT * FROM {copy})"
    wanted = pair.run(f"SELECT {', '.join(f'g.{name}::text' for name in key)} FROM {gone} g").fetchall()
    assert pair.compared() == (sorted(encode(row) for row in wanted), 200, 199)
    assert len(wanted) == 2


@pytest.mark.parametrize("step", [1, 10**12])
def test_differences_are_narrowed_down_before_rows_are_fetched(
    make_pair: MakePair, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Also where keys lie so far apart that all but a few fall into one bucket at first; in portions."""
    monkeypatch.setattr(buckets, "FETCH_ROWS", 40)
    monkeypatch.setattr(buckets, "PORTION_ROWS", 1_000)
    monkeypatch.setattr(sql, "BUCKET_BITS", 3)
    pair = make_pair([("id", "int8"), ("v", "int4")], ["id"])
    pair.run(f"INSERT INTO {{sot}} SELECT g * {step}, g FROM generate_series(1, 5000) g")
    pair.run("INSERT INTO {sot} VALUES (9223372036854775807, 0), (-9223372036854775808, 0)")
    pair.run("INSERT INTO {copy} SELECT * FROM {sot}")
    pair.run(f"UPDATE {{copy}} SET v = -1 WHERE id IN ({7 * step}, {4999 * step}, 9223372036854775807)")
    wanted = sorted(b"%d" % key for key in (7 * step, 4999 * step, 2**63 - 1))
    assert pair.compared() == (wanted, 5002, 5002)
