"""When repairs stop and ask."""

from __future__ import annotations

from streams.repair.storm import Storm


def keys(*numbers: int) -> list[bytes]:
    return [b"%d" % number for number in numbers]


def test_more_keys_than_the_plan_allows_within_the_window_are_a_storm_until_it_has_passed() -> None:
    """Exactly as many are none."""
    storm = Storm(stop_above=10, window=60.0)
    storm.found(keys(*range(6)), 0.0)
    storm.found(keys(*range(6, 10)), 30.0)
    assert not storm.rages(30.0)
    storm.found(keys(10), 31.0)
    assert storm.rages(60.0)
    assert storm.keys(60.0) == 11
    assert not storm.rages(60.1)
    assert storm.keys(200.0) == 0


def test_a_storm_lasts_as_long_as_its_keys_are_found_wrong() -> None:
    """It had been over after its window, and everything was repaired without being asked."""
    storm = Storm(stop_above=10, window=60.0)
    for now in range(0, 600, 50):
        storm.found(keys(*range(11)), float(now))
    assert storm.rages(600.0)
    storm.found(keys(0, 1), 650.0)
    assert storm.keys(650.0) == 2


def test_a_storm_goes_on_in_another_process_until_its_keys_were_found_again() -> None:
    """Whatever was counted before is forgotten there; a clock that is behind makes it no longer."""
    storm = Storm(stop_above=10, window=60.0)
    storm.goes_on(20.0, 1000.0)
    assert [storm.rages(now) for now in (1039.0, 1041.0)] == [True, False]
    storm.goes_on(-500.0, 2000.0)
    assert [storm.rages(now) for now in (2059.0, 2061.0)] == [True, False]


def test_a_key_that_is_found_twice_is_one() -> None:
    """However often within the window."""
    storm = Storm(stop_above=1, window=60.0)
    for now in range(10):
        storm.found(keys(1), float(now))
    assert not storm.rages(10.0)


def test_no_more_is_remembered_than_a_storm_needs() -> None:
    """The latest: those that are wrong still are found again after those that are not."""
    storm = Storm(stop_above=10, window=60.0)
    storm.found(keys(*range(10_000)), 0.0)
    assert storm.keys(0.0) == 11
    storm.found(keys(*range(5_000, 5_011)), 50.0)
    assert storm.rages(100.0)
