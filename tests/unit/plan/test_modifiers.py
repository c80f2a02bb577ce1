"""Whether a replica's column takes every value that a mapping gives."""

from __future__ import annotations

import pytest

from streams.plan.losses import Word, loss
from streams.plan.mapping import Column
from streams.plan.modifiers import takes


def numeric(precision: int, scale: int) -> Column:
    """`numeric(precision, scale)`, as Postgres writes it down."""
    return Column("c", "numeric", modifier=(precision << 16 | (scale & 0x7FF)) + 4)


def moment(digits: int, kind: str = "timestamp") -> Column:
    return Column("c", kind, modifier=digits)


def sized(length: int, kind: str = "varchar") -> Column:
    return Column("c", kind, modifier=length + 4)


def free(kind: str) -> Column:
    return Column("c", kind)


@pytest.mark.parametrize(
    ("found", "expected", "fits"),
    [
        (free("numeric"), numeric(12, 2), True),
        (numeric(12, 2), numeric(12, 2), True),
        (numeric(12, 2), free("numeric"), False),
        (numeric(14, 2), numeric(12, 2), True),
        (numeric(14, 4), numeric(12, 2), True),
        (numeric(12, 4), numeric(12, 2), False),
        (numeric(14, 1), numeric(12, 2), False),
        (numeric(5, -2), numeric(5, -2), True),
        (numeric(5, -2), numeric(5, -1), False),
        (numeric(7, -1), numeric(5, -2), True),
        (free("timestamp"), moment(3), True),
        (moment(3), free("timestamp"), False),
        (moment(6), free("timestamp"), True),
        (moment(4), moment(3), True),
        (moment(2), moment(3), False),
        (moment(3, "timestamptz"), moment(3), False),
        (sized(20), sized(20), True),
        (sized(21), sized(20), True),
        (sized(19), sized(20), False),
        (sized(20), free("varchar"), False),
        (sized(20), free("text"), False),
        (free("varchar"), free("text"), False),
        (sized(6, "bpchar"), sized(6, "bpchar"), True),
        (sized(7, "bpchar"), sized(6, "bpchar"), False),
        (free("text"), free("mood"), True),
        (free("text"), free("int4"), False),
        (free("int8"), free("int4"), False),
    ],
)
def test_whole_values(found: Column, expected: Column, fits: bool) -> None:
    """As wide, wider, or without a limit; `char(n)` pads to its own length, so it must be the same."""
    assert takes(found, expected, None) == fits


@pytest.mark.parametrize(
    ("found", "expected", "word", "limit", "fits"),
    [
        (numeric(12, 2), free("numeric"), "round", 2, True),
        (numeric(3, 2), free("numeric"), "round", 2, True),
        (numeric(12, 4), free("numeric"), "round", 2, True),
        (numeric(12, 1), free("numeric"), "round", 2, False),
        (numeric(12, 1), numeric(12, 1), "round", 2, True),
        (numeric(9, 1), numeric(12, 1), "round", 2, True),
        (numeric(9, 0), numeric(12, 1), "round", 2, False),
        (numeric(9, -1), free("numeric"), "round", 0, False),
        (moment(0), free("timestamp"), "round", 0, True),
        (moment(3, "timestamptz"), free("timestamptz"), "round", 3, True),
        (moment(2, "time"), free("time"), "round", 3, False),
        (moment(2, "time"), moment(1, "time"), "round", 3, True),
        (sized(200), free("text"), "cut", 200, True),
        (free("varchar"), free("text"), "cut", 200, True),
        (sized(199), free("text"), "cut", 200, False),
        (sized(200), free("varchar"), "cut", 100, True),
        (sized(50), sized(50), "cut", 100, True),
        (sized(49), sized(50), "cut", 100, False),
        (sized(200, "bpchar"), free("text"), "cut", 200, False),
        (free("text"), free("varchar"), "cut", 200, False),
    ],
)
def test_values_that_lose_something(found: Column, expected: Column, word: Word, limit: int, fits: bool) -> None:
    """As narrow as the mapping declares and no narrower; how large a numeric is shows when it comes."""
    assert takes(found, expected, loss(word, limit, expected.type)) == fits
