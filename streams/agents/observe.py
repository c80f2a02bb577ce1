"""Many observations of one histogram at once: a batch's, at the price of a few."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

from prometheus_client import Histogram


def observe_all(histogram: Histogram, amounts: Mapping[float, int]) -> None:
    """As `observe` for each amount, as often as it occurs. The library's own loop costs 2 µs an observation."""
    bounds = histogram._upper_bounds
    for amount, times in amounts.items():
        histogram._buckets[bisect_left(bounds, amount)].inc(times)
        histogram._sum.inc(amount * times)
