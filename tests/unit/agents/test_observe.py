"""Many observations at once are the same observations."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from streams.agents.observe import observe_all


@given(st.lists(st.sampled_from([0.0, 0.05, 0.1, 0.5, 1.0, 99.0]) | st.floats(0, 200), max_size=30))
def test_observing_a_batch_is_observing_each(amounts: list[float]) -> None:
    """Buckets, count and sum are those of the library's own `observe`, also at a bucket's bound and beyond the last."""
    registries = []
    for together in (True, False):
        registry = CollectorRegistry()
        histogram = Histogram("lag", "help", ("table",), buckets=(0.1, 1, 10), registry=registry).labels("t")
        if together:
            observe_all(histogram, Counter(amounts))
        else:
            for amount in amounts:
                histogram.observe(amount)
        registries.append(_samples(registry))
    assert registries[0].keys() == registries[1].keys()
    for name, value in registries[0].items():
        assert abs(value - registries[1][name]) < 1e-6


def _samples(registry: CollectorRegistry) -> dict[str, float]:
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    pairs = [line.rsplit(" ", 1) for line in lines if "_created" not in line]
    return {name: float(value) for name, value in pairs}
