"""How long what the source commits has not reached Kafka: nothing is said to be well that is not known to be."""

from __future__ import annotations

from decimal import Decimal

import pytest

from streams.control import reach
from streams.control.reach import Reach, waited
from streams.sot.fence import milliseconds


class _Source:
    """A source whose marks arrive while `flows`; its clock goes on by 10 s with every mark."""

    def __init__(self) -> None:
        self.now = 1_000_000
        self.arrived: int | None = None
        self.flows = True

    def mark(self) -> int:
        """Put one."""
        self.now += 10_000
        if self.flows:
            self.arrived = self.now
        return self.now

    def newest(self) -> int | None:
        """What has arrived."""
        return self.arrived


def test_an_idle_source_whose_marks_arrive_is_not_behind() -> None:
    """From the first look on, before anything has arrived."""
    source = _Source()
    look = Reach(source.mark, source.newest)
    assert [look.seconds() for _ in range(4)] == [0.0] * 4


def test_the_oldest_missing_mark_says_how_long() -> None:
    """Also where some have arrived meanwhile; it ends with the last of them."""
    source = _Source()
    look = Reach(source.mark, source.newest)
    look.seconds()
    source.flows = False
    assert [look.seconds() for _ in range(3)] == [0.0, 10.0, 20.0]
    source.arrived = source.now - 10_000
    assert look.seconds() == 10.0
    source.flows = True
    assert look.seconds() == 20.0
    assert look.seconds() == 0.0


def test_marks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The age of the oldest goes on."""
    monkeypatch.setattr(reach, "MARKS_MAX", 2)
    source = _Source()
    source.flows = False
    look = Reach(source.mark, source.newest)
    assert [look.seconds() for _ in range(5)] == [0.0, 10.0, 20.0, 30.0, 40.0]


def test_a_mark_is_waited_for() -> None:
    """Until it is there, or for as long as it may take; what arrived before it says nothing."""
    source = _Source()
    assert waited(source.mark, source.newest, 0.0) == 0.0
    source.flows = False
    assert waited(source.mark, source.newest, 0.2) > 0.2


def test_a_mark_is_not_later_than_the_commit_that_carries_it() -> None:
    """Debezium cuts the time of a commit off: a mark that was rounded up would be missed although it has arrived."""
    assert milliseconds(Decimal("1700000000.000600")) == 1_700_000_000_000
    assert milliseconds(Decimal("1700000000.000999")) == 1_700_000_000_000
    assert milliseconds(Decimal("1700000000.001000")) == 1_700_000_000_001
