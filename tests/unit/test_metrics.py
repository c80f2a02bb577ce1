"""What a process serves that has measured nothing yet."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from streams.metrics import PROGRESS_SECONDS, REVIEWS_OPEN, SOURCE_LAG_SECONDS, Told


@pytest.mark.parametrize("gauge", [SOURCE_LAG_SECONDS, REVIEWS_OPEN])
def test_what_control_alone_knows_is_not_served_as_0_by_others(gauge: object) -> None:
    """A worker does not know that nothing is behind, or open."""
    assert isinstance(gauge, Told)


def test_no_progress_is_not_served_as_progress_in_1970() -> None:
    """A worker that recovers its state for minutes has committed nothing yet, and is not stalled."""
    assert isinstance(PROGRESS_SECONDS, Told)


def test_a_told_gauge_is_absent_until_it_is_set() -> None:
    """From then on it is served, also where it is 0."""
    registry = CollectorRegistry()
    gauge = Told("told", "Something that is told.", registry=registry)
    assert generate_latest(registry) == b""
    gauge.set(0)
    assert registry.get_sample_value("told") == 0.0
