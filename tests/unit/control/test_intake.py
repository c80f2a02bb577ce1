"""What control has not taken in of a topic, and how long that is waited for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streams.control import intake
from streams.control.intake import left, waited

A, B = ("drift", 0), ("drift", 1)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes only while somebody sleeps."""
    now = [100.0]
    monkeypatch.setattr(intake.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(intake.time, "sleep", lambda seconds: now.append(now.pop() + seconds))


def test_what_is_not_taken_in_is_counted_by_partition() -> None:
    """A partition that is ahead, as others write on, makes good for no other."""
    assert left({A: (0, 10), B: (0, 5)}, {A: 7, B: 9}) == 3
    assert left({A: (0, 10), B: (0, 5)}, {}) == 15
    assert left({A: (0, 10)}, {A: 10}) == 0


def test_what_has_expired_is_not_waited_for() -> None:
    """Nobody can take it in any more."""
    assert left({A: (10, 10), B: (4, 6)}, {}) == 2


def test_it_ends_when_nothing_is_left_and_says_nothing_of_a_short_wait() -> None:
    """With nothing left at once it does not wait."""
    said: list[int] = []
    counts: Iterator[int] = iter([943, 500, 0])
    assert waited(lambda: next(counts), 30.0, said.append) == 0
    assert (said, next(counts, None)) == ([], None)


def test_a_long_wait_is_told_once_and_bounded() -> None:
    """What is left in the end is the answer."""
    said: list[int] = []
    assert waited(lambda: 943, 30.0, said.append) == 943
    assert said == [943]
