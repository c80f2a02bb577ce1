"""A row filter decides the same here and in Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.plan.mapping import Column
from tests.unit.plan.plans import shape

pytestmark = pytest.mark.stack

SESSION = (
    "SET DateStyle = ISO; SET TimeZone = 'UTC'; SET extra_float_digits = 1; SET IntervalStyle = postgres; "
    "SET bytea_output = hex; CREATE TYPE mood AS ENUM ('ok', 'sad'); "
    "CREATE TEMP TABLE t (int2 int2, int4 int4, int8 int8, numeric numeric, float4 float4, float8 float8, bool bool, "
    "text text, varchar varchar(9), bpchar char(5), uuid uuid, mood mood, timestamptz timestamptz)"
)
UUIDS = ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"]
TIMES = ["2024-05-31 08:00:00+00", "2024-05-31 08:00:00.5+00", "infinity"]
SMALL = st.integers(-3, 3)
NUMBERS = st.one_of(
    SMALL.map(str), st.sampled_from(["0.1", "0.10", "0.5", "1e3", "-0", "NaN", "Infinity", "-Infinity"])
)
WORDS = st.sampled_from(["", "a", "a ", " a", "A", "ä", "b", "10"])
STORED: dict[str, st.SearchStrategy[str]] = {
    "int2": SMALL.map(str),
    "int4": SMALL.map(str),
    "int8": st.one_of(SMALL, st.sampled_from([2**63 - 1, -(2**63)])).map(str),
    "numeric": NUMBERS,
    "float4": NUMBERS,
    "float8": NUMBERS,
    "bool": st.sampled_from(["t", "f"]),
    "text": WORDS,
    "varchar": WORDS,
    "bpchar": WORDS,
    "uuid": st.sampled_from(UUIDS),
    "mood": st.sampled_from(["ok", "sad"]),
    "timestamptz": st.sampled_from(TIMES),
}
WANTED_NUMBERS = st.one_of(SMALL, st.sampled_from([2**63, *map(Decimal, ("0.1", "0.5", "2.5", "1E+3", "1e30"))]))
WANTED: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("int2", "int4", "int8", "numeric", "float4", "float8"), WANTED_NUMBERS),
    **dict.fromkeys(("text", "varchar", "bpchar"), WORDS),
    "bool": st.booleans(),
    "uuid": st.sampled_from([*UUIDS, UUIDS[0].upper()]),
    "mood": st.sampled_from(["ok", "sad", "other"]),
    "timestamptz": st.sampled_from(TIMES),
}
NUMERIC = ("int2", "int4", "int8", "numeric", "float4", "float8")


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    """A comparison that the plan allows for its column's type."""
    column = draw(st.sampled_from(sorted(STORED)))
    op = draw(st.sampled_from(["=", "!=", "in", "is_null", *(["<", "<=", ">", ">="] if column in NUMERIC else [])]))
    if op == "is_null":
        return {"column": column, "op": op, "value": draw(st.sampled_from([None, True, False]))}
    value = draw(st.lists(WANTED[column], min_size=1, max_size=3)) if op == "in" else draw(WANTED[column])
    return {"column": column, "op": op, "value": value}


@pytest.fixture(scope="module")
def connection(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A session with the project's output settings and an empty table of every type."""
    with psycopg.connect(dsn, autocommit=True) as opened:
        opened.execute(SESSION)
        yield opened


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.fixed_dictionaries({n: st.none() | s for n, s in STORED.items()}), min_size=1, max_size=4),
    where=st.lists(conditions(), max_size=3),
)
def test_keeps_and_where_sql_agree(
    connection: psycopg.Connection[Any], rows: list[dict[str, str | None]], where: list[dict[str, Any]]
) -> None:
    """For any rows and any allowed filter, the same rows are kept; both see Postgres's own text of the values."""
    names = ", ".join(STORED)
    connection.execute("TRUNCATE t")
    for row in rows:
        values = ", ".join(f"%s::{name}" for name in STORED)
        connection.execute(f"INSERT INTO t ({names}) VALUES ({values})".encode(), [row[name] for name in STORED])
    decided = shape([Column(name, name) for name in STORED], ["int4"], where=where)
    sql, params = decided.where_sql()
    text = ", ".join(
        "CASE bool WHEN true THEN 't' WHEN false THEN 'f' END" if n == "bool" else _text(n) for n in STORED
    )
    everything = connection.execute(f"SELECT {text} FROM t".encode()).fetchall()
    kept = connection.execute(f"SELECT {text} FROM t WHERE {sql}".encode(), params).fetchall()
    assert sorted(filter(decided.keeps, everything), key=repr) == sorted(kept, key=repr)


def _text(name: str) -> str:
    if name == "numeric":
        return "trim_scale(numeric)::text"
    # A cast would drop the padding that char(n) prints.
    return "rpad(bpchar::text, 5)" if name == "bpchar" else f"{name}::text"
