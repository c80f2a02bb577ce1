"""What a sample of keys says of all of them."""

from __future__ import annotations

from math import exp, lgamma, log, log1p
from typing import Final

CONFIDENCE: Final = 0.95
# Halvings of the interval in which the bound is searched.
_STEPS: Final = 50


def wrong_share_below(looked: int, wrong: int, confidence: float = CONFIDENCE) -> float:
    """The share of wrong keys that at most so many of all have, with this confidence, if these were drawn at random.

    The exact one-sided bound of Clopper and Pearson: 3/n, near enough, where none of n keys is wrong.
    """
    if wrong >= looked:
        return 1.0
    low, high = wrong / looked, 1.0
    for _ in range(_STEPS):
        share = (low + high) / 2
        low, high = (share, high) if _at_most(wrong, looked, share) > 1 - confidence else (low, share)
    return high


def _at_most(wrong: int, looked: int, share: float) -> float:
    """The probability of finding no more than so many, if that share is wrong."""
    odds = log(share), log1p(-share)
    ways = [lgamma(looked + 1) - lgamma(n + 1) - lgamma(looked - n + 1) for n in range(wrong + 1)]
    return sum(exp(many + n * odds[0] + (looked - n) * odds[1]) for n, many in enumerate(ways))
