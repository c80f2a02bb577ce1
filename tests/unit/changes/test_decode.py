"""A record's bytes become what they say about one key of one replica."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from streams.changes.decode import MANY, Decoder, Keyed, OtherForm, Passed, TableLevel
from streams.changes.envelope import Undecodable
from streams.changes.record import Op, Record
from streams.changes.values import UNAVAILABLE, UnknownType
from streams.plan.mapping import Column, Shape
from streams.plan.tables import Layout
from tests.unit.changes.envelopes import MOMENT_MS, SCHEMA, record, row

COLUMNS = (Column("id", "int8", False), Column("name", "text"), Column("total", "numeric"))


def shape(**layout: Any) -> Shape:
    return Shape.build("public.t", ["id"], COLUMNS, Layout.model_validate(layout))


def decoder(**layout: Any) -> Decoder:
    return Decoder(SCHEMA, shape(**layout))


def named(type_name: str) -> Shape:
    """The shape whose column `name` has this type."""
    columns = (*COLUMNS[:1], Column("name", type_name), COLUMNS[2])
    return Shape.build("public.t", ["id"], columns, Layout.model_validate({}))


def arriving(avro_type: Any) -> Any:
    """The schema of records in which the column `name` arrives so."""
    other = copy.deepcopy(SCHEMA)
    other["fields"][0]["type"][1]["fields"][1]["type"] = ["null", avro_type]
    return other


ZONED = {"type": "string", "connect.name": "io.debezium.time.ZonedTimestamp"}


def test_an_update_becomes_a_row_in_canonical_text() -> None:
    """Key and row as COPY prints them, position and transaction of the change, the time of its commit."""
    said = decoder().decode(7, record(None, row(1, "a\tb")))
    expected = Record(7, Op.upsert, ("1", "a\tb", "1.25"), b"1\ta\\tb\t1.25", 609925256, 792, False)
    assert said == Keyed(b"1", expected, MOMENT_MS)


def test_null_is_not_text() -> None:
    """A NULL has a mark of its own in the line."""
    said = decoder().decode(7, record(None, row(1, None)))
    assert isinstance(said, Keyed)
    assert (said.record.row, said.record.line) == (("1", None, "1.25"), b"1\t\\N\t1.25")


def test_a_snapshot_row_is_a_read() -> None:
    """Its log position means nothing."""
    said = decoder().decode(7, record(None, row(1), "r", snapshot="true"))
    assert isinstance(said, Keyed)
    assert said.record.op is Op.read


def test_a_delete_needs_only_the_key() -> None:
    """Without REPLICA IDENTITY FULL every other column of `before` is empty."""
    said = decoder().decode(7, record(row(5, None, b""), None, "d"))
    assert said == Keyed(b"5", Record(7, Op.delete, None, b"", 609925256, 792), MOMENT_MS)


def test_neither_row_is_the_whole_table() -> None:
    """A TRUNCATE has no key."""
    assert decoder().decode(7, record(None, None, "t")) == TableLevel(7, MOMENT_MS, 792)


def test_an_unchanged_toast_value_makes_the_record_partial() -> None:
    """The placeholder is no content."""
    said = decoder().decode(7, record(None, row(1, UNAVAILABLE)))
    assert isinstance(said, Keyed)
    assert said.record.partial


def test_an_unchanged_binary_value_makes_the_record_partial() -> None:
    """The placeholder of a bytea is its bytes, in hex like any other value."""
    other = copy.deepcopy(SCHEMA)
    other["fields"][0]["type"][1]["fields"][2]["type"] = "bytes"
    columns = (*COLUMNS[:2], Column("total", "bytea"))
    binary = Decoder(other, Shape.build("public.t", ["id"], columns, Layout.model_validate({})))
    said = [binary.decode(7, record(None, row(1, "n", total))) for total in (UNAVAILABLE.encode(), b"other")]
    assert [isinstance(each, Keyed) and each.record.partial for each in said] == [True, False]


def test_a_text_that_only_contains_the_placeholder_is_whole() -> None:
    """Only the exact placeholder means that a value is not there."""
    said = decoder().decode(7, record(None, row(1, f"about {UNAVAILABLE}")))
    assert isinstance(said, Keyed)
    assert not said.record.partial


def test_a_column_left_out_is_not_in_the_row() -> None:
    """The replica's row has the mapping's columns only."""
    said = decoder(columns={"omit": ["name"]}).decode(7, record(None, row(1)))
    assert isinstance(said, Keyed)
    assert said.record.row == ("1", "1.25")


@pytest.mark.parametrize("where", [[], [{"column": "total", "op": "<", "value": 2}]])
def test_a_row_is_stored_less_what_the_mapping_takes(where: list[Any]) -> None:
    """Rounded, cut; the filter has looked at the whole value."""
    said = decoder(columns={"round": {"total": 0}, "cut": {"name": 2}}, where=where).decode(
        7, record(None, row(1, "a\tbc", b"\x00\xc7"))
    )
    assert isinstance(said, Keyed)
    assert (said.record.row, said.record.line) == (("1", "a\t", "2"), b"1\ta\\t\t2")


def test_what_was_not_sent_is_still_not_sent_when_it_is_cut() -> None:
    """The placeholder is recognised before the mapping takes anything; what merely is as long as it is whole."""
    cut = decoder(columns={"cut": {"name": 28}})
    said = [cut.decode(7, record(None, row(1, name))) for name in (UNAVAILABLE, f"{UNAVAILABLE} and more", "")]
    assert [isinstance(each, Keyed) and each.record.partial for each in said] == [True, False, False]
    assert len(UNAVAILABLE) == 28
    short = decoder(columns={"cut": {"name": 3}}).decode(7, record(None, row(1, UNAVAILABLE)))
    assert isinstance(short, Keyed)
    assert short.record.partial


def test_a_row_outside_a_filter_on_the_key_is_passed_over() -> None:
    """It can never have been in the replica."""
    keys = decoder(where=[{"column": "id", "op": "<=", "value": 10}])
    assert keys.decode(7, record(None, row(11))) == Passed(MOMENT_MS)
    assert keys.decode(8, record(row(11), None, "d")) == Passed(MOMENT_MS)
    assert isinstance(keys.decode(9, record(None, row(10))), Keyed)


def test_a_row_that_leaves_a_filter_must_go() -> None:
    """A filter on another column: the row may have been inside before."""
    totals = decoder(columns={"omit": ["total"]}, where=[{"column": "total", "op": "<", "value": 1}])
    outside = totals.decode(7, record(None, row(1, "n", b"\x7d")))
    inside = totals.decode(8, record(None, row(1, "n", b"\x0a")))
    assert isinstance(outside, Keyed)
    assert isinstance(inside, Keyed)
    assert (outside.record.row, inside.record.row) == (None, ("1", "n"))


def test_a_mapped_column_that_is_not_in_the_schema_is_named() -> None:
    """Dropped at the source: nothing is applied under a guess."""
    other = copy.deepcopy(SCHEMA)
    fields = other["fields"][0]["type"][1]["fields"]
    del fields[1]
    with pytest.raises(Undecodable, match="no column name"):
        Decoder(other, shape())


def test_a_type_without_canonical_form_is_named() -> None:
    """The column is refused when the schema is seen, before any of its records is applied."""
    other = copy.deepcopy(SCHEMA)
    other["fields"][0]["type"][1]["fields"][1]["type"] = {"type": "string", "connect.name": "io.debezium.data.Ltree"}
    with pytest.raises(UnknownType, match="Column name"):
        Decoder(other, shape())


def test_a_value_without_canonical_form_is_as_good_as_not_sent() -> None:
    """The SOT is asked for the row; nothing is guessed at, and nothing else of the batch suffers."""
    decoded = Decoder(arriving(ZONED), named("timestamptz"))
    said = [decoded.decode(7, record(None, row(1, moment))) for moment in ("soon", "2024-01-01T00:00:00Z")]
    assert [isinstance(each, Keyed) and each.record.partial for each in said] == [True, False]


@pytest.mark.parametrize("there", [True, False])
def test_an_asked_value_is_never_taken_from_a_record(there: bool) -> None:
    """Whether the connector sends something for it or leaves it out: one by one, and many at once."""
    other = copy.deepcopy(SCHEMA)
    if not there:
        del other["fields"][0]["type"][1]["fields"][1]
    decoded = Decoder(other, shape(columns={"ask": ["name"]}))
    records = [record(None, row(number), schema=other) for number in range(MANY)]
    alone = [decoded.decode(offset, each) for offset, each in enumerate(records)]
    assert decoded.decode_many(range(MANY), records) == alone
    assert all(isinstance(said, Keyed) and said.record.partial for said in alone)
    deleted = decoded.decode(MANY, record(row(1), None, "d", schema=other))
    assert isinstance(deleted, Keyed)
    assert (deleted.key, deleted.record.partial) == (b"1", False)


def test_a_numeric_that_was_not_sent_is_not_compared() -> None:
    """Not even with a filter's number: the SOT decides."""
    other = copy.deepcopy(SCHEMA)
    other["fields"][0]["type"][1]["fields"][2]["type"] = "string"
    mapping = Layout.model_validate({"where": [{"column": "total", "op": "<", "value": 1}]})
    columns = (*COLUMNS[:2], Column("total", "numeric"))
    filtered = Decoder(other, Shape.build("public.t", ["id"], columns, mapping))
    said = filtered.decode(7, record(None, row(1, "n", UNAVAILABLE), schema=other))
    assert isinstance(said, Keyed)
    assert said.record.partial


