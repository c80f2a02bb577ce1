"""What a mapping does to rows."""

from __future__ import annotations

from decimal import Decimal

import pytest

from streams.plan.mapping import Column, MappingError, Row, Shape
from tests.unit.plan.plans import mapping, shape

ID, KIND, AMOUNT, NOTE = (
    Column("id", "int4", False),
    Column("kind", "bpchar"),
    Column("amount", "numeric"),
    Column("note", "text"),
)
COLUMNS = [ID, KIND, AMOUNT, NOTE]


def test_one_to_one() -> None:
    """Without rename or omit every column is kept, in the table's order, under its own name."""
    plain = shape(COLUMNS, ["id"])
    assert [c.name for c in plain.source_columns] == ["id", "kind", "amount", "note"]
    assert plain.target_columns == ("id", "kind", "amount", "note")
    assert (plain.key_columns, plain.key_index, plain.target_key) == (("id",), (0,), ("id",))
    assert plain.read_columns == plain.source_columns
    assert plain.where_on_key_only
    assert plain.keeps(("1", None, None, None))
    assert plain.where_sql() == ("TRUE", ())


def test_rename_and_omit() -> None:
    """Left-out columns are gone, renamed ones keep their place."""
    other = shape(COLUMNS, ["id"], columns={"rename": {"amount": "sum", "id": "no"}, "omit": ["note"]})
    assert other.target_columns == ("no", "kind", "sum")
    assert other.target_key == ("no",)
    assert other.stored(("1", "a", "2")) == ("1", "a", "2")


def test_keys_keep_the_plans_order() -> None:
    """A key of several columns is read in the order the plan gives, wherever the columns are."""
    other = shape(COLUMNS, ["amount", "id"])
    assert other.key_index == (2, 0)
    assert other.key_of(("1", "a", "2", None)) == ("2", "1")


def test_a_filter_on_an_omitted_column_reads_it_after_the_kept_ones() -> None:
    """The replica does not get the column, the decision does."""
    other = shape(COLUMNS, ["id"], columns={"omit": ["kind"]}, where=[{"column": "kind", "op": "=", "value": "a"}])
    assert [c.name for c in other.read_columns] == ["id", "amount", "note", "kind"]
    row = other.projector(["note", "kind", "amount", "id", "more"])(("n", "a  ", "2", "1", "x"))
    assert row == ("1", "2", "n", "a  ")
    assert other.keeps(row)
    assert other.stored(row) == ("1", "2", "n")
    assert not other.where_on_key_only


def test_a_projector_of_one_column_still_gives_rows() -> None:
    """A table with nothing but its key is a table."""
    assert shape([ID], ["id"]).projector(["x", "id"])(("y", "1")) == ("1",)


def test_the_key_alone_decides_where_the_filter_is_on_it() -> None:
    """A delete that carries only the key can be decided."""
    keyed = shape(COLUMNS, ["kind", "id"], where=[{"column": "id", "op": "<=", "value": 20}])
    assert keyed.where_on_key_only
    assert [keyed.keeps_key(("x", text)) for text in ("9", "20", "21", "100")] == [True, True, False, False]


