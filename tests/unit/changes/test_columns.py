"""Many records read field by field say what each of them says when it is read alone."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.changes.columns import Block, Compiler, Irregular, NotColumnar, read_fields

LONGS = st.integers(-(2**63), 2**63 - 1) | st.integers(-300, 300) | st.sampled_from([2**55, -(2**55) - 1, 2**62])
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
NESTED = {
    "type": "record", "name": "VariableScaleDecimal", "namespace": "io.debezium.data",
    "fields": [{"name": "scale", "type": "int"}, {"name": "value", "type": "bytes"}],
}  # fmt: skip
FIELDS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "flag": ("boolean", st.booleans()),
    "long": ("long", LONGS),
    "small": ({"type": "int", "connect.type": "int16"}, st.integers(-(2**31), 2**31 - 1)),
    "maybe": (["null", "long"], st.none() | LONGS),
    "text": ("string", st.text(max_size=90)),
    "perhaps": ([{"type": "string", "connect.default": "x"}, "null"], st.none() | st.text(max_size=9)),
    "octets": (["null", "bytes"], st.none() | st.binary(max_size=300)),
    "four": ("float", st.floats(width=32, allow_nan=False)),
    "eight": (["null", "double"], st.none() | st.floats(allow_nan=False)),
    "fixed": ({"type": "fixed", "name": "Three", "size": 3}, st.binary(min_size=3, max_size=3)),
    "nothing": ("null", st.none()),
    "nested": (NESTED, st.fixed_dictionaries({"scale": st.integers(-9, 9), "value": st.binary(max_size=12)})),
    "again": (
        ["null", "io.debezium.data.VariableScaleDecimal"],
        st.none() | st.fixed_dictionaries({"scale": st.integers(0, 3), "value": st.binary(max_size=3)}),
    ),
    "last": ("long", LONGS),
}
SCHEMA: Any = {"type": "record", "name": "R", "fields": [{"name": n, "type": kind} for n, (kind, _) in FIELDS.items()]}
RECORDS = st.fixed_dictionaries({name: values for name, (_, values) in FIELDS.items()})


def encoded(record: dict[str, Any], schema: Any = SCHEMA) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record)
    return out.getvalue()


def read(records: list[bytes], wanted: frozenset[str] | None = None, schema: Any = SCHEMA) -> Any:
    block = Block(records)
    columns, at = read_fields(Compiler().fields(schema["fields"]), wanted, block, block.starts)
    return {name: column.values() for name, column in columns.items()}, at, block


@given(st.lists(RECORDS, min_size=1, max_size=8))
def test_columns_are_what_was_written(records: list[dict[str, Any]]) -> None:
    """Every type, with and without NULLs, and every position ends where its record does."""
    columns, at, block = read([encoded(record) for record in records])
    assert columns == {name: [record[name] for record in records] for name in FIELDS}
    assert np.array_equal(at, block.ends)


@given(st.lists(RECORDS, min_size=1, max_size=4), st.sets(st.sampled_from(sorted(FIELDS))))
def test_what_is_not_wanted_is_passed_over(records: list[dict[str, Any]], wanted: set[str]) -> None:
    """Skipping a field moves as far as reading it."""
    columns, at, block = read([encoded(record) for record in records], frozenset(wanted))
    assert columns.keys() == wanted
    assert np.array_equal(at, block.ends)


@pytest.mark.parametrize("size", range(1, 11))
def test_a_number_of_every_length(size: int) -> None:
    """A zigzag number takes one to ten bytes; neighbours of other lengths do not disturb it."""
    edges = [2 ** (7 * size - 8), 2 ** (7 * size - 1) - 1] if size > 1 else [0, 63]
    values = [each for edge in edges for each in (min(edge, 2**63 - 1), max(-edge - 1, -(2**63)), 1)]
    schema = {"type": "record", "name": "N", "fields": [{"name": "n", "type": "long"}]}
    assert read([encoded({"n": value}, schema) for value in values], schema=schema)[0]["n"] == values


def test_a_number_without_an_end_is_irregular() -> None:
    """Eleven bytes that all say there is more are no number."""
    with pytest.raises(Irregular):
        read([b"\xff" * 11], schema={"fields": [{"name": "n", "type": "long"}]})


@pytest.mark.parametrize(
    ("kind", "octets"),
    [
        ("boolean", b"\x02"),
        ("string", b"\x01"),
        ("string", b"\x02\xff"),
        (["null", "long"], b"\x04\x02"),
    ],
    ids=["neither", "negative length", "not UTF-8", "no such branch"],
)
def test_what_cannot_be_is_irregular(kind: Any, octets: bytes) -> None:
    """Nothing is guessed: the caller reads such records one by one, and names the one at fault."""
    with pytest.raises(Irregular):
        read([octets], schema={"fields": [{"name": "n", "type": kind}]})


def test_a_length_beyond_the_block_is_an_index_error() -> None:
    """A position outside is never read as something else."""
    fields = [{"name": "text", "type": "string"}, {"name": "n", "type": "long"}]
    with pytest.raises(IndexError):
        read([b"\xfe\xff\xff\xff\x0f"], schema={"fields": fields})


@pytest.mark.parametrize(
    "kind",
    [
        {"type": "array", "items": "int"},
        {"type": "map", "values": "int"},
        ["null", "int", "string"],
        ["int", "string"],
        "some.unknown.Name",
        {"type": "enum", "name": "E", "symbols": ["a"]},
    ],
    ids=["array", "map", "three", "two", "unknown", "enum"],
)
def test_types_that_are_not_read_by_columns_are_refused(kind: Any) -> None:
    """Their tables are read record by record."""
    with pytest.raises(NotColumnar):
        Compiler().field(kind)
