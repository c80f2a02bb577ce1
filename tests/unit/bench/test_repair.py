"""What `bench repair` calls wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streams.bench.asked import Class
from streams.bench.faults import Fault
from streams.bench.ledger import Ledger, Planted
from streams.bench.meter import Measured
from streams.bench.repair import Repaired

MEASURED = Measured(10.0, 10_000.0, 0.2, 0.9, 1.25, 0.0, 0.3, 1_000)
FOUND = Planted(1, Class.scrubbed, Fault.changed, at=100.0, opened=105.0, heard=105.1, ended=112.0)
RIGHT = Repaired(Ledger({1: FOUND}), MEASURED, 1_000.0, 4.0, 110.0, 5.0, (), (), 900, (), 0)


def test_time_is_counted_from_the_start_of_the_repair() -> None:
    """Not from planting, nor from when the drift was found."""
    found = RIGHT.document()
    assert found["ok"]
    assert (found["keys"], found["found"], found["resolved"], found["resolved_seconds_max"]) == (1, 1, 1, 2.0)


@pytest.mark.parametrize(
    "bad",
    [
        replace(RIGHT, ledger=Ledger({1: replace(FOUND, opened=None, ended=None)})),
        replace(RIGHT, ledger=Ledger({1: replace(FOUND, ended=None)})),
        replace(RIGHT, ledger=Ledger({1: replace(FOUND, ended=141.0)})),
        replace(RIGHT, unequal=(1,)),
        replace(RIGHT, touched=(7,)),
        replace(RIGHT, measured=replace(MEASURED, late=1.0)),
        replace(RIGHT, differing=(9,)),
        replace(RIGHT, false_positives=1),
    ],
    ids=["not found", "not resolved", "too late", "still wrong", "another touched", "lag", "differs", "accused"],
)
def test_each_thing_that_does_not_hold_is_said(bad: Repaired) -> None:
    """One sentence, and the answer is not ok."""
    found = bad.document()
    assert not found["ok"]
    assert len(found["wrong"]) == 1
