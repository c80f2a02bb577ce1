"""A failed connector is started again, less and less often while that does not help."""

from __future__ import annotations

import pytest

from streams.agents.keeper import CONNECTOR_RUNNING, FIRST_SECONDS, LONGEST_SECONDS, Keeper
from streams.kafka.connect import SLOT_GONE, ConnectorState

NAME = "bank-source"


class Connect:
    """Kafka Connect in memory."""

    def __init__(self) -> None:
        self.now = 0.0
        self.found: ConnectorState | None = ConnectorState(NAME, "RUNNING", ("FAILED",), "registry away")
        self.restarted: list[float] = []

    def state(self, name: str) -> ConnectorState | None:
        """What is there."""
        return self.found

    def restart(self, name: str) -> None:
        """When it was asked."""
        self.restarted.append(self.now)


@pytest.fixture
def connect() -> Connect:
    """With a failed task."""
    return Connect()


def looked(connect: Connect, keeper: Keeper, until: float, every: float = 1.0) -> None:
    while connect.now < until:
        keeper.look()
        connect.now += every


def test_waits_grow_and_are_bounded(connect: Connect) -> None:
    """At once, then after 10, 20, 40 … seconds, never more than ten minutes apart."""
    looked(connect, Keeper(connect, NAME, lambda: connect.now), 6_000)
    gaps = [later - earlier for earlier, later in zip(connect.restarted, connect.restarted[1:], strict=False)]
    assert connect.restarted[0] == 0
    assert gaps[:3] == [FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS]
    assert max(gaps) == gaps[-1] == LONGEST_SECONDS


def test_one_that_runs_for_long_enough_starts_anew(connect: Connect) -> None:
    """The next failure is another one."""
    keeper = Keeper(connect, NAME, lambda: connect.now)
    looked(connect, keeper, 100)
    connect.found, failed = ConnectorState(NAME, "RUNNING", ("RUNNING",)), connect.found
    looked(connect, keeper, 300)
    connect.found = failed
    before = len(connect.restarted)
    looked(connect, keeper, 300 + FIRST_SECONDS + 1)
    assert len(connect.restarted) == before + 2


@pytest.mark.parametrize(
    "state",
    [
        None,
        ConnectorState(NAME, "PAUSED", ("PAUSED",)),
        ConnectorState(NAME, "RUNNING", ()),
        ConnectorState(NAME, "RUNNING", ("FAILED",), f"the offset is {SLOT_GONE}"),
    ],
    ids=["absent", "paused", "starting", "slot gone"],
)
def test_what_a_restart_would_not_mend_is_left(connect: Connect, state: ConnectorState | None) -> None:
    """It shows in the gauge."""
    connect.found = state
    looked(connect, Keeper(connect, NAME, lambda: connect.now), 100)
    assert connect.restarted == []
    assert CONNECTOR_RUNNING.labels(NAME)._value.get() == 0


def test_one_without_a_worker_is_told_once_with_what_to_do(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """After an outage of Kafka; it is not restarted, and a second time is told again."""
    keeper = Keeper(connect, NAME, lambda: connect.now)
    unassigned, running = ConnectorState(NAME, "UNASSIGNED", ()), ConnectorState(NAME, "RUNNING", ("RUNNING",))
    for until, connect.found in ((100, unassigned), (200, running), (300, unassigned)):
        looked(connect, keeper, until)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert all("unassigned" in sentence and "scheduled.rebalance.max.delay.ms" in sentence for sentence in said)
    assert connect.restarted == []
