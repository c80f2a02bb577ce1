"""Records decoded together say what each of them says when it is decoded alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.changes import decode
from streams.changes.decode import Decoder, Keyed
from streams.changes.envelope import Undecodable
from streams.changes.values import UNAVAILABLE
from streams.plan.mapping import Column, Shape
from streams.plan.tables import Layout
from tests.unit.changes.envelopes import ROWS, SCHEMA, SOURCES, record, row

COLUMNS = (Column("id", "int8", False), Column("name", "text"), Column("total", "numeric"))
NAMES = st.none() | st.sampled_from(["a\tb", "line\nbreak", "\\N", "é", "", UNAVAILABLE, "\v", "plain"])
RECORDS = st.tuples(st.none() | ROWS, st.none() | ROWS | st.builds(row, st.integers(0, 9), NAMES), SOURCES)
LOSSY: dict[str, Any] = {"columns": {"round": {"total": 1}, "cut": {"name": 2}}}
LAYOUTS: list[dict[str, Any]] = [
    {},
    {"columns": {"omit": ["name"]}},
    {"columns": {"omit": ["total"]}, "where": [{"column": "total", "op": "<", "value": 1}]},
    {"where": [{"column": "id", "op": "<=", "value": 10}]},
    LOSSY,
    {**LOSSY, "where": [{"column": "total", "op": "<", "value": 1}]},
]


def decoder(layout: dict[str, Any], schema: Any = SCHEMA) -> Decoder:
    return Decoder(schema, Shape.build("public.t", ["id"], COLUMNS, Layout.model_validate(layout)))


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few they are."""
    monkeypatch.setattr(decode, "MANY", 1)


@pytest.mark.parametrize("layout", LAYOUTS, ids=["all", "omit", "filter", "filter on the key", "less", "less, filter"])
@settings(max_examples=60)
@given(records=st.lists(RECORDS, min_size=1, max_size=7))
def test_together_as_alone(layout: dict[str, Any], records: list[Any]) -> None:
    """Every record that has a row to write is decoded, and exactly as alone; the others are left."""
    under = decoder(layout)
    values = [record(before, after, **source) for before, after, source in records]
    together = under.decode_many(range(5, 5 + len(values)), values)
    alone = [under.decode(5 + place, value) for place, value in enumerate(values)]
    assert [each is None for each in together] == [after is None for _, after, _ in records]
    assert [said for said in together if said is not None] == [
        said for said, each in zip(alone, together, strict=True) if each is not None
    ]


@given(st.lists(st.binary(max_size=120) | st.builds(record, st.none(), ROWS), min_size=1, max_size=5))
def test_garbage_is_left_to_be_read_alone(garbage: list[bytes]) -> None:
    """Whatever bytes arrive, what is said of a record is what it says alone."""
    under = decoder({})
    for value, said in zip(garbage, under.decode_many(range(len(garbage)), garbage), strict=True):
        if said is not None:
            assert isinstance(said, Keyed)
            assert said == under.decode(said.record.offset, value)


@pytest.mark.parametrize("cut", [12, 40, 100])
def test_one_record_that_was_cut_off_leaves_all_to_be_read_alone(cut: int) -> None:
    """It must not take its missing bytes from the record that follows."""
    values = [record(None, row(1)), record(None, row(2))[:-cut], record(None, row(3))]
    assert decoder({}).decode_many([0, 1, 2], values) == [None] * 3
    with pytest.raises(Undecodable):
        decoder({}).decode(1, values[1])


def test_a_value_without_canonical_form_leaves_all_to_be_read_alone() -> None:
    """The one at fault is found when each is read alone."""
    other = copy.deepcopy(SCHEMA)
    kind = {"type": "string", "connect.name": "io.debezium.time.ZonedTimestamp"}
    other["fields"][0]["type"][1]["fields"][1]["type"] = ["null", kind]
    values = [record(None, row(1, "2024-01-01T00:00:00Z")), record(None, row(2, "soon"))]
    columns = (*COLUMNS[:1], Column("name", "timestamptz"), COLUMNS[2])
    shape = Shape.build("public.t", ["id"], columns, Layout.model_validate({}))
    assert Decoder(other, shape).decode_many([0, 1], values) == [None, None]


def test_a_branch_that_does_not_exist_is_not_taken_for_null() -> None:
    """The same bytes are a dead letter however many records lie beside them."""
    broken = bytearray(record(None, row(1)))
    broken[5] = 77
    assert decoder({}).decode_many([0, 1], [bytes(broken), record(None, row(2))]) == [None, None]
    with pytest.raises(Undecodable):
        decoder({}).decode(0, bytes(broken))


def test_two_numerics_without_precision() -> None:
    """Their type has a name, and is described only where it is met first."""
    other = copy.deepcopy(SCHEMA)
    named = {
        "type": "record", "name": "VariableScaleDecimal", "namespace": "io.debezium.data",
        "connect.name": "io.debezium.data.VariableScaleDecimal",
        "fields": [{"name": "scale", "type": "int"}, {"name": "value", "type": "bytes"}],
    }  # fmt: skip
    other["fields"][0]["type"][1]["fields"] = [
        {"name": "id", "type": "long"},
        {"name": "a", "type": ["null", named]},
        {"name": "b", "type": ["null", "io.debezium.data.VariableScaleDecimal"]},
    ]
    columns = (COLUMNS[0], Column("a", "numeric"), Column("b", "numeric"))
    under = Decoder(other, Shape.build("public.t", ["id"], columns, Layout.model_validate({})))
    values = {"id": 7, "a": {"scale": 1, "value": b"\x19"}, "b": {"scale": 0, "value": b"\xff"}}
    (said,) = under.decode_many([0], [record(None, values, schema=other)])
    assert said == under.decode(0, record(None, values, schema=other))
    assert isinstance(said, Keyed)
    assert said.record.row == ("7", "2.5", "-1")


def test_a_schema_with_an_array_is_read_record_by_record() -> None:
    """Types that are not read by columns cost speed, not the table."""
    other = copy.deepcopy(SCHEMA)
    listed = {"name": "tags", "type": {"type": "array", "items": "string"}}
    other["fields"][0]["type"][1]["fields"].append(listed)
    assert decoder({}, other).decode_many([0], [record(None, row(1))]) == [None]


def test_few_records_are_read_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below a hundred or so, the columns cost more than they save."""
    monkeypatch.setattr(decode, "MANY", 3)
    assert decoder({}).decode_many([0, 1], [record(None, row(1))] * 2) == [None, None]
