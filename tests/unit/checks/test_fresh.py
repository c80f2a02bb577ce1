"""Keys just written: in their order, once each, no more than there is room for."""

from __future__ import annotations

import pytest

from streams.checks.fresh import READ_BACK_SECONDS, Fresh


def test_a_key_is_due_some_time_after_its_write_and_then_waited_for_no_more() -> None:
    """Each in its turn."""
    fresh = Fresh()
    fresh.note([b"1"], 0.0)
    fresh.note([b"2"], 1.0)
    assert fresh.due(READ_BACK_SECONDS - 0.01, 10) == []
    assert fresh.due(READ_BACK_SECONDS, 10) == [b"1"]
    assert fresh.due(1.0 + READ_BACK_SECONDS, 10) == [b"2"]
    assert fresh.due(100.0, 10) == []


def test_no_more_are_given_than_are_asked_for_the_oldest_first() -> None:
    """The rest waits."""
    fresh = Fresh()
    fresh.note([b"%d" % n for n in range(5)], 0.0)
    assert fresh.due(10.0, 3) == [b"0", b"1", b"2"]
    assert fresh.due(10.0, 3) == [b"3", b"4"]


def test_what_there_is_no_room_for_is_left_to_the_scrub_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never silently."""
    monkeypatch.setattr("streams.checks.fresh.KEYS_MAX", 2)
    fresh = Fresh()
    fresh.note([b"1", b"2", b"3", b"1", b"4"], 0.0)
    assert (len(fresh), fresh.left_to_the_scrub(), fresh.left_to_the_scrub()) == (2, 2, 0)


def test_a_key_that_is_written_again_is_read_back_after_its_last_write_too() -> None:
    """One that is written all the time does not put it off; what follows its last write is seen within seconds, too."""
    fresh = Fresh()
    fresh.note([b"1"], 0.0)
    fresh.note([b"1"], READ_BACK_SECONDS - 0.1)
    assert fresh.due(READ_BACK_SECONDS, 10) == [b"1"]
    assert fresh.due(2 * READ_BACK_SECONDS - 0.2, 10) == []
    assert fresh.due(2 * READ_BACK_SECONDS, 10) == [b"1"]
    assert len(fresh) == 0
