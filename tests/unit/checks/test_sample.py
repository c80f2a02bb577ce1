"""What a sample says of all keys: an exact bound, never a promise that none is wrong."""

from __future__ import annotations

import random

import pytest

from streams.checks.sample import wrong_share_below


@pytest.mark.parametrize(
    ("looked", "wrong", "below"),
    # From tables of the exact one-sided bound at 95 %.
    [(1, 0, 0.95), (59, 0, 0.0495), (100, 0, 0.0295), (1_000, 0, 0.00299), (100, 1, 0.0466), (100, 5, 0.1023)],
)
def test_the_bound_is_the_exact_one(looked: int, wrong: int, below: float) -> None:
    """3/n, near enough, where none is wrong."""
    assert wrong_share_below(looked, wrong) == pytest.approx(below, rel=0.005)


def test_nothing_looked_at_says_nothing() -> None:
    """Nor does a sample in which all is wrong."""
    assert (wrong_share_below(0, 0), wrong_share_below(5, 5)) == (1.0, 1.0)


def test_the_bound_holds_as_often_as_it_says() -> None:
    """Of many samples of a table with a known share, hardly more than one in twenty lies below its own bound."""
    chance, share, looked = random.Random(7), 0.02, 200
    wrong = [sum(chance.random() < share for _ in range(looked)) for _ in range(2_000)]
    assert sum(wrong_share_below(looked, n) < share for n in wrong) <= 2_000 * 0.06


def test_a_large_sample_is_no_matter() -> None:
    """As many keys as a run looks at."""
    assert wrong_share_below(100_000, 300) == pytest.approx(0.0033, rel=0.02)