@pytest.mark.parametrize(
    ("type_name", "op", "value", "kept", "dropped"),
    [
        ("int4", "<=", 20, ["-1", "9", "20"], ["21", "100", None]),
        ("int8", "!=", 5, ["4"], ["5", None]),
        ("int4", "<", "2.5", ["2"], ["3"]),
        ("numeric", "=", "1.10", ["1.1"], ["1.11", "NaN", None]),
        ("numeric", ">", 10, ["10.5", "9999999999999999999999", "NaN", "Infinity"], ["9.9", "-Infinity"]),
        ("float8", ">=", "0.1", ["0.1", "NaN", "Infinity"], ["0.09999999999999999", "-Infinity"]),
        ("float4", "=", "0.1", [], ["0.1"]),
        ("float4", "=", "0.5", ["0.5"], ["0.25"]),
        ("bool", "=", True, ["t"], ["f", None]),
        ("text", "=", "10", ["10"], ["10.0", "1", "10 ", None]),
        ("bpchar", "in", ["ab", "c"], ["ab   ", "c"], ["abc", "a", None]),
        ("uuid", "=", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"], [None]),
        ("text", "is_null", None, [None], ["", "x"]),
        ("text", "is_null", False, ["", "x"], [None]),
        ("timestamptz", "!=", "2024-05-31 08:00:00.5+00", ["2024-05-31 08:00:00+00"], ["2024-05-31 08:00:00.5+00"]),
    ],
)
def test_comparisons_follow_the_type(
    type_name: str, op: str, value: object, kept: list[str | None], dropped: list[str | None]
) -> None:
    """Numbers compare as numbers, all else as text; NULL is never kept but by is_null."""
    given = Decimal(value) if isinstance(value, str) and type_name in ("int4", "numeric", "float4", "float8") else value
    columns = [ID, Column("c", type_name)]
    other = shape(columns, ["id"], where=[{"column": "c", "op": op, "value": given}])
    rows: list[Row] = [("1", text) for text in (*kept, *dropped)]
    assert [other.keeps(row) for row in rows] == [True] * len(kept) + [False] * len(dropped)


@pytest.mark.parametrize(
    ("type_name", "op", "value"),
    [
        ("text", "<", 5),
        ("text", "=", 5),
        ("int4", "=", "5"),
        ("int4", "=", True),
        ("bool", "=", "t"),
        ("bool", "<", 1),
        ("date", "=", "31.5.2024"),
        ("timestamp", "=", "2024-05-31"),
        ("uuid", "=", "x"),
        ("bytea", "=", "abc"),
    ],
)
def test_a_value_that_cannot_match_the_type_is_refused(type_name: str, op: str, value: object) -> None:
    """A filter that would silently keep nothing is an error instead."""
    with pytest.raises(MappingError, match="column c"):
        shape([ID, Column("c", type_name)], ["id"], where=[{"column": "c", "op": op, "value": value}])


@pytest.mark.parametrize("value", ["1e400", "1e-500", "1e999999"])
def test_numbers_beyond_reason_are_refused(value: str) -> None:
    """A value no double can hold, or whose digits would fill the memory."""
    with pytest.raises(MappingError, match="out of range"):
        shape([ID, Column("c", "float8")], ["id"], where=[{"column": "c", "op": "=", "value": Decimal(value)}])


@pytest.mark.parametrize(
    "fields",
    [
        {"columns": {"omit": ["nope"]}},
        {"columns": {"ask": ["nope"]}},
        {"columns": {"ask": ["id"]}},
        {"columns": {"ask": ["note"], "omit": ["note"]}},
        {"columns": {"rename": {"nope": "x"}}},
        {"columns": {"rename": {"note": "kind"}}},
        {"columns": {"omit": ["id"]}},
        {"where": [{"column": "nope", "op": "=", "value": 1}]},
        {"columns": {"round": {"nope": 2}}},
        {"columns": {"cut": {"nope": 2}}},
        {"columns": {"round": {"id": 2}}},
        {"columns": {"cut": {"note": 2}, "omit": ["note"]}},
        {"columns": {"cut": {"note": 2}, "round": {"note": 2}}},
        {"columns": {"cut": {"kind": 2}}},
        {"columns": {"round": {"note": 2}}},
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(fields: dict[str, object]) -> None:
    """Unknown columns, colliding names, a key that is left out, values that cannot be rounded or cut."""
    with pytest.raises(MappingError, match=r"public\.t"):
        Shape.build("public.t", ["id"], COLUMNS, mapping(**fields))


def test_what_is_stored_is_rounded_and_cut() -> None:
    """Each column by its own word, NULL stays; of many rows by columns the same."""
    less = shape(COLUMNS, ["id"], columns={"round": {"amount": 1}, "cut": {"note": 3}, "rename": {"note": "n"}})
    rows: list[Row] = [("1", "a ", "2.25", "four"), ("2", None, None, None), ("3", "b", "-0.04", "one")]
    stored: list[Row] = [("1", "a ", "2.3", "fou"), ("2", None, None, None), ("3", "b", "0", "one")]
    assert [less.stored(row) for row in rows] == stored
    assert list(zip(*less.stored_columns([*zip(*rows, strict=True)]), strict=True)) == stored
    assert not less.is_stored_as_read
    assert [str(less.loss_of(column)) for column in COLUMNS] == ["None", "None", "round: 1", "cut: 3"]


def test_rows_that_lose_nothing_are_not_touched() -> None:
    """They cost nothing: the very row, the very columns."""
    whole = shape(COLUMNS, ["id"])
    row, columns = ("1", "a", "2", None), [["1"], ["a"], ["2"], [None]]
    assert whole.is_stored_as_read
    assert whole.stored(row) is row
    assert whole.stored_columns(columns) is columns


def test_a_filter_looks_at_the_whole_value() -> None:
    """What the replica gets of it comes after the decision."""
    where = [{"column": "amount", "op": "<", "value": Decimal(2)}]
    less = shape(COLUMNS, ["id"], columns={"round": {"amount": 0}}, where=where)
    rows: list[Row] = [("1", "a", "1.9", None), ("2", "a", "2", None)]
    assert [less.keeps(row) for row in rows] == [True, False]
    assert less.stored(rows[0]) == ("1", "a", "2", None)


def test_names_may_be_swapped() -> None:
    """A name is only taken if its column keeps it."""
    swapped = shape(COLUMNS, ["id"], columns={"rename": {"kind": "note", "note": "kind"}})
    assert swapped.target_columns == ("id", "note", "amount", "kind")


def test_the_mapping_version_is_what_the_mapping_does() -> None:
    """It is stable, ignores policies and filter order, and changes with anything a row depends on."""
    where = [{"column": "id", "op": "<", "value": 5}, {"column": "kind", "op": "=", "value": "a"}]
    base = shape(COLUMNS, ["id"], where=where)
    assert base.mapping_version == shape(COLUMNS, ["id"], where=where[::-1], on_failure="hold").mapping_version
    assert shape(COLUMNS, ["id"]).mapping_version == "eb2c9554706b"
    others = [
        shape(COLUMNS, ["id"]),
        shape(COLUMNS, ["id"], where=where[:1]),
        shape(COLUMNS, ["kind", "id"], where=where),
        shape(COLUMNS, ["id"], where=where, columns={"omit": ["note"]}),
        shape(COLUMNS, ["id"], where=where, columns={"rename": {"note": "n"}}),
        shape([*COLUMNS, Column("more", "text")], ["id"], where=where),
        shape(COLUMNS, ["id"], where=where, columns={"round": {"amount": 2}}),
        shape(COLUMNS, ["id"], where=where, columns={"round": {"amount": 3}}),
        shape(COLUMNS, ["id"], where=where, columns={"cut": {"note": 2}}),
    ]
    assert len({base.mapping_version, *(other.mapping_version for other in others)}) == len(others) + 1


def test_identifiers_in_sql_are_quoted() -> None:
    """A column name is data: quotes and percent signs in it do no harm."""
    odd = Column('a"b%s', "int4")
    sql, params = shape([ID, odd], ["id"], where=[{"column": odd.name, "op": "in", "value": [1, 2]}]).where_sql()
    assert sql == '("a""b%%s" IN (%s::int8, %s::int8))'
    assert params == ("1", "2")
