"""What each Postgres type needs so that its text is canonical, and what family of values it belongs to.

Types go by their own names (`int4`, `bpchar`, `timestamptz`, an enum's name), as `plan.mapping.Column` gives them.
SQL is made here as text, with every name and value quoted: this is core and knows no driver.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from enum import StrEnum

from streams.plan.mapping import Column


class Kind(StrEnum):
    """A family of types whose canonical texts are read alike."""

    integer = "integer"
    numeric = "numeric"
    float = "float"
    boolean = "boolean"
    bytes = "bytes"
    json = "json"
    time = "time"
    text = "text"


_KINDS = {
    Kind.integer: ("int2", "int4", "int8"),
    Kind.numeric: ("numeric",),
    Kind.float: ("float4", "float8"),
    Kind.boolean: ("bool",),
    Kind.bytes: ("bytea",),
    Kind.json: ("json", "jsonb"),
    Kind.time: ("date", "time", "timestamp", "timestamptz"),
    Kind.text: ("text", "varchar", "bpchar", "uuid"),
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names}


def kind_of(type_name: str) -> Kind:
    """The kind of a type; an enum's values, and whatever has no kind of its own, are kept as their text."""
    return _KIND_OF.get(type_name, Kind.text)


def is_supported(type_name: str, enums: Container[str] = ()) -> bool:
    """Whether a column of this type is carried exactly from the log to every store; `enums` are the known enums."""
    return type_name in _KIND_OF or type_name in enums


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