def test_a_filter_on_a_value_that_was_not_sent_asks_the_source() -> None:
    """An unchanged TOAST value is no reason to put the row outside: the SOT decides, filter and all."""
    filtered = decoder(where=[{"column": "name", "op": "=", "value": "kept"}])
    said = filtered.decode(7, record(None, row(1, UNAVAILABLE)))
    assert isinstance(said, Keyed)
    assert said.record.partial


def test_a_filter_on_the_key_needs_no_other_value() -> None:
    """A key that can never be inside stays passed over, whatever else was not sent."""
    filtered = decoder(where=[{"column": "id", "op": "<=", "value": 5}])
    assert filtered.decode(7, record(None, row(9, UNAVAILABLE))) == Passed(MOMENT_MS)


@pytest.mark.parametrize("said", [(row(1, "a\0b"), None), (None, row(1, "a\0b"))], ids=["delete", "row"])
def test_a_text_that_postgres_cannot_hold_is_no_record_of_the_source(said: tuple[Any, Any]) -> None:
    """In a row, and in a key: it would stop whoever hands it to a Postgres."""
    columns = (Column("id", "int8", False), Column("name", "text", False), Column("total", "numeric"))
    by_name = Decoder(SCHEMA, Shape.build("public.t", ["name"], columns, Layout.model_validate({})))
    with pytest.raises(Undecodable, match="U\\+0000"):
        by_name.decode(7, record(*said, "d" if said[1] is None else "u"))


