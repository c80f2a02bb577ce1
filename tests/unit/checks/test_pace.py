"""The pace of a scrub: every key within the period, whatever becomes of the number of keys and of the clock's ticks."""

from __future__ import annotations

from itertools import cycle
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from streams.checks.pace import REST_SECONDS_MAX, SHARE_MAX, SPREAD, VISITS, Pace, rest

PERIOD = 100.0


def test_a_pass_is_spread_over_its_period() -> None:
    """Half of the keys at half of the time; all of them a little before its end."""
    pace = Pace(PERIOD, 0.0)
    assert pace.wanted(PERIOD * SPREAD / 2, 1000, 10_000) == 500
    visit(pace, 1.0, 500, b"m")
    assert pace.wanted(PERIOD * SPREAD / 2, 1000, 10_000) == 0
    assert pace.wanted(PERIOD * SPREAD, 1000, 10_000) == 500


def test_no_more_is_wanted_than_there_is_room_for() -> None:
    """What is behind is caught up with later."""
    assert Pace(PERIOD, 0.0).wanted(PERIOD, 1000, 7) == 7
    assert Pace(PERIOD, 0.0).wanted(PERIOD, 1000, 0) == 0


def visit(pace: Pace, now: float, count: int, last: bytes | None) -> None:
    """The next keys of the pass are looked at, beginning now."""
    pace.visited(pace.stretch(count, last), now)


def test_the_next_pass_begins_when_its_time_has_come_and_not_before() -> None:
    """Also where the last one took no time, as of an empty partition."""
    pace = Pace(PERIOD, 0.0)
    assert pace.wanted(1.0, 0, 10) == 1
    visit(pace, 1.0, 0, None)
    assert pace.wanted(PERIOD * SPREAD - 1, 100, 10) == 0
    assert pace.wanted(PERIOD * SPREAD, 100, 10) == 0
    assert pace.wanted(PERIOD * SPREAD + 9, 100, 50) == 10


def test_a_pass_that_hurries_wants_every_key_at_once() -> None:
    """From the beginning, whatever was visited; when it is over the next one has its time as ever."""
    pace = Pace(PERIOD, 0.0)
    assert pace.wanted(1.0, 100, 50) < 50
    visit(pace, 1.0, 2, b"c")
    pace.hurry(1.0)
    assert pace.at == b""
    assert pace.wanted(1.0, 100, 50) == 50
    visit(pace, 1.0, 50, b"m")
    assert pace.wanted(1.0, 100, 500) == 50
    visit(pace, 1.0, 50, None)
    assert pace.wanted(1.0, 100, 50) == 0


def test_what_is_looked_at_while_the_pass_begins_anew_is_looked_at_again() -> None:
    """Whatever was read before there was a reason to look anew says nothing of what came after it."""
    pace = Pace(PERIOD, 0.0)
    stretch = pace.stretch(50, b"m")
    pace.hurry(1.0)
    pace.visited(stretch, 1.0)
    assert (pace.at, pace.wanted(1.0, 100, 500)) == (b"", 100)


def test_the_age_is_that_of_the_key_visited_longest_ago() -> None:
    """It grows until the first pass is over; then each key is visited a pass after its last visit."""
    pace = Pace(PERIOD, 0.0)
    visit(pace, 30.0, 50, b"m")
    assert pace.age(60.0) == 60.0
    visit(pace, 60.0, 50, None)
    assert pace.age(70.0) == 40.0
    pace.wanted(PERIOD * SPREAD, 100, 10)
    visit(pace, 120.0, 20, b"d")
    assert pace.age(125.0) == 95.0
    visit(pace, 130.0, 30, b"m")
    assert pace.age(130.0) == 70.0
    visit(pace, 150.0, 50, None)
    assert pace.age(150.0) == 30.0


def test_a_pass_begun_anew_knows_still_when_each_key_was_visited() -> None:
    """Those that the one before had passed, and those that it had not."""
    pace = Pace(PERIOD, 0.0)
    visit(pace, 10.0, 100, None)
    pace.wanted(PERIOD * SPREAD, 100, 10)
    visit(pace, 95.0, 50, b"m")
    pace.hurry(100.0)
    assert pace.age(100.0) == 90.0
    visit(pace, 100.0, 60, b"p")
    assert pace.age(101.0) == 91.0
    visit(pace, 102.0, 40, None)
    assert pace.age(103.0) == 3.0


@given(st.integers(1, 400), st.integers(1, 30), st.integers(0, 2**32))
def test_the_age_is_never_less_than_it_was_and_hardly_more(keys: int, passes: int, seed: int) -> None:
    """Beside an account of every single key, with looks of any size."""
    draw = Random(seed)
    pace, now, seen = Pace(PERIOD, 0.0), 0.0, [0.0] * keys
    for _ in range(passes):
        at = 0
        while at < keys:
            now += draw.uniform(0.0, PERIOD / 50)
            upto = min(keys, at + draw.randint(1, 20))
            seen[at:upto] = [now] * (upto - at)
            visit(pace, now, upto - at, upto.to_bytes(2) if upto < keys else None)
            at = upto
            assert now - min(seen) <= pace.age(now) + 1e-9
        assert pace.age(now) <= now - min(seen) + PERIOD * SPREAD * 0.2
        now += PERIOD
        pace.wanted(now, keys, 1)


def test_some_hundreds_of_visits_are_remembered_however_long_a_pass_takes() -> None:
    """A pass of a million looks, over ten times of its period."""
    pace = Pace(PERIOD, 0.0)
    for look in range(1_000_000):
        visit(pace, look * PERIOD / 100_000, 1, look.to_bytes(4))
    assert len(pace._behind) < 5 * VISITS


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
        visit(pace, now, wanted, b"m")
        left -= wanted
    assert now <= PERIOD


def test_checking_takes_no_more_than_its_share() -> None:
    """Of the time it works and rests together; after long waiting for a store it goes on soon."""
    assert 0.5 / (0.5 + rest(0.5)) == SHARE_MAX
    assert rest(600.0) == REST_SECONDS_MAX
