"""The pace of a scrub: every key within the period, whatever becomes of the number of keys and of the clock's ticks."""

from __future__ import annotations

from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.checks.pace import REST_SECONDS_MAX, SHARE_MAX, SPREAD, Pace, rest

PERIOD = 100.0


def test_a_pass_is_spread_over_its_period() -> None:
    """Half of the keys at half of the time; all of them a little before its end."""
    pace = Pace(PERIOD, 0.0)
    assert pace.wanted(PERIOD * SPREAD / 2, 1000, 10_000) == 500
    pace.visited(500)
    assert pace.wanted(PERIOD * SPREAD / 2, 1000, 10_000) == 0
    assert pace.wanted(PERIOD * SPREAD, 1000, 10_000) == 500


def test_no_more_is_wanted_than_there_is_room_for() -> None:
    """What is behind is caught up with later."""
    assert Pace(PERIOD, 0.0).wanted(PERIOD, 1000, 7) == 7
    assert Pace(PERIOD, 0.0).wanted(PERIOD, 1000, 0) == 0


def test_the_next_pass_begins_when_its_time_has_come_and_not_before() -> None:
    """Also where the last one took no time, as of an empty partition."""
    pace = Pace(PERIOD, 0.0)
    assert pace.wanted(1.0, 0, 10) == 1
    pace.over()
    assert pace.wanted(PERIOD * SPREAD - 1, 100, 10) == 0
    assert pace.wanted(PERIOD * SPREAD, 100, 10) == 0
    assert pace.wanted(PERIOD * SPREAD + 9, 100, 50) == 10


def test_a_pass_that_hurries_wants_every_key_at_once() -> None:
    """From the beginning, whatever was visited; when it is over the next one has its time as ever."""
    pace = Pace(PERIOD, 0.0)
    assert pace.wanted(1.0, 100, 50) < 50
    pace.visited(2)
    pace.hurry(1.0)
    assert pace.wanted(1.0, 100, 50) == 50
    pace.visited(50)
    assert pace.wanted(1.0, 100, 500) == 50
    pace.visited(50)
    pace.over()
    assert pace.wanted(1.0, 100, 50) == 0


def test_the_age_is_that_of_the_key_visited_longest_ago() -> None:
    """It grows until the first pass is over, and from then on since the begin of the last complete one."""
    pace = Pace(PERIOD, 0.0)
    assert pace.age(60.0) == 60.0
    pace.over()
    assert pace.age(70.0) == 70.0
    pace.wanted(PERIOD * SPREAD, 10, 10)
    pace.over()
    assert pace.age(PERIOD) == pytest.approx(PERIOD * (1 - SPREAD))


@given(
    keys=st.integers(1, 5_000), ticks=st.lists(st.floats(0.01, 3.0), min_size=1, max_size=30), room=st.integers(50, 500)
)
def test_every_key_is_visited_within_the_period_where_there_is_time_for_it(
    keys: int, ticks: list[float], room: int
) -> None:
    """With room for 50 keys at each tick, and ticks of 0.6 s at most, 5,000 keys are done in time."""
    pace, now, left = Pace(PERIOD, 0.0), 0.0, keys
    again = cycle(ticks)
    while left:
        now += min(next(again), 0.6)
        wanted = min(pace.wanted(now, keys, room), left)
        pace.visited(wanted)
        left -= wanted
    assert now <= PERIOD


def test_checking_takes_no_more_than_its_share() -> None:
    """Of the time it works and rests together; after long waiting for a store it goes on soon."""
    assert 0.5 / (0.5 + rest(0.5)) == SHARE_MAX
    assert rest(600.0) == REST_SECONDS_MAX
