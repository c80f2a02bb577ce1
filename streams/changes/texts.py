"""Canonical texts of whole columns: the conversions of `values`, for many values at once where that is faster."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from streams.changes.columns import Column, Nullable, Numbers, Spans, Texts
from streams.changes.values import (
    DAY_US,
    FIRST_US,
    LAST_US,
    MINUTES,
    TWO_DIGITS,
    ToText,
    day,
    decimal,
    fraction,
    identity,
    number,
    timestamp,
)

_SECOND_US = 1_000_000
# Wider numbers do not fit the arithmetic here.
_DECIMAL_BYTES_MAX = 7
_DECIMAL_SCALE_MAX = 15
# The same byte in every place of a word: a digit that may say nothing, a point, what neither digit, point nor sign has.
_ZEROS, _POINTS, _OTHERS = (np.uint64(byte * 0x0101010101010101) for byte in (ord("0"), ord("."), 0xC0))
_LOWEST, _HIGHEST = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_WORD_BYTES, _ONE = 8, np.uint64(1)
# The fractions of so few digits are kept as texts.
_FRACTION_DIGITS_MAX = 3


def texts(column: Column, convert: ToText) -> Sequence[str | None]:
    """The canonical texts of a column whose values `convert` brings to text; None for NULL.

    Raises what `convert` raises for a value that it does not know, and Irregular for bytes that are no text.
    """
    if isinstance(column, Nullable):
        return column.spread(texts(column.present, convert))
    if isinstance(column, Numbers) and convert is timestamp:
        return _timestamps(column.array)
    if isinstance(column, Spans) and isinstance(convert, partial) and convert.func is decimal:
        return _decimals(column, convert)
    if isinstance(column, Texts) and convert is identity:
        return column.values()
    if isinstance(column, Texts) and convert is number:
        return _numbers(column)
    return [*map(convert, column.values())]


def _timestamps(microseconds: NDArray[np.int64]) -> Sequence[str | None]:
    far = np.flatnonzero((microseconds < FIRST_US) | (microseconds > LAST_US)).tolist()
    near = microseconds
    if far:
        near = microseconds.copy()
        near[far] = 0
    days, of_day = np.divmod(near, DAY_US)
    seconds, fractions = np.divmod(of_day, _SECOND_US)
    minutes, seconds = np.divmod(seconds, 60)
    parts = zip(days.tolist(), minutes.tolist(), seconds.tolist(), fractions.tolist(), strict=True)
    found = [
        f"{day(date)} {MINUTES[minute]}:{TWO_DIGITS[second]}{fraction(6, rest) if rest else ''}"
        for date, minute, second, rest in parts
    ]
    for place in far:
        found[place] = timestamp(int(microseconds[place]))
    return found


def _decimals(spans: Spans, convert: partial[str]) -> list[str | None]:
    (scale,) = convert.args
    sizes = spans.ends - spans.starts
    if not (0 < scale <= _DECIMAL_SCALE_MAX and (sizes > 0).all() and (sizes <= _DECIMAL_BYTES_MAX).all()):
        return [*map(convert, spans.values())]
    # The eight bytes that end where the number ends, without those before it, its sign drawn out.
    before = ((8 - sizes) * 8).astype(np.uint64)
    words = spans.block.words(spans.ends - 8).byteswap() << before
    unscaled = words.view(np.int64) >> before.view(np.int64)
    wholes, fractions = np.divmod(np.abs(unscaled), 10**scale)
    fraction_of = _fractions(scale).__getitem__ if scale <= _FRACTION_DIGITS_MAX else partial(fraction, scale)
    ends = map(fraction_of, fractions.tolist())
    numbers = [f"{whole}{end}" for whole, end in zip(wholes.tolist(), ends, strict=True)]
    for place in np.flatnonzero(unscaled < 0).tolist():
        numbers[place] = "-" + numbers[place]
    return [*numbers]


def _numbers(column: Texts) -> Sequence[str | None]:
    """Numerics in decimal notation, cut off where their last digits say nothing.

    Only what the last eight characters show is decided here: words and long fractions are left to `number`.
    """
    block, starts, ends = column.spans.block, column.spans.starts, column.spans.ends
    sizes = ends - starts
    # The last character lowest; what lies before the number is no part of it.
    before = (np.clip(_WORD_BYTES - sizes, 0, _WORD_BYTES - 1) * 8).astype(np.uint64)
    words = block.words(ends - _WORD_BYTES).byteswap() << before >> before
    behind = _bytes_below(_zero_bytes(words ^ _POINTS))
    zeros = _bytes_below(words ^ _ZEROS)
    unseen = behind == _WORD_BYTES
    cut = np.where(unseen, 0, zeros + (zeros == behind))
    found = Texts(Spans(block, starts, ends - cut)).values()
    for place in np.flatnonzero((words & _OTHERS != 0) | unseen & (sizes > _WORD_BYTES)).tolist():
        found[place] = number(found[place])
    return found


def _zero_bytes(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A bit in the lowest byte that is zero, and in some above it."""
    return (words - _LOWEST) & ~words & _HIGHEST


def _bytes_below(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    """How many bytes lie below the lowest set bit; eight where none is set."""
    return (np.bitwise_count((words & (~words + _ONE)) - _ONE) >> 3).astype(np.int64)


@cache
def _fractions(digits: int) -> list[str]:
    return [fraction(digits, value) for value in range(10**digits)]
