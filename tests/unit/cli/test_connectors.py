"""The connector is stopped while tables are added, and runs again whatever happens meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from streams.cli.connectors import _stopped
from streams.errors import NotReady


class Connect:
    """Kafka Connect with one connector, or none; stopping may take too long. Remembers what was asked."""

    def __init__(self, *, there: bool = True, slow: bool = False) -> None:
        self.asked: list[str] = []
        self._there = there
        self._slow = slow

    def state(self, name: str) -> str | None:
        """Anything, if it is there."""
        return name if self._there else None

    def stop(self, name: str) -> None:
        """In time, or not."""
        self.asked.append("stop")
        if self._slow:
            raise NotReady("it did not stop in time")

    def resume(self, name: str) -> None:
        """Let it run."""
        self.asked.append("resume")


@pytest.mark.parametrize("error", [NotReady, KeyboardInterrupt])
def test_a_connector_that_was_stopped_runs_again_after_an_error(error: type[BaseException]) -> None:
    """Nobody else would start it, and every table would stand still."""
    connect: Any = Connect()
    with pytest.raises(error), _stopped(connect, "c"):
        raise error("no")
    assert connect.asked == ["stop", "resume"]


def test_a_connector_that_does_not_stop_in_time_runs_again() -> None:
    """It may stop a moment later."""
    connect: Any = Connect(slow=True)
    with pytest.raises(NotReady), _stopped(connect, "c"):
        pass
    assert connect.asked == ["stop", "resume"]


def test_a_connector_stays_stopped_until_it_has_its_new_configuration() -> None:
    """`apply` lets it run; where there is none yet nothing is stopped."""
    connect: Any = Connect()
    with _stopped(connect, "c"):
        pass
    absent: Any = Connect(there=False)
    with _stopped(absent, "c"):
        pass
    assert (connect.asked, absent.asked) == (["stop"], [])