def test_one_such_text_among_many_is_found_alone() -> None:
    """Columns of a batch are taken together; the record that spoils it is told apart."""
    values = [record(None, row(number, "a\0b" if number == 9 else "a")) for number in range(MANY)]
    assert decoder().decode_many(range(MANY), values) == [None] * MANY


DATE, MOMENT = (
    {"type": kind, "connect.name": f"io.debezium.time.{name}"}
    for kind, name in (("int", "Date"), ("long", "MicroTimestamp"))
)


@pytest.mark.parametrize(
    ("type_name", "arrives"),
    [
        *(("bool", "string"), ("bytea", "string"), ("int4", "string"), ("date", "string"), ("float8", "float")),
        *(("date", MOMENT), ("timestamp", DATE), ("timestamp", ZONED), ("text", MOMENT), ("uuid", "long")),
    ],
)
def test_a_column_whose_type_was_changed_stops_its_table(type_name: str, arrives: Any) -> None:
    """A store would round a moment to its day, or keep a text among its numbers, and nobody would say so."""
    with pytest.raises(OtherForm, match=f"Column name does not arrive as {type_name}"):
        Decoder(arriving(arrives), named(type_name))


def test_what_was_written_before_a_type_was_changed_is_asked_for() -> None:
    """Where the SOT is known to have the type that the worker began with."""
    schema = arriving(ZONED)
    older = Decoder(schema, named("timestamp"), older=True)
    said = older.decode(7, record(None, row(1, "2024-01-01T00:00:00Z"), schema=schema))
    assert isinstance(said, Keyed)
    assert (said.key, said.record.partial) == (b"1", True)


def test_a_key_of_another_type_cannot_be_asked_for() -> None:
    """It says which row is meant."""
    other = copy.deepcopy(SCHEMA)
    other["fields"][0]["type"][1]["fields"][0]["type"] = "string"
    with pytest.raises(OtherForm, match="Column id"):
        Decoder(other, shape(), older=True)
