"""Canonical bytes: one row, one line, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.rows.canonical import Row, decode, encode

VALUE = st.none() | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
ROWS = st.lists(VALUE, min_size=1, max_size=6).map(tuple)


@given(ROWS)
def test_a_row_survives_its_bytes(row: Row) -> None:
    """`decode` is the inverse of `encode`, for every text Postgres can hold."""
    assert decode(encode(row)) == row


@given(ROWS, ROWS)
def test_different_rows_have_different_bytes(one: Row, two: Row) -> None:
    """A digest of the bytes stands for the row: NULL, the empty text and the text \\N are three values."""
    assert (encode(one) == encode(two)) == (one == two)


@given(ROWS)
def test_a_line_holds_no_newline_and_a_tab_only_between_values(row: Row) -> None:
    """What splits lines and cells may not be in them."""
    line = encode(row)
    assert b"\n" not in line
    assert line.count(b"\t") == len(row) - 1


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (("1", None, ""), b"1\t\\N\t"),
        (("\\N", "a\tb"), b"\\\\N\ta\\tb"),
        (("\b\f\v\r\n", "é"), b"\\b\\f\\v\\r\\n\t\xc3\xa9"),
    ],
)
def test_lines_are_those_of_copy(row: Row, line: bytes) -> None:
    """Byte for byte what `COPY … TO STDOUT` prints."""
    assert encode(row) == line
