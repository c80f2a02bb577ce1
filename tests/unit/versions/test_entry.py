"""Tokens sort as they compare; entries survive their bytes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.versions.entry import TOKEN_BYTES, Entry, Position, Token

U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
TOKENS = st.builds(Token, U32, U64, U32)
ENTRIES = st.builds(
    Entry, TOKENS, st.none() | st.builds(Position, U32, U64), U64, st.lists(U64, max_size=40).map(tuple),
    st.none() | st.binary(min_size=16, max_size=16), st.booleans(),
)  # fmt: skip


@given(TOKENS, TOKENS)
def test_tokens_sort_alike_as_values_as_bytes_and_as_hex(one: Token, two: Token) -> None:
    """Stores compare the encoded form: its order is the order of (epoch, offset, refresh)."""
    assert (one < two) == (one.encode() < two.encode()) == (one.encode().hex() < two.encode().hex())


@given(TOKENS)
def test_a_token_survives_its_bytes(token: Token) -> None:
    """Fixed width, no loss."""
    assert Token.decode(token.encode()) == token
    assert len(token.encode()) == TOKEN_BYTES


@given(U32, U64, st.integers(0, 2**32 - 2))
def test_a_refresh_is_larger_but_below_the_next_record(epoch: int, offset: int, refresh: int) -> None:
    """A second SOT read for a record overrules the first and never a later record."""
    token = Token(epoch, offset, refresh)
    assert token < token.refreshed() < Token(epoch, offset + 1, 0)
    assert token.refreshed().record == token.record


@given(ENTRIES)
def test_an_entry_survives_its_bytes(entry: Entry) -> None:
    """Every field, with and without position, digest and unproven transactions."""
    assert Entry.decode(entry.encode()) == entry


@pytest.mark.parametrize("size", [0, 1, 15, 17])
def test_other_bytes_are_no_token(size: int) -> None:
    """Bytes of another width are refused."""
    with pytest.raises(struct.error):
        Token.decode(bytes(size))


def test_bytes_that_are_too_short_are_no_entry() -> None:
    """A cut-off value is refused, not padded."""
    entry = Entry(Token(1, 2, 0), None, 0, (), None)
    with pytest.raises(struct.error):
        Entry.decode(entry.encode()[:-1])
