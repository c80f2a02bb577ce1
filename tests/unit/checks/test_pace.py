"""The pace of a scrub: every key within the period, whatever becomes of the number of keys and of the clock's ticks."""

from __future__ import annotations

import math
from itertools import cycle
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.checks.pace import LATE, REST_SECONDS_MAX, SHARE_MAX, SPREAD, VISITS, Pace, rest

PERIOD = 100.0
# Of the clock.
TICK = 1.0

# Until when, how many keys, and the places between which they come.
Moment = tuple[float, int, float, float]


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


def test_the_next_pass_begins_when_the_last_one_is_over() -> None:
    """And has a period's time of its own, from then on; also where the last one went through nothing."""
    pace = Pace(PERIOD, 0.0)
    assert pace.wanted(1.0, 0, 10) == 1
    visit(pace, 1.0, 0, None)
    assert pace.wanted(2.0, 100, 10) == 0
    assert pace.wanted(2.0 + PERIOD * SPREAD / 10, 100, 50) == 10


def test_what_is_late_comes_before_the_plan_of_the_pass() -> None:
    """A pass that half of the table was taken from behind would seem to be ahead of its time for a whole period."""
    pace = Pace(PERIOD, 0.0)
    visit(pace, 10.0, 100, None)
    pace.wanted(20.0, 100, 10)
    visit(pace, 30.0, 50, b"m")
    assert pace.wanted(10.0 + PERIOD * SPREAD, 10, 7) == 0
    assert pace.wanted(11.0 + PERIOD * LATE, 10, 7) == 7
    visit(pace, 11.0 + PERIOD * LATE, 7, None)
    assert pace.wanted(12.0 + PERIOD * LATE, 10, 7) == 0


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


class Filled:
    """A partition whose keys come and go while they are visited. moments: until when, how many, between which keys.

    Of a negative number as many keys go. Keys come in the order of their bytes where they come `sorted_`.
    """

    def __init__(self, moments: list[Moment], *, sorted_: bool, seed: int) -> None:
        self._moments, self._sorted, self._draw = moments, sorted_, Random(seed)
        self._pace = Pace(PERIOD, 0.0)
        # When each key was visited, or came.
        self._seen: dict[bytes, float] = {}
        self.age_max = 0.0
        self.visits = 0

    def visit(self, room: int, *, passes: int = 2) -> None:
        """All of its moments, and some passes more, with room for so many keys at each tick."""
        now, begun = 0.0, 0.0
        for seconds, number, lowest, highest in [*self._moments, (passes * PERIOD, 0, 0.0, 1.0)]:
            coming = [key_at(self._draw.uniform(lowest, highest)) for _ in range(number)]
            if self._sorted:
                coming.sort()
            going = [key for key in self._seen if key_at(lowest) <= key <= key_at(highest)][: max(0, -number)]
            for key in going:
                del self._seen[key]
            came = 0
            while now < begun + seconds:
                now += TICK
                there = math.ceil(len(coming) * min(1.0, (now - begun) / seconds))
                self._seen.update(dict.fromkeys(coming[came:there], now))
                came = there
                self._tick(now, room)
            begun += seconds

    def _tick(self, now: float, room: int) -> None:
        unseen = max((now - when for when in self._seen.values()), default=0.0)
        assert unseen <= self._pace.age(now) + 1e-9
        self.age_max = max(self.age_max, self._pace.age(now))
        if wanted := self._pace.wanted(now, len(self._seen), room):
            keys = [key for key in sorted(self._seen) if key > self._pace.at][:wanted]
            visit(self._pace, now, len(keys), keys[-1] if len(keys) == wanted else None)
            self._seen.update(dict.fromkeys(keys, now))
            self.visits += len(keys)


def key_at(place: float) -> bytes:
    """The key at a place of all keys' order, from 0.0 to 1.0."""
    return int(place * 2**48).to_bytes(7)


PLACES = st.sampled_from([0.0, 0.3, 0.49, 0.51, 0.8, 1.0])
MOMENTS = st.tuples(st.floats(TICK, PERIOD), st.integers(-300, 300), PLACES, PLACES)


@settings(deadline=None, max_examples=20)
@given(st.lists(MOMENTS, max_size=5), st.booleans(), st.integers(0, 2**32))
def test_no_key_waits_longer_than_the_period_whatever_comes_and_goes(
    moments: list[Moment], sorted_: bool, seed: int
) -> None:
    """Where there is time for it: all keys within a twentieth of the period."""
    filled = Filled(moments, sorted_=sorted_, seed=seed)
    filled.visit(room=100)
    assert filled.age_max <= PERIOD


@pytest.mark.parametrize("sorted_", [True, False])
@pytest.mark.parametrize("before", [0, 50])
@pytest.mark.parametrize("seconds", [5.0, 60.0, 200.0])
@pytest.mark.parametrize("place", [(0.0, 1.0), (0.0, 0.4), (0.4, 1.0)])
def test_a_table_that_is_being_filled_needs_hardly_more_time(
    sorted_: bool, before: int, seconds: float, place: tuple[float, float]
) -> None:
    """No key waits longer than the period, with three times the room that a table of this size needs at rest."""
    size = 200
    filled = Filled([(40.0, before, 0.0, 1.0), (seconds, size - before, *place)], sorted_=sorted_, seed=1)
    filled.visit(room=round(3 * size / PERIOD * TICK))
    assert filled.age_max <= PERIOD
    assert filled.visits <= 1.1 * size * (40.0 + seconds + 2 * PERIOD) / (PERIOD * SPREAD)


def test_what_there_is_no_time_for_is_said() -> None:
    """With a tenth of the room that the keys need, none is said to be visited within less than it was."""
    filled = Filled([(30.0, 400, 0.0, 1.0)], sorted_=False, seed=1)
    filled.visit(room=1)
    assert filled.age_max > PERIOD


def test_checking_takes_no_more_than_its_share() -> None:
    """Of the time it works and rests together; after long waiting for a store it goes on soon."""
    assert 0.5 / (0.5 + rest(0.5)) == SHARE_MAX
    assert rest(600.0) == REST_SECONDS_MAX
