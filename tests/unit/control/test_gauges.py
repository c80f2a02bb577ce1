"""What control serves of a lag that it cannot measure: nothing, which no alert and no person takes for a figure."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from streams.agents.remember import Control
from streams.control.lag import PartitionLag, Said, lag_of
from streams.kafka.admin import KafkaUnavailable

NOW = 1_000_000.0
BEHIND = lag_of([PartitionLag(0, 10, 9, Said(int(NOW) - 4000, 900, 1))], NOW)
LEVEL = lag_of([PartitionLag(0, 0, None)], NOW)


class Kafka:
    """Answers with a lag, or not."""

    def __init__(self, lag: Any) -> None:
        self.lag = lag

    def lags(self, plan: Any, replica: str) -> dict[str, Any]:
        """Of the one table; nobody is asked about the replica `away`."""
        if self.lag is None or replica == "away":
            raise KafkaUnavailable("Kafka did not answer.")
        return {"public.t": self.lag}


def control(lag: Any, source: float | None, *replicas: str) -> Any:
    """As far as it measures lag."""
    spec = SimpleNamespace(tables={"public.t": None})
    plan = SimpleNamespace(replicas=dict.fromkeys(replicas or ("gauged",), spec))
    return SimpleNamespace(_plan=plan, _offsets=Kafka(lag), _source_seconds=source)


def served(name: str, replica: str = "gauged") -> float | None:
    """The figure; None where there is none."""
    return REGISTRY.get_sample_value(f"holdtrue_lag_{name}", {"table": "public.t", "replica": replica})


def test_a_lag_that_cannot_be_measured_is_not_what_it_was() -> None:
    """It comes back with the next look that succeeds."""
    asked = control(BEHIND, 0.0)
    Control._measure_lag(asked)
    assert (served("seconds"), served("events")) == (4.0, 1.0)
    asked._offsets.lag = None
    with pytest.raises(KafkaUnavailable):
        Control._measure_lag(asked)
    assert (served("seconds"), served("events")) == (None, None)
    asked._offsets.lag = LEVEL
    Control._measure_lag(asked)
    assert (served("seconds"), served("events")) == (0.0, 0.0)


def test_replicas_behind_the_one_that_fails_are_not_measured_either() -> None:
    """Those before it are."""
    Control._measure_lag(control(BEHIND, 0.0, "last"))
    with pytest.raises(KafkaUnavailable):
        Control._measure_lag(control(BEHIND, 0.0, "first", "away", "last"))
    assert [served("seconds", replica) for replica in ("first", "away", "last")] == [4.0, None, None]


@pytest.mark.parametrize(
    ("lag", "source", "seconds"), [(BEHIND, 9.0, 9.0), (BEHIND, None, 4.0), (LEVEL, 9.0, 9.0), (LEVEL, None, None)]
)
def test_that_nothing_is_behind_is_not_said_while_the_source_cannot_be_asked(
    lag: Any, source: float | None, seconds: float | None
) -> None:
    """As `status` does."""
    Control._measure_lag(control(LEVEL, 0.0))
    Control._measure_lag(control(lag, source))
    assert served("seconds") == seconds


def test_how_far_the_source_is_behind_is_not_known_when_it_cannot_be_asked() -> None:
    """Neither in its own gauge nor in what goes into every lag."""

    def failing() -> float:
        raise KafkaUnavailable("Kafka did not answer.")

    asked = control(LEVEL, 5.0)
    asked._reach = SimpleNamespace(seconds=failing)
    with pytest.raises(KafkaUnavailable):
        Control._measure_reach(asked)
    assert asked._source_seconds is None
    assert math.isnan(REGISTRY.get_sample_value("holdtrue_source_lag_seconds") or 0.0)
