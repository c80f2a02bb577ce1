"""Rows as DynamoDB items: exact, or refused with the reason; what nobody of us wrote reads as foreign."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.replicas.base import Held, Refused
from streams.replicas.dynamodb_items import ITEM_BYTES_MAX, ItemForm, Names, Unstorable, item_bytes, plain_number
from streams.replicas.foreign import is_foreign
from streams.rows.canonical import Row, encode
from streams.versions.entry import Token
from tests.unit.replicas.shapes import shape_of
from tests.unit.replicas.values import NUMBERS, OF_TYPE, TEXT, rows

TOKEN = Token(1, 2, 3)
EVERY = ItemForm(shape_of({name: name for name in OF_TYPE}, ["int2"]), Names())
PAIR = ItemForm(shape_of({"id": "int4", "price": "numeric", "ok": "bool", "raw": "bytea"}, ["id"]), Names())
TEXTUAL = ItemForm(shape_of({"a": "text", "b": "text", "note": "text"}, ["a", "b"]), Names())


@given(rows())
def test_every_type_survives_the_round_trip(row: Row) -> None:
    """Canonical text in, the same text out, with key and token."""
    item = EVERY.live(row, TOKEN)
    assert EVERY.held(item) == Held(TOKEN, row)
    assert EVERY.row_key(item) == encode(row[:1])


def test_readers_get_typed_attributes() -> None:
    """Numbers are N, booleans BOOL, bytes B, NULL is NULL."""
    assert PAIR.live(("7", "-1.5", "t", None), TOKEN) == {
        "id": {"N": "7"},
        "price": {"N": "-1.5"},
        "ok": {"BOOL": True},
        "raw": {"NULL": True},
        "holdtrue_token": {"S": "00000001000000000000000200000003"},
    }


def test_a_tombstone_holds_key_token_and_expiry_only() -> None:
    """It reads as no row."""
    item = TEXTUAL.tombstone(b"x\ty", TOKEN, 1_800_000_000)
    assert item["holdtrue_expires"] == {"N": "1800000000"}
    assert "note" not in item
    assert TEXTUAL.held(item) == Held(TOKEN, None)
    assert TEXTUAL.row_key(item) == b"x\ty"


@given(TEXT.filter(bool), TEXT.filter(bool))
def test_a_key_of_two_columns_is_read_back(a: str, b: str) -> None:
    """Partition key and sort key, in key order."""
    key = encode((a, b))
    assert list(TEXTUAL.key(key)) == ["a", "b"]
    assert TEXTUAL.row_key(TEXTUAL.key(key)) == key


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("1", "NaN", "t", None), "finite"),
        (("1", "-Infinity", "t", None), "finite"),
        (("1", "1" * 39, "t", None), "39 digits"),
        (("1", "0." + "1" * 39, "t", None), "39 digits"),
        (("1", "1" + "0" * 126, "t", None), "magnitudes"),
        (("1", "0." + "0" * 130 + "1", "t", None), "magnitudes"),
        (("1", "1.50", "t", None), "canonical"),
        (("1", "1", "t", "\\x" + "00" * ITEM_BYTES_MAX), "bytes"),
    ],
)
def test_what_cannot_be_held_exactly_is_refused(row: Row, words: str) -> None:
    """Before it is sent, with a reason that names no value."""
    with pytest.raises(Unstorable, match=words) as caught:
        PAIR.live(row, TOKEN)
    assert str(row[1]) not in str(caught.value) or row[1] == "1"


@pytest.mark.parametrize("text", ["1" * 38, "1" + "0" * 125, "0." + "0" * 129 + "1", "-0.5", "1" * 38 + "000"])
def test_the_largest_and_smallest_numbers_are_held(text: str) -> None:
    """Zeros at the ends are no digits."""
    assert PAIR.held(PAIR.live(("1", text, None, None), TOKEN)).row == ("1", text, None, None)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("", "y", None), "'a' is empty"),
        (("x", "", None), "'b' is empty"),
        (("é" * 1025, "y", None), "2050 bytes"),
        (("x", "y" * 1025, None), "1025 bytes"),
    ],
)
def test_a_key_dynamodb_does_not_allow_is_refused(row: Row, words: str) -> None:
    """Empty, or too long in bytes."""
    with pytest.raises(Unstorable, match=words):
        TEXTUAL.live(row, TOKEN)
    with pytest.raises(Unstorable, match=words):
        TEXTUAL.tombstone(encode(row[:2]), TOKEN, 1)


def test_the_size_limit_counts_names_and_bytes() -> None:
    """One byte more than 400 KB is too much."""
    base = item_bytes(TEXTUAL.live(("x", "y", ""), TOKEN))
    TEXTUAL.live(("x", "y", "z" * (ITEM_BYTES_MAX - base)), TOKEN)
    with pytest.raises(Unstorable, match="would have 409601"):
        TEXTUAL.live(("x", "y", "z" * (ITEM_BYTES_MAX - base + 1)), TOKEN)


@given(NUMBERS, st.integers(0, 5))
def test_numbers_in_any_spelling_come_back_plain(text: str, zeros: int) -> None:
    """Exponents and zeros at the end are DynamoDB's, not Postgres's."""
    assert plain_number(f"{Decimal(text):E}") == text
    assert plain_number(text + ("." if "." not in text else "") + "0" * zeros) == text


GOOD: dict[str, Any] = {**PAIR.live(("7", "1.5", "t", "\\x00"), TOKEN)}


@pytest.mark.parametrize(
    ("change", "marked"),
    [
        ({"price": {"S": "1.5"}}, [1]),
        ({"price": {"L": []}}, [1]),
        ({"ok": {"S": "t"}}, [2]),
        ({"ok": {"BOOL": 1}}, [2]),
        ({"raw": {"S": "\\x00"}}, [3]),
        ({"raw": {"NULL": False}}, [3]),
        ({"more": {"S": "x"}}, [0, 1, 2, 3]),
        ({"holdtrue_expires": {"N": "1"}}, [0, 1, 2, 3]),
    ],
)
def test_attributes_nobody_of_us_wrote_read_as_foreign(change: dict[str, Any], marked: list[int]) -> None:
    """Another type marks its column, another attribute the row; the token is still read."""
    token, row = PAIR.held({**GOOD, **change})
    assert token == TOKEN
    assert row is not None
    assert [place for place, value in enumerate(row) if is_foreign((value,))] == marked


def test_a_missing_attribute_reads_as_foreign() -> None:
    """Absent is not NULL."""
    row = PAIR.held({name: value for name, value in GOOD.items() if name != "ok"}).row
    assert row is not None
    assert is_foreign(row)


@pytest.mark.parametrize("alien", [{"S": "zz"}, {"S": "A" * 32}, {"N": "5"}, {"NULL": True}, {"S": "0" * 33}])
def test_a_token_that_is_none_of_ours_counts_as_none(alien: dict[str, Any]) -> None:
    """Older than anything, as on every store."""
    assert PAIR.held({**GOOD, "holdtrue_token": alien}).token is None


@pytest.mark.parametrize("number", ["1.5", "99999999999", "1E+20"])
def test_an_item_whose_key_no_row_can_have_has_no_row_key(number: str) -> None:
    """A scan leaves it out; counting shows it."""
    assert PAIR.row_key({**GOOD, "id": {"N": number}}) is None


@pytest.mark.parametrize(
    ("columns", "key", "words"),
    [
        ({"a": "int4", "b": "int4", "c": "int4"}, ["a", "b", "c"], "at most two"),
        ({"a": "bool"}, ["a"], "is a bool"),
        ({"a": "int4", "holdtrue_token": "text"}, ["a"], "holdtrue_token"),
    ],
)
def test_tables_dynamodb_cannot_take_are_refused(columns: dict[str, str], key: list[str], words: str) -> None:
    """At once, with the reason and what to do."""
    with pytest.raises(Refused, match=words) as caught:
        ItemForm(shape_of(columns, key), Names())
    assert caught.value.hint


def test_key_types_follow_the_columns() -> None:
    """Partition key first."""
    form = ItemForm(shape_of({"b": "bytea", "n": "numeric"}, ["n", "b"]), Names())
    assert list(form.key_types.items()) == [("n", "N"), ("b", "B")]
