"""A run reads no faster than it was told to, and not at all while its replica is late."""

from __future__ import annotations

import pytest

from streams.errors import NotReady
from streams.validation import pace as module
from streams.validation.pace import Pace


class Clock:
    """Moves when somebody sleeps, and while rows are read."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Let so much time pass."""
        self.slept.append(seconds)
        self.now += seconds


def paced(
    clock: Clock,
    rows_per_second: int | None = None,
    lags: list[float] | None = None,
    lag_max: float | None = 2.0,
    busy: list[str | None] | None = None,
) -> tuple[Pace, list[str]]:
    """A pace by this clock; the replica is so late, one look after the other, and the last one for good."""
    said: list[str] = []
    late, reasons = lags or [0.0], busy or [None]
    made = Pace(
        rows_per_second, lambda: late.pop(0) if len(late) > 1 else late[0], lag_max, said.append,
        lambda: reasons.pop(0) if len(reasons) > 1 else reasons[0], lambda: clock.now, clock.sleep,
    )  # fmt: skip
    return made, said


def test_rows_take_as_long_as_they_are_told_to() -> None:
    """What was slow by itself is not slowed down."""
    clock = Clock()
    pace, _ = paced(clock, 1_000)
    for _ in range(10):
        clock.now += 0.25
        pace(500)
    # The first call is where time begins.
    assert clock.now - 100.25 == pytest.approx(10 * 500 / 1_000)
    clock.now += 60
    pace(500)
    assert sum(clock.slept) < 5


def test_without_a_bound_nothing_is_waited_for() -> None:
    """Nor is anybody asked how late the replica is, in a run that is over soon."""
    clock = Clock()
    pace, said = paced(clock, lags=[99.0])
    pace(10**6)
    pace(10**6)
    assert (clock.slept, said) == ([], [])


def test_nothing_is_read_while_the_replica_is_late() -> None:
    """It says so once; and the time is not made up for."""
    clock = Clock()
    pace, said = paced(clock, 1_000, lags=[0.5, 9.0, 9.0, 1.0])
    pace(0)
    clock.now += module.LOOK_SECONDS
    pace(5_000)
    assert clock.slept == []
    clock.now += module.LOOK_SECONDS
    pace(5_000)
    assert clock.slept == [module.AGAIN_SECONDS] * 2
    assert said == ["reading nothing while the replica is 9 s late: the plan allows 2 s"]
    pace(1_000)
    assert clock.slept[2:] == [pytest.approx(1.0)]


def test_a_plan_without_a_bound_has_nothing_to_be_late_by() -> None:
    """However late it is."""
    clock = Clock()
    pace, said = paced(clock, lags=[99.0], lag_max=None)
    pace(0)
    clock.now += 60
    pace(1)
    assert (clock.slept, said) == ([], [])


def test_a_replica_that_stays_late_is_not_waited_for_for_ever() -> None:
    """The run is incomplete, and says why."""
    clock = Clock()
    pace, _ = paced(clock, lags=[9.0])
    pace(0)
    clock.now += module.LOOK_SECONDS
    with pytest.raises(NotReady, match="later than the plan allows for 600 s"):
        pace(1)


def test_nothing_is_read_while_the_source_is_busy() -> None:
    """It says so once for each time; the pause is not made up for."""
    clock = Clock()
    pace, said = paced(clock, 1_000, lag_max=None, busy=["waiting: busy", "waiting: busier", None])
    pace(0)
    clock.now += module.LOOK_SECONDS
    pace(5_000)
    assert clock.slept == [module.AGAIN_SECONDS] * 2
    assert said == ["waiting: busy"]
    pace(1_000)
    assert clock.slept[2:] == [pytest.approx(1.0)]


def test_a_snapshot_is_given_back_where_a_pause_is_long() -> None:
    """It is told of once; what was waited for then is waited for at the next call, at once, and not made up for."""
    clock = Clock()
    pace, said = paced(clock, 1_000, busy=[*["waiting: busy"] * 60, None])
    assert pace(0, holding=True)
    clock.now += module.LOOK_SECONDS
    assert not pace(5_000, holding=True)
    assert sum(clock.slept) == module.HELD_SECONDS_MAX
    assert pace(0)
    assert (sum(clock.slept), said) == (59, ["waiting: busy"])
    clock.slept.clear()
    assert pace(1_000, holding=True)
    assert clock.slept == [pytest.approx(1.0)]


def test_a_short_pause_holds_it() -> None:
    """Giving it back costs a pass over the keys."""
    clock = Clock()
    pace, _ = paced(clock, busy=["waiting: busy", None])
    pace(0)
    clock.now += module.LOOK_SECONDS
    assert pace(1, holding=True)


def test_a_source_that_stays_busy_is_not_waited_for_for_ever() -> None:
    """The run is incomplete, and says what would help."""
    clock = Clock()
    pace, _ = paced(clock, busy=["waiting: busy"])
    pace(0)
    clock.now += module.LOOK_SECONDS
    with pytest.raises(NotReady, match="busier than the plan allows for 600 s") as raised:
        pace(1)
    assert "validation.pause_above" in raised.value.hint
    assert clock.now < 100 + 600 + 60
