"""When repairs stop and ask."""

from __future__ import annotations

from streams.repair.storm import Storm


def test_more_keys_than_the_plan_allows_within_the_window_are_a_storm_until_it_has_passed() -> None:
    """Exactly as many are none."""
    storm = Storm(stop_above=10, window=60.0)
    storm.found(6, 0.0)
    storm.found(4, 30.0)
    assert not storm.rages(30.0)
    storm.found(1, 31.0)
    assert storm.rages(60.0)
    assert storm.keys(60.0) == 11
    assert not storm.rages(60.1)
    assert storm.keys(200.0) == 0
