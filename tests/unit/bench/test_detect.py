"""From an account to figures, and to what did not hold."""

from __future__ import annotations

from typing import Any, cast

import pytest

from streams.bench.asked import Asked, Checks, Class
from streams.bench.faults import WISHES, Fault
from streams.bench.judge import Judge, merged
from streams.bench.ledger import Ledger, Planted
from streams.bench.meter import Measured
from streams.bench.outcome import Outcome, counted, quantile
from streams.bench.planter import schedule

MEASURED = Measured(10.0, 10_000.0, 0.2, 0.9, 1.25, 0.0, 0.3, 1_000)


def fault(key: int, *, opened: float | None = None, ended: float | None = None, healed: bool = False) -> Planted:
    return Planted(key, Class.scrubbed, Fault.changed, 100.0, opened, opened, ended, healed=healed)


def outcome(*faults: Planted, differing: tuple[int, ...] = (), stray: int = 0, **judged: int) -> Outcome:
    ledger = Ledger({each.key: each for each in faults}, stray=stray)
    return Outcome(
        ledger,
        Judge(cast("Any", None), ledger, judged.get("false", 0), judged.get("real", 0)),
        MEASURED,
        1_000.0,
        differing,
    )


def test_figures_of_a_class_are_of_what_was_found() -> None:
    """A fault that was right again before anybody told is neither found nor missed."""
    found = counted([fault(1, opened=102.0, ended=103.0), fault(2, opened=110.0), fault(3, healed=True), fault(4)])
    assert (found["planted"], found["found"], found["superseded"], found["missed"]) == (4, 2, 1, 1)
    assert (found["detection_seconds_p50"], found["detection_seconds_p99"]) == (2.0, 10.0)
    assert (found["resolved"], found["resolved_seconds_p99"]) == (1, 3.0)
    assert counted([fault(1)])["detection_seconds_p50"] is None


def test_a_quantile_is_one_of_the_values() -> None:
    """The 99th of a hundred, not the last."""
    values = [float(number) for number in range(1, 101)]
    assert (quantile(values, 0.5), quantile(values, 0.99), quantile(values, 1.0)) == (50.0, 99.0, 100.0)


def test_all_found_and_nobody_accused_is_right() -> None:
    """Then, and only then, the command ends with 0."""
    right = outcome(fault(1, opened=101.0, ended=102.0), fault(2, healed=True))
    assert right.document([Class.scrubbed])["ok"]


@pytest.mark.parametrize(
    "bad",
    [
        outcome(fault(1)),
        outcome(false=1, stray=1),
        outcome(real=1, stray=1),
        outcome(stray=1),
        outcome(differing=(7,)),
    ],
    ids=["missed", "false positive", "nobody planted it", "not judged", "unseen"],
)
def test_each_thing_that_does_not_hold_is_said(bad: Outcome) -> None:
    """One sentence, and the answer is not ok."""
    found = bad.document([Class.scrubbed])
    assert not found["ok"]
    assert len(found["wrong"]) == 1


def test_both_sides_are_merged_by_key() -> None:
    """A key that only one side has differs, wherever it stands."""
    assert list(merged([(1, 5), (2, 6), (9, 1)], [(2, 6), (3, 7), (9, 2)])) == [
        (1, 5, None),
        (2, 6, 6),
        (3, None, 7),
        (9, 1, 2),
    ]
    assert list(merged([], [(1, 1)])) == [(1, None, 1)]


def test_every_class_gets_every_fault_within_the_time() -> None:
    """In random order, the earliest first, the same for the same seed."""
    plan = schedule((Class.just_written, Class.scrubbed), 14, 60, seed=1)
    assert plan == sorted(schedule((Class.just_written, Class.scrubbed), 14, 60, seed=1))
    for kind in (Class.just_written, Class.scrubbed):
        assert sorted(due.fault for due in plan if due.kind is kind) == sorted([*Fault] * 2)
    assert 0 <= plan[0].after <= plan[-1].after <= 60
    assert WISHES.keys() == set(Fault)


def test_what_nobody_looks_for_is_not_waited_for() -> None:
    """With checks, a fault has two periods and some seconds."""
    asked = Asked(5_000, 1_000, 10, 60, 7, (Class.scrubbed,))
    assert asked.patience_seconds == 150
    assert Asked(5_000, 1_000, 10, 60, 7, (Class.scrubbed,), Checks.off).patience_seconds == 0


def test_false_alarms_are_of_keys_that_get_no_fault() -> None:
    """What is reported there was right."""
    asked = Asked(5_000, 1_000, 10, 60, 7, (Class.scrubbed,), false_alarms=2)
    assert sorted({*asked.spoiled, *asked.alarmed}) == list(asked.cold) == list(range(312, 5_000, 312))
    assert len(asked.alarmed) == 2
    assert len(asked.spoiled) == 14
