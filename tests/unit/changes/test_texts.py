"""Texts of a whole column are the texts of each of its values."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.changes.columns import Block, Column, Nullable, Numbers, Spans, Texts
from streams.changes.texts import texts
from streams.changes.values import UNAVAILABLE, binary, decimal, identity, number, timestamp, zoned


def spans(values: list[bytes]) -> Spans:
    block = Block(values)
    return Spans(block, block.starts, block.ends)


@given(st.lists(st.binary(max_size=20), max_size=6) | st.lists(st.binary(min_size=1, max_size=7), max_size=6))
@pytest.mark.parametrize("scale", [-2, 0, 1, 2, 3, 4, 9, 15, 16, 40])
def test_decimals(scale: int, unscaled: list[bytes]) -> None:
    """Of every width, sign and scale."""
    convert = partial(decimal, scale)
    assert [*texts(spans(unscaled), convert)] == [convert(value) for value in unscaled]


@pytest.mark.parametrize("value", [0, 1, -1, 99, -99, 100, -100, 127, -128, 12345, -(2**55), 2**55 - 1])
def test_decimals_at_their_edges(value: int) -> None:
    """Fractions of zeros, a negative fraction without a whole, the widest number of seven bytes."""
    octets = value.to_bytes((value.bit_length() + 8) // 8, "big", signed=True)
    assert [*texts(spans([octets, b"\x01"]), partial(decimal, 2))] == [decimal(2, octets), "0.01"]


WORDS = st.sampled_from(["NAN", "POSITIVE_INFINITY", "NEGATIVE_INFINITY", "0.0000000", "0.00000000", UNAVAILABLE])
NUMERICS = WORDS | st.decimals(allow_nan=False, allow_infinity=False, places=2).map(lambda value: f"{abs(value):f}")


@given(st.lists(NUMERICS | st.builds("{}.{}".format, st.integers(-9, 10**9), st.text("01", min_size=1)), max_size=9))
def test_numerics_that_come_as_text(sent: list[str]) -> None:
    """Of every length, with zeros anywhere; and each is the number that was sent."""
    found = [*texts(Texts(spans([value.encode() for value in sent])), number)]
    assert found == [number(value) for value in sent]
    for value, text in zip(sent, found, strict=True):
        if value[-1:].isdigit():
            assert Decimal(text) == Decimal(value)
            assert "." not in text or not text.endswith(("0", "."))


@given(st.lists(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999), max_size=6))
def test_timestamps(moments: list[int]) -> None:
    """Between the years 1 and 9999, with and without a fraction."""
    assert [*texts(Numbers(np.array(moments, np.int64)), timestamp)] == [timestamp(moment) for moment in moments]


FAR = [2**63 - 1, 9_223_372_036_825_200_000, -210_866_803_200_000_000, 253_402_300_800_000_000]


@given(st.lists(st.sampled_from(FAR) | st.integers(-(10**17), 10**18), max_size=6))
def test_timestamps_of_every_year(moments: list[int]) -> None:
    """Infinity and years BC among others."""
    assert [*texts(Numbers(np.array(moments, np.int64)), timestamp)] == [timestamp(moment) for moment in moments]


def test_a_timestamp_without_a_form_is_refused() -> None:
    """As when it is alone."""
    for convert in (lambda: timestamp(-(2**63)), lambda: texts(Numbers(np.array([0, -(2**63)])), timestamp)):
        with pytest.raises(ValueError, match="before the first"):
            convert()


@given(st.lists(st.text(max_size=9), max_size=6))
def test_texts_of_every_script(values: list[str]) -> None:
    """One of them that is not ASCII changes none of the others."""
    column = Texts(spans([value.encode() for value in values]))
    assert [*texts(column, identity)] == values


@pytest.mark.parametrize(
    ("column", "convert", "expected"),
    [
        (Numbers(np.array([1, -5])), str, ["1", "-5"]),
        (spans([b"\x00", b""]), binary, ["\\x00", "\\x"]),
        (Texts(spans([b"2024-01-01T00:00:00.250000Z"])), zoned, ["2024-01-01 00:00:00.25+00"]),
    ],
    ids=["numbers", "bytes", "text with a form"],
)
def test_other_types_value_by_value(column: Column, convert: Any, expected: list[str]) -> None:
    """Whatever has no way of its own for many."""
    assert [*texts(column, convert)] == expected


def test_nulls_stay_where_they_were() -> None:
    """A conversion never sees them."""
    column = Nullable(Numbers(np.array([7])), np.array([1]), 3)
    assert [*texts(column, str)] == [None, "7", None]
