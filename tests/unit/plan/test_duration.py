"""Durations as written in a plan."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.plan.duration import LONGEST, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("2s", timedelta(seconds=2)),
        ("1h30m", timedelta(minutes=90)),
        ("7d", timedelta(days=7)),
        ("1m1ms", timedelta(minutes=1, milliseconds=1)),
    ],
)
def test_reads_units_from_large_to_small(text: str, value: timedelta) -> None:
    """Each unit is read, alone and together."""
    assert parse_duration(text) == value


@pytest.mark.parametrize(
    "bad", ["", "2", "s", "2 s", "-2s", "30m1h", "1.5h", "0s", "9999d", "2s\n", "٢s", 2, None, True]
)
def test_refuses_everything_else(bad: object) -> None:
    """No unit, wrong order, nothing, too long, other digits: a sentence, not a guess."""
    with pytest.raises(ValueError, match="must be"):
        parse_duration(bad)


@given(st.timedeltas(min_value=timedelta(milliseconds=1), max_value=LONGEST))
def test_round_trips_whole_milliseconds(value: timedelta) -> None:
    """What is written can be read back as the same duration."""
    whole = value - timedelta(microseconds=value.microseconds % 1000)
    assert parse_duration(format_duration(whole)) == whole
