"""What each Postgres type needs: which kind it is, how it is selected canonically, how its values enter SQL."""

from __future__ import annotations

import pytest

from streams.plan.mapping import Column
from streams.rows.types import Kind, canonical_sql, identifier, key_array_sql, kind_of, literal, type_sql


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("int2", Kind.integer),
        ("int8", Kind.integer),
        ("numeric", Kind.numeric),
        ("float4", Kind.float),
        ("bool", Kind.boolean),
        ("bytea", Kind.bytes),
        ("jsonb", Kind.json),
        ("timestamptz", Kind.time),
        ("bpchar", Kind.text),
        ("uuid", Kind.text),
        ("an_enum", Kind.text),
    ],
)
def test_every_type_has_a_kind(name: str, kind: Kind) -> None:
    """Unknown types, enums among them, are texts."""
    assert kind_of(name) is kind


def test_only_numerics_are_trimmed() -> None:
    """12.50 and 12.5 are one value; every other type prints one text per value."""
    assert canonical_sql(Column("price", "numeric"), "t") == 'pg_catalog.trim_scale("t"."price")'
    assert canonical_sql(Column("price", "text"), "t") == '"t"."price"'
    assert canonical_sql(Column("price", "int4")) == '"price"'


def test_names_are_quoted() -> None:
    """A name may hold anything."""
    assert identifier("s", 'a"b') == '"s"."a""b"'
    assert type_sql(Column("x", "My Enum")) == '"My Enum"'


@pytest.mark.parametrize(("text", "sql"), [("it's", "'it''s'"), ("a\\b'", " E'a\\\\b'''"), ("", "''")])
def test_literals_are_quoted(text: str, sql: str) -> None:
    """Backslashes mean themselves whatever the session says."""
    assert literal(text) == sql


def test_key_arrays_keep_every_text_apart() -> None:
    """Commas, quotes, backslashes, braces, the word NULL and NULL itself."""
    values = ["a,b", 'q"', "\\", "{}", "NULL", None, ""]
    expected = ' E\'{"a,b","q\\\\"","\\\\\\\\","{}","NULL",NULL,""}\'::"text"[]'
    assert key_array_sql(Column("k", "text"), values) == expected
