"""What `plan check --live` says of columns, as a real Postgres describes them."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from streams.plan.catalog import Catalog
from streams.plan.types import refusal
from streams.sot.catalog import connected, read_catalog
from tests.support.typed import FAMILIES, SETUP, definition

pytestmark = pytest.mark.stack
REFUSED = {
    "interval": "interval", "timetz": "timetz", "bit(8)": "bit", "varbit": "varbit", "money": "money", "name": "name",
    "xml": "xml", "int4[]": "_int4", "text[][]": "_text", "pair": "pair", "int4multirange": "int4multirange",
    "tsquery": "tsquery", "pg_lsn": "pg_lsn", "point": "point", "d_numbers": "_int4", "d_mood": "mood",
    "own_range": "own_range",
}  # fmt: skip
DDL = """
CREATE DOMAIN d_mood AS mood;
CREATE TYPE own_range AS RANGE (subtype = int4); CREATE TYPE nothing AS ENUM ();
"""


@pytest.fixture(scope="module")
def catalog(dsn: str) -> Iterator[Catalog]:
    """A table of everything carried for each family, and one of what is refused; in a schema that is removed again."""
    columns = ", ".join(f"c{number} {shown}" for number, shown in enumerate(REFUSED))
    tables = [definition(name, family) for name, family in FAMILIES.items()]
    with psycopg.connect(dsn, autocommit=True) as server:
        server.execute("CREATE SCHEMA typed")
        server.execute("SET search_path = typed")
        server.execute(";".join([SETUP, DDL, *tables, f"CREATE TABLE refused ({columns})"]).encode())
        try:
            with connected(dsn, "the database") as connection:
                yield read_catalog(connection, [f"typed.{name}" for name in (*FAMILIES, "refused")])
        finally:
            server.execute("DROP SCHEMA typed CASCADE")


def test_domains_go_by_what_they_are_over(catalog: Catalog) -> None:
    """Name and modifier of the base type, also of a domain over a domain."""
    for name, family in FAMILIES.items():
        found = catalog.tables[f"typed.{name}"].columns[1:]
        assert [(column.name, column.type) for column in found] == [
            (name, typed.type) for name, typed in family.items()
        ]
        assert [refusal(column.type, column.sort) for column in found] == [None] * len(found)
    domains = {column.name: column.typmod for column in catalog.tables["typed.domains"].columns}
    assert domains["n"] == domains["nn"] == ((12 << 16) | 2) + 4
    assert domains["i"] == -1


def test_what_is_not_carried_is_refused_with_a_reason(catalog: Catalog) -> None:
    """Each by its own name or sort."""
    found = catalog.tables["typed.refused"].columns
    assert [column.type for column in found] == list(REFUSED.values())
    assert [column.shown for column in found if refusal(column.type, column.sort) is None] == []
    sorts = {column.shown: column.sort for column in found if column.sort}
    assert sorts == {
        "integer[]": "array", "text[]": "array", "typed.d_numbers": "array", "typed.pair": "composite",
        "int4multirange": "multirange", "typed.d_mood": "domain over enum",
    }  # fmt: skip


def test_what_arrays_and_composites_hold_is_seen_in_the_end(dsn: str) -> None:
    """Through domains, composites of composites, arrays of them, and ranges."""
    with psycopg.connect(dsn, autocommit=True) as server:
        server.execute("""
            CREATE SCHEMA held; SET search_path = held;
            CREATE DOMAIN amount AS money; CREATE TYPE inner_one AS (a amount[], b text);
            CREATE TYPE outer_one AS (i inner_one[], r numrange);
            CREATE TABLE tree (id int4 PRIMARY KEY, classes regclass[], deep outer_one, many amount[],
              spans int4multirange, plain text, moods text[]);
        """)
        try:
            with connected(dsn, "the database") as connection:
                tree = read_catalog(connection, ["held.tree"]).tables["held.tree"]
        finally:
            server.execute("DROP SCHEMA held CASCADE")
    held = {column.name: column.held for column in tree.columns}
    assert held == {
        "id": ("int4",), "classes": ("regclass",), "deep": ("money", "numeric", "text"), "many": ("money",),
        "spans": ("int4",), "plain": ("text",), "moods": ("text",),
    }  # fmt: skip


def test_enums_that_stop_the_connector_are_seen(catalog: Catalog) -> None:
    """Wherever they are, and whether a table has one or not."""
    assert catalog.database.unreadable_enums == ("typed.d_mood", "typed.nothing")
