"""Whether a replica's column takes every value: by its type, and by its length, precision or scale (`atttypmod`)."""

from __future__ import annotations

from typing import Final

from streams.plan.losses import MOMENT_DIGITS_MAX, Loss
from streams.plan.mapping import Column
from streams.plan.types import stored

# What Postgres adds to a length, and to a numeric's precision and scale, where it writes them down.
_HEADER: Final = 4
_MOMENTS: Final = ("time", "timestamp", "timestamptz")


def takes(found: Column, expected: Column, less: Loss | None) -> bool:
    """Whether every value of `expected`, less what the mapping takes from it, comes back from `found` unchanged.

    The digits before a rounded numeric's point are no part of it: a row that has too many is refused when it comes.
    """
    if found.type == "text" == stored(expected.type):
        return True
    is_cut = less is not None and less.word == "cut"
    if found.type != expected.type and not (is_cut and (expected.type, found.type) == ("text", "varchar")):
        return False
    if found.modifier in (expected.modifier, -1):
        return True
    limit = less.limit if less is not None else None
    if found.type == "numeric":
        return _takes_numeric(found.modifier, expected.modifier, limit)
    if found.type in _MOMENTS:
        return found.modifier >= _least(limit, expected.modifier if expected.modifier >= 0 else MOMENT_DIGITS_MAX)
    if found.type == "varchar":
        length = expected.modifier - _HEADER if expected.modifier >= 0 else None
        return (limit, length) != (None, None) and found.modifier - _HEADER >= _least(limit, length)
    return False


def _takes_numeric(found: int, expected: int, limit: int | None) -> bool:
    precision, scale = _numeric(found)
    if expected < 0:
        return limit is not None and scale >= limit
    wanted_precision, wanted_scale = _numeric(expected)
    if limit is not None:
        return scale >= min(limit, wanted_scale)
    return scale >= wanted_scale and precision - scale >= wanted_precision - wanted_scale


def _numeric(modifier: int) -> tuple[int, int]:
    """Precision and scale; a scale may be negative, in eleven bits."""
    packed = modifier - _HEADER
    return packed >> 16 & 0xFFFF, ((packed & 0x7FF) ^ 0x400) - 0x400


def _least(*bounds: int | None) -> int:
    return min(bound for bound in bounds if bound is not None)
