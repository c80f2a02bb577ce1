"""What each Postgres type needs so that its text is canonical, and what family of values it belongs to.

Types go by their own names (`int4`, `bpchar`, `timestamptz`, an enum's name), as `plan.mapping.Column` gives them.
SQL is made here as text, with every name and value quoted: this is core and knows no driver.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, LiteralString

from streams.plan.mapping import Column
from streams.plan.types import KIND_OF, Kind

__all__ = [
    "BASE_TYPE",
    "Kind",
    "canonical_sql",
    "identifier",
    "key_array_sql",
    "kind_of",
    "literal",
    "type_sql",
]

# What a column of pg_attribute `a` is in the end: `b`, a row of pg_type, and its modifier `r.typmod`. A domain may be
# over another domain; the last one's modifier is the one that holds.
BASE_TYPE: Final[LiteralString] = """
CROSS JOIN LATERAL (
    WITH RECURSIVE chain AS (
        SELECT a.atttypid AS oid, a.atttypmod AS typmod
        UNION ALL
        SELECT d.typbasetype, d.typtypmod FROM chain JOIN pg_type d ON d.oid = chain.oid AND d.typtype = 'd'
    )
    SELECT chain.oid, chain.typmod FROM chain JOIN pg_type e ON e.oid = chain.oid WHERE e.typtype <> 'd'
) r
JOIN pg_type b ON b.oid = r.oid
"""


def kind_of(type_name: str) -> Kind:
    """The kind of a type; an enum's values, and whatever has no kind of its own, are kept as their text."""
    return KIND_OF.get(type_name, Kind.text)


def canonical_sql(column: Column, alias: str = "") -> str:
    """The expression that selects a column so that Postgres prints its canonical text.

    A numeric keeps the scale it was written with, which other stores and the change stream do not: it is trimmed.
    Every other supported type has one text per value under `rows.canonical.SESSION`.
    """
    name = identifier(alias, column.name) if alias else identifier(column.name)
    return f"pg_catalog.trim_scale({name})" if kind_of(column.type) is Kind.numeric else name


def type_sql(column: Column) -> str:
    """The column's type as a definition or a cast names it, without a modifier, so that it holds every value."""
    return identifier(column.type)


def key_array_sql(column: Column, values: Sequence[str | None]) -> str:
    """Canonical texts of one column as an array of the column's type, for `unnest`."""
    elements = ",".join("NULL" if value is None else _element(value) for value in values)
    return f"{literal('{' + elements + '}')}::{type_sql(column)}[]"


def identifier(*names: str) -> str:
    """Names as SQL quotes them, joined by dots."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def literal(text: str) -> str:
    """Text as an SQL string constant that means the same under every setting of standard_conforming_strings."""
    quoted = text.replace("'", "''")
    return " E'" + quoted.replace("\\", "\\\\") + "'" if "\\" in quoted else f"'{quoted}'"


def _element(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
