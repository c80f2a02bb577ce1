"""What a watch shows of a key between two fences, and that no run's watch outlives it."""

from __future__ import annotations

import pytest

from streams.checks import watch
from streams.checks.watch import SECONDS_MAX, Watch

A, B, C = b"a", b"b", b"c"
KEY = b"1"


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_digests_between_the_fences_are_seen() -> None:
    """The one the key had when the first fence was passed, and all until the second; none of before or after."""
    watched = Watch()
    watched.begin("run", [(KEY, A)])
    for offset, digest in [(3, B), (5, C), (7, None), (9, A)]:
        watched.note(KEY, offset, digest)
    assert set(watched.seen("run", KEY, 4, 8)) == {B, C, None}
    assert set(watched.seen("run", KEY, 5, 8)) == {B, C, None}
    assert set(watched.seen("run", KEY, 0, 3)) == {A}
    assert set(watched.seen("run", KEY, 10, 20)) == {A}


def test_what_a_key_was_before_the_fence_does_not_make_it_right() -> None:
    """A change that was missed may bring the source back to what it once was."""
    watched = Watch()
    watched.begin("run", [(KEY, A)])
    watched.note(KEY, 3, B)
    assert A not in watched.seen("run", KEY, 4, 8)


def test_a_run_sees_nothing_of_another_ones_watch() -> None:
    """A run that was killed must not vouch for the next one's keys."""
    watched = Watch()
    watched.begin("killed", [(KEY, A)])
    watched.note(KEY, 3, B)
    assert watched.seen("next", KEY, 0, 9) == ()
    watched.begin("next", [(KEY, B)])
    assert set(watched.seen("next", KEY, 0, 9)) == {B}


def test_a_watch_nobody_asks_about_is_forgotten() -> None:
    """The keys of killed runs do not fill the room of those that come."""
    clock = _Clock()
    watched = Watch(clock)
    watched.begin("killed", [(KEY, A)])
    clock.now = SECONDS_MAX / 2
    watched.begin("alive", [(b"2", A)])
    clock.now = SECONDS_MAX + 1
    watched.begin("next", [(b"3", A)])
    assert watched.keys == {b"2", b"3"}


def test_no_more_keys_are_watched_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are counted: the run says that it could not decide them."""
    monkeypatch.setattr(watch, "KEYS_MAX", 2)
    watched = Watch()
    assert watched.begin("one", [(b"1", A)]) == 0
    assert watched.begin("two", [(b"1", A), (b"2", A)]) == 1
    watched.end("one")
    assert watched.begin("two", [(b"2", A)]) == 0
    assert watched.keys == {b"1", b"2"}


def test_a_key_that_never_rests_is_explained_by_what_it_was_between_the_fences(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of changes a second, for the seconds that a run needs; then by the newest of them."""
    watched = Watch()
    watched.begin("run", [(KEY, A)])
    digests = [b"%d" % number for number in range(5_000)]
    for offset, digest in enumerate(digests):
        watched.note(KEY, offset, digest)
    assert watched.seen("run", KEY, 100, 102) == (digests[99], digests[100], digests[101])
    monkeypatch.setattr(watch, "DIGESTS_MAX", 1)
    watched.note(KEY, 5_000, A)
    assert A not in watched.seen("run", KEY, 0, 1)
    assert watched.seen("run", KEY, 5_000, 5_001) == (digests[-1], A)
    watched.end("run")
    assert not watched
