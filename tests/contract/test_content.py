"""Reading: content as it is stored, never as it is remembered; every type comes back as its canonical text."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.replicas.base import Held, Outcome, ReplicaTable
from streams.rows.canonical import Row
from tests.contract.harness import Harness, MakeTable
from tests.support.shapes import key_of, make_shape
from tests.support.writes import bury, put, token

SHAPE = make_shape({"id": "int8", "owner": "text", "balance": "numeric"}, ["id"])

TYPED = make_shape(
    {
        "owner": "text",
        "id": "int4",
        "small": "int2",
        "big": "int8",
        "flag": "bool",
        "label": "varchar",
        "code": "bpchar",
        "price": "numeric",
        "ratio": "float4",
        "score": "float8",
        "ref": "uuid",
        "raw": "bytea",
        "day": "date",
        "moment": "timestamp",
        "instant": "timestamptz",
        "hour": "time",
        "doc": "json",
        "tree": "jsonb",
    },
    ["id"],
    table="public.contract_typed",
)

ORDINARY: Row = (
    "Zoë",
    "-7",
    "32767",
    "9223372036854775807",
    "t",
    "a label",
    "ab ",
    "1234567.89",
    "0.1",
    "1e+300",
    "7d0ae2ae-6bd5-4f77-8d4f-0b5f3ee4a1f2",
    "\\xdeadbeef00",
    "2024-02-29",
    "2024-02-29 23:59:59.123456",
    "2024-02-29 23:59:59.5+00",
    "12:34:56.000001",
    '{"b": 1,  "a": [null, "x\\ty"]}',
    '{"a": 1, "b": [true, 1.50]}',
)
ODD: Row = (
    "tab\tnewline\nreturn\rback\\slash \\N \b\f\v \x01 quote\" 'single' {} 😀",
    "0",
    "-32768",
    "-9223372036854775808",
    "f",
    "",
    "   ",
    "-0.000000000000000000001",
    "-3.4028235e+38",
    "5e-324",
    "00000000-0000-0000-0000-000000000000",
    "\\x",
    "0001-01-01",
    "1901-12-13 20:45:52",
    "1969-12-31 23:59:59.999999+00",
    "00:00:00",
    "null",
    '""',
)
EMPTY: Row = (None, "1", *[None] * 16)


@pytest.fixture
def table(make_table: MakeTable) -> ReplicaTable:
    return make_table(SHAPE)


@pytest.mark.parametrize("row", [ORDINARY, ODD, EMPTY], ids=["ordinary", "odd", "nulls"])
def test_every_type_comes_back_as_it_was_written(make_table: MakeTable, row: Row) -> None:
    """Canonical text in, the same canonical text out, whatever the store keeps inside."""
    table, key = make_table(TYPED), key_of(TYPED, row)
    assert table.apply([put(TYPED, row, token(1))])[0].outcome is Outcome.applied
    assert table.read([key]) == {key: Held(token(1), row)}
    assert [pair for chunk in table.scan(10) for pair in chunk] == [(key, Held(token(1), row))]


EXTREMES = {
    "price": [
        "NaN",
        "Infinity",
        "123456789012345678901234567890123456789012345678901234567890.5",
        "1" + "0" * 130,
    ],
    "score": ["NaN", "Infinity", "-Infinity", "-0"],
    "ratio": ["NaN", "-Infinity", "1e-45"],
    "day": ["infinity", "-infinity", "0044-03-15 BC", "294276-12-31"],
    "moment": ["infinity", "4713-01-01 00:00:00 BC"],
    "instant": ["-infinity", "294276-12-31 23:59:59.999999+00"],
    "hour": ["24:00:00"],
}


@pytest.mark.parametrize(("column", "value"), [(c, v) for c, values in EXTREMES.items() for v in values])
def test_an_extreme_value_is_held_exactly_or_refused(make_table: MakeTable, column: str, value: str) -> None:
    """A store may say that it cannot hold a value; it never holds another one in its place."""
    table = make_table(TYPED)
    row = tuple(value if name == column else old for name, old in zip(TYPED.target_columns, ORDINARY, strict=True))
    result = table.apply([put(TYPED, row, token(1))])[0]
    key = key_of(TYPED, row)
    if result.outcome is Outcome.refused:
        assert result.reason
        assert value not in result.reason
        assert table.read([key]) == {}
    else:
        assert table.read([key]) == {key: Held(token(1), row)}


def test_unknown_keys_are_left_out(table: ReplicaTable) -> None:
    """No answer is not the answer "deleted"."""
    table.apply([bury(b"2", token(1))])
    assert table.read([b"1", b"2"]) == {b"2": Held(token(1), None)}
    assert table.read([]) == {}


def test_a_rogue_change_shows_in_the_content_under_the_old_token(harness: Harness, table: ReplicaTable) -> None:
    """A changed, a removed and a resurrected row: content tells, the token stays."""
    rows: list[Row] = [(str(n), "ours", "1") for n in (1, 2, 3)]
    table.apply([put(SHAPE, row, token(1)) for row in rows])
    table.apply([bury(b"3", token(2))])
    harness.plant(table, b"1", ("1", "theirs", "1"))
    harness.plant(table, b"2", None)
    harness.plant(table, b"3", ("3", "back", "2.5"))
    assert table.read([b"1", b"2", b"3"]) == {
        b"1": Held(token(1), ("1", "theirs", "1")),
        b"2": Held(token(1), None),
        b"3": Held(token(2), ("3", "back", "2.5")),
    }


def test_a_rogue_change_makes_an_equal_token_a_conflict(harness: Harness, table: ReplicaTable) -> None:
    """Duplicate is decided on stored content: a replay over a rogue write is not called done."""
    write = put(SHAPE, ("1", "ours", "1"), token(1))
    table.apply([write])
    harness.plant(table, b"1", ("1", "theirs", "1"))
    assert table.apply([write])[0].outcome is Outcome.conflict


def test_a_newer_write_heals_rogue_content(harness: Harness, table: ReplicaTable) -> None:
    """Whatever somebody did to the content, the next winner leaves exactly its own row, or none."""
    table.apply([put(SHAPE, (str(n), "ours", "1"), token(1)) for n in (1, 2)])
    table.apply([bury(b"3", token(1))])
    harness.plant(table, b"1", None)
    harness.plant(table, b"2", ("2", "theirs", "1"))
    harness.plant(table, b"3", ("3", "theirs", "1"))
    table.apply(
        [put(SHAPE, ("1", "new", "1"), token(2)), put(SHAPE, ("2", "new", "1"), token(2)), bury(b"3", token(2))]
    )
    assert table.read([b"1", b"2", b"3"]) == {
        b"1": Held(token(2), ("1", "new", "1")),
        b"2": Held(token(2), ("2", "new", "1")),
        b"3": Held(token(2), None),
    }


def test_scan_gives_every_live_row_once_in_bounded_chunks(harness: Harness, table: ReplicaTable) -> None:
    """Live rows with their tokens, planted ones with none; tombstones and removed rows are not rows."""
    table.apply([put(SHAPE, (str(n), None, f"{n}"), token(n)) for n in range(1, 251)])
    live = {str(n).encode(): Held(token(n), (str(n), None, f"{n}")) for n in range(1, 251)}
    table.apply([bury(b"17", token(1000)), bury(b"999", token(1000))])
    harness.plant(table, b"300", ("300", "rogue", "1"))
    harness.plant(table, b"40", None)
    del live[b"17"], live[b"40"]
    live[b"300"] = Held(None, ("300", "rogue", "1"))
    chunks = list(table.scan(60))
    assert sorted(pair for chunk in chunks for pair in chunk) == sorted(live.items())
    assert max(map(len, chunks)) <= 120
    assert len(chunks) > 1
    listed = list(table.keys(60))
    assert sorted(key for chunk in listed for key in chunk) == sorted(live)
    assert len(listed) > 1
    assert table.count() == len(live)


def test_an_empty_table_scans_to_nothing(table: ReplicaTable) -> None:
    """No chunk with no rows in it."""
    assert list(table.scan(10)) == []
    assert table.count() == 0


def test_prepare_twice_keeps_what_is_there(table: ReplicaTable) -> None:
    """A restart prepares again."""
    table.apply([put(SHAPE, ("1", "x", "1"), token(1))])
    table.prepare()
    assert table.read([b"1"]) == {b"1": Held(token(1), ("1", "x", "1"))}


COMPOSITE = make_shape({"note": "text", "b": "text", "a": "int4"}, ["a", "b"], table="public.contract_pair")
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.dictionaries(st.tuples(st.integers(-9, 9), TEXT), TEXT | st.none(), min_size=1, max_size=20))
def test_any_text_survives_in_keys_and_values(make_table: MakeTable, rows: dict[tuple[int, str], str | None]) -> None:
    """A key of several columns, not in the row's order, of any text: tabs, backslashes, emoji, the empty string."""
    table = make_table(COMPOSITE)
    writes = [put(COMPOSITE, (note, b, str(a)), token(1)) for (a, b), note in rows.items()]
    results = table.apply(writes)
    held = {w.key: Held(w.token, w.row) for w, r in zip(writes, results, strict=True) if r.outcome is Outcome.applied}
    assert {result.outcome for result in results} <= {Outcome.applied, Outcome.refused}
    assert table.read([write.key for write in writes]) == held
    assert sorted(pair for chunk in table.scan(7) for pair in chunk) == sorted(held.items())


KEYS_ONLY = make_shape({"a": "int4", "b": "text"}, ["a", "b"], table="public.contract_keys")


def test_a_table_of_key_columns_only(make_table: MakeTable) -> None:
    """A row may have nothing but its key."""
    table = make_table(KEYS_ONLY)
    row: Row = ("1", "x")
    for number in (1, 2):
        assert table.apply([put(KEYS_ONLY, row, token(number))])[0].outcome is Outcome.applied
    assert table.read([b"1\tx"]) == {b"1\tx": Held(token(2), row)}
    table.apply([bury(b"1\tx", token(3))])
    assert table.read([b"1\tx"]) == {b"1\tx": Held(token(3), None)}
