"""What is stored of a value that a mapping rounds or cuts; tests/integration/plan asks Postgres itself."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.changes.values import UNAVAILABLE, number, timestamp
from streams.plan.losses import Loss, Word, cut_text, loss, rounded_moment, rounded_number, rounded_time

NUMERALS = st.decimals(allow_nan=False, allow_infinity=False, places=None).map(lambda value: number(f"{value:f}"))
EPOCH, POSTGRES_EPOCH = datetime(1970, 1, 1), datetime(2000, 1, 1)

STRANGE = r"-?\d*\.\d*[x٣²]?|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+"


@given(NUMERALS, st.integers(0, 12))
def test_numbers_are_rounded_as_decimals_are(text: str, digits: int) -> None:
    """Half away from zero, printed as numerics are: no zeros at the end, no negative zero."""
    exact = Context(prec=10_000, rounding=ROUND_HALF_UP).quantize(Decimal(text), Decimal(1).scaleb(-digits))
    assert rounded_number(digits, text) == number(f"{exact if exact else Decimal(0):f}")


@given(st.integers(-(10**16), 10**16), st.integers(0, 6))
def test_moments_are_rounded_away_from_2000(microseconds: int, digits: int) -> None:
    """As integers of microseconds from there, which is how Postgres does it."""
    base, unit = (POSTGRES_EPOCH - EPOCH) // timedelta(microseconds=1), 10 ** (6 - digits)
    away = abs(microseconds - base)
    rounded = (away + unit // 2) // unit * unit
    wanted = timestamp(base + (rounded if microseconds >= base else -rounded))
    assert rounded_moment(digits, timestamp(microseconds)) == wanted


@pytest.mark.parametrize(
    ("given_text", "wanted"),
    [
        ("2024-02-28 23:59:59.5", "2024-02-29 00:00:00"),
        ("2024-02-28 23:59:59.5+00", "2024-02-29 00:00:00+00"),
        ("1999-12-31 23:59:59.5", "1999-12-31 23:59:59"),
        ("1999-12-31 23:59:59.500001", "2000-01-01 00:00:00"),
        ("0001-12-31 23:59:59.6+00 BC", "0001-01-01 00:00:00+00"),
        ("0045-12-31 23:59:59.6 BC", "0044-01-01 00:00:00 BC"),
        ("12000-12-31 23:59:59.6", "12001-01-01 00:00:00"),
        ("infinity", "infinity"),
    ],
)
def test_moments_whose_second_carries(given_text: str, wanted: str) -> None:
    """Into the next day, year and era; infinity has no second."""
    assert rounded_moment(0, given_text) == wanted


def test_the_last_second_of_a_day_may_become_24_oclock() -> None:
    """A time of day has no next day."""
    assert [rounded_time(2, text) for text in ("23:59:59.995", "00:00:00.004", "09:59:59.995", "24:00:00")] == [
        "24:00:00", "00:00:00", "10:00:00", "24:00:00",
    ]  # fmt: skip


@given(st.text(), st.integers(1, 9))
def test_texts_keep_their_first_characters(text: str, characters: int) -> None:
    """Characters, not bytes; a shorter text stays."""
    kept = cut_text(characters, text)
    assert text.startswith(kept)
    assert len(kept) == min(characters, len(text))


@given(st.text() | st.from_regex(STRANGE, fullmatch=True), st.integers(0, 6))
def test_what_is_no_such_value_harms_nothing(text: str, digits: int) -> None:
    """A stranger's record may hold anything; whether it can be stored is the store's to say."""
    for kind in ("numeric", "timestamp", "time"):
        assert isinstance(loss("round", digits, kind).of(text), str)


@pytest.mark.parametrize("kind", ["numeric", "timestamp", "timestamptz", "time"])
def test_what_was_not_sent_and_what_has_no_digits_stays(kind: str) -> None:
    """The placeholder of an unchanged TOAST value, NaN, infinities."""
    kept = [UNAVAILABLE, "NaN", "Infinity", "-Infinity", "infinity", "-infinity"]
    assert [loss("round", 0, kind).of(text) for text in kept] == kept


@pytest.mark.parametrize(
    ("word", "limit", "kind", "why"),
    [
        ("round", 2, "float8", "its digits are binary"),
        ("round", 2, "float4", "its digits are binary"),
        ("round", 2, "int4", "only numeric, timestamp, timestamptz and time can be rounded"),
        ("round", 2, "date", "only numeric"),
        ("round", 7, "timestamptz", "at most 6 digits of a second"),
        ("cut", 2, "bpchar", "padded to one length"),
        ("cut", 2, "numeric", "only text and varchar can be cut"),
        ("cut", 2, "jsonb", "only text and varchar can be cut"),
    ],
)
def test_types_that_cannot(word: Word, limit: int, kind: str, why: str) -> None:
    """With the reason."""
    with pytest.raises(ValueError, match=why):
        loss(word, limit, kind)


def test_a_loss_is_shown_as_the_plan_has_it() -> None:
    """In the sentence about a replica's column."""
    assert str(Loss("round", 2, str)) == "round: 2"
