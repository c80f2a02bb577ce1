"""Figures read from the workers' own metrics: rows applied, and the lag of every change as a quantile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

SCRAPE_SECONDS = 5
LAG = "holdtrue_change_lag_seconds_bucket"

# Upper bound of a bucket → how many changes were at most so late, summed over tables.
Lags = Mapping[float, float]


def lags(port: int) -> Lags:
    """The lag histogram of one worker."""
    found: dict[float, float] = defaultdict(float)
    for family in text_string_to_metric_families(_served(port)):
        for sample in family.samples:
            if sample.name == LAG:
                found[float(sample.labels["le"])] += sample.value
    return found


def _served(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=SCRAPE_SECONDS) as response:
        text: str = response.read().decode()
    return text


def total(histogram: Lags) -> float:
    """How many changes it counts."""
    return histogram.get(float("inf"), 0.0)


def difference(before: Lags, after: Lags) -> Lags:
    """What came between two readings."""
    return {bound: count - before.get(bound, 0.0) for bound, count in after.items()}


def merged(histograms: Iterable[Lags]) -> Lags:
    """Several workers' changes together."""
    summed: dict[float, float] = defaultdict(float)
    for histogram in histograms:
        for bound, count in histogram.items():
            summed[bound] += count
    return summed


def quantile(histogram: Lags, share: float) -> float:
    """The lag that `share` of the changes did not exceed, interpolated within its bucket; 0 when there are none."""
    wanted = total(histogram) * share
    if wanted <= 0:
        return 0.0
    below, lower = 0.0, 0.0
    for bound in sorted(histogram):
        count = histogram[bound]
        if count >= wanted:
            if bound == float("inf") or count == below:
                return lower
            return lower + (bound - lower) * (wanted - below) / (count - below)
        below, lower = count, bound
    return lower


def counters(port: int) -> Mapping[str, float]:
    """Every sample of a worker's metrics by its name, summed over labels."""
    found: dict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(_served(port)):
        for sample in family.samples:
            found[sample.name] += sample.value
    return found
