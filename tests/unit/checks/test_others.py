"""Content that somebody else writes: a key's lag is waited for, and what was there is known only later to be wrong."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from streams.checks.others import Judgement
from streams.checks.watch import Watch

A, B, C, D = b"a" * 16, b"b" * 16, b"c" * 16, b"d" * 16
KEY, RUN, LAG = b"1", "run", 2.0
RIGHT, WRONG, OPEN = Judgement.right, Judgement.wrong, Judgement.open


class _Watched:
    """A key under watch from moment 0 on, when it had the digest A."""

    def __init__(self, lag: float = LAG, *, absent_allowed: bool = False) -> None:
        self.now = 0.0
        self.watch = Watch(lambda: self.now)
        self.watch.begin(RUN, [(KEY, A)])
        self._lag = lag
        self._absent_allowed = absent_allowed

    def changes(self, at: float, digest: bytes | None) -> None:
        """A change is applied."""
        self.now = at
        self.watch.note(KEY, int(at * 10), digest)

    def look(self, at: float, content: bytes | None) -> Judgement:
        """What a look says."""
        self.now = at
        return self.watch.judge(RUN, KEY, content, self._lag, absent_allowed=self._absent_allowed)


def test_what_the_source_has_is_right_at_the_first_look() -> None:
    """However short the watch."""
    assert _Watched().look(0, A) is RIGHT


def test_a_fresh_change_that_is_not_written_yet_is_right() -> None:
    """Within the lag the row of before is as good."""
    key = _Watched()
    key.changes(5, B)
    assert [key.look(5, A), key.look(6.9, A), key.look(7, B)] == [RIGHT, RIGHT, RIGHT]


def test_what_is_still_not_there_after_the_lag_is_wrong() -> None:
    """It was at a look, and at one that came the lag later."""
    key = _Watched()
    key.changes(1, B)
    assert [key.look(4, A), key.look(5, A), key.look(6, A)] == [OPEN, OPEN, WRONG]


def test_a_watch_that_does_not_reach_back_proves_nothing() -> None:
    """What the key had before it is not known."""
    key = _Watched()
    assert [key.look(1, C), key.look(3.5, C)] == [OPEN, OPEN]
    assert key.look(5.6, C) is WRONG


def test_who_is_ahead_of_the_stream_is_right() -> None:
    """An application that writes both: its row is there before the change has come, every time a look is taken."""
    key = _Watched()
    digests = [bytes([n]) * 16 for n in range(1, 20)]
    for n, digest in enumerate(digests):
        assert key.look(3 * n, digest) is not WRONG
        key.changes(3 * n + 1, digest)


def test_a_hot_key_is_judged_by_what_it_had() -> None:
    """Whatever it had within the lag is right, what it never had is wrong, however often it has moved."""
    key = _Watched()
    for n, digest in enumerate((B, C, B, C, B, C)):
        key.changes(n + 0.5, digest)
    assert key.look(6, B) is RIGHT
    assert key.look(6.1, D) is OPEN
    for n, digest in enumerate((B, C, B, C)):
        key.changes(n + 6.5, digest)
    assert key.look(10, D) is WRONG


def test_wrong_at_one_look_and_right_at_the_next_is_right() -> None:
    """It was written late; what is wrong later begins anew."""
    key = _Watched()
    assert [key.look(3, C), key.look(6, A), key.look(9, C)] == [OPEN, RIGHT, OPEN]


def test_a_row_that_was_filled_in_from_an_old_read_is_wrong_without_any_lag() -> None:
    """Nobody takes it away again but the next change; a second look is needed only because the first may be ahead."""
    cache = _Watched(0.0, absent_allowed=True)
    cache.changes(1, B)
    assert [cache.look(2, A), cache.look(3, A)] == [OPEN, WRONG]
    assert cache.look(4, None) is RIGHT
    assert [cache.look(5, C), cache.look(6, None), cache.look(7, D)] == [OPEN, RIGHT, OPEN]


def test_what_was_filled_in_before_its_change_has_come_is_right() -> None:
    """The application has read what the source had committed."""
    cache = _Watched(0.0, absent_allowed=True)
    assert cache.look(1, B) is OPEN
    cache.changes(2, B)
    assert cache.look(3, C) is OPEN
    cache.changes(4, C)
    assert cache.look(5, C) is RIGHT


def test_nothing_is_known_of_a_key_that_is_not_watched() -> None:
    """Nor of a run that was not begun here: a partition's next owner knows nothing of its looks."""
    watch = Watch()
    assert watch.judge(RUN, KEY, A, LAG, absent_allowed=False) is OPEN
    watch.begin(RUN, [(b"2", A)])
    assert watch.judge(RUN, KEY, A, LAG, absent_allowed=False) is OPEN
    assert not watch.known(RUN, KEY)


Moment = st.floats(0, 30, allow_nan=False)


@given(
    changes=st.lists(st.tuples(Moment, st.sampled_from([A, B, C, D, None])), max_size=12),
    delays=st.lists(st.floats(-LAG, LAG), min_size=12, max_size=12),
    looks=st.lists(Moment, min_size=2, max_size=12),
)
def test_who_is_late_or_ahead_by_at_most_the_lag_is_never_wrong(
    changes: list[tuple[float, bytes | None]], delays: list[float], looks: list[float]
) -> None:
    """Whatever the values, however often they come back; each row is written once, in the source's order."""
    made = sorted(changes, key=lambda change: change[0])
    arrive, at = [(0.0, A)], 0.0
    for (moment, digest), delay in zip(made, delays, strict=False):
        at = max(at, moment + delay)
        arrive.append((at, digest))
    key = _Watched()
    # A change is looked at only when it has been applied; a look comes after all that was committed before it.
    events = [(moment, 0, digest) for moment, digest in made] + [(look, 1, None) for look in looks]
    for moment, is_look, digest in sorted(events, key=lambda event: event[:2]):
        if is_look:
            assert key.look(moment, [held for since, held in arrive if since <= moment][-1]) is not WRONG
        else:
            key.changes(moment, digest)


@given(
    changes=st.lists(st.tuples(Moment, st.sampled_from([A, B, C, None])), max_size=12),
    since=st.floats(0.01, 10),
    looks=st.lists(st.floats(LAG + 0.01, 2 * LAG), min_size=5, max_size=5),
)
def test_what_the_key_never_had_is_found_by_the_second_look_a_lag_after_the_first(
    changes: list[tuple[float, bytes | None]], since: float, looks: list[float]
) -> None:
    """However often the key changes meanwhile."""
    key = _Watched()
    times = list(accumulate(looks, initial=since + LAG))
    events = [(moment, 0, digest) for moment, digest in changes] + [(look, 1, None) for look in times]
    said = []
    for moment, is_look, digest in sorted(events, key=lambda event: event[:2]):
        if is_look:
            said.append(key.look(moment, D))
        else:
            key.changes(moment, digest)
    assert said == [OPEN, *[WRONG] * (len(times) - 1)]
