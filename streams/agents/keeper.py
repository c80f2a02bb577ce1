"""Control starts a failed connector again: what stopped it (a registry, a broker, the SOT) has usually passed.

Connect gives a task up for good at an error that it does not know to be passing, such as a registry that is away.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

from prometheus_client import Counter, Gauge

from streams.connectors.render import connector_name
from streams.kafka.connect import SLOT_GONE, UNASSIGNED_HINT, Connect, ConnectorState
from streams.plan.model import Plan

log = logging.getLogger(__name__)

CONNECTOR_RUNNING: Final = Gauge("holdtrue_connector_running", "1 while connector and tasks run.", ("connector",))
CONNECTOR_RESTARTS: Final = Counter("holdtrue_connector_restarts", "Restarts of a failed connector.", ("connector",))
# A connector that fails again at once is left alone for longer and longer.
FIRST_SECONDS: Final = 10.0
LONGEST_SECONDS: Final = 600.0


class ConnectClient(Protocol):
    """Kafka Connect, as far as it is needed here."""

    def state(self, name: str) -> ConnectorState | None:
        """The connector's state."""

    def restart(self, name: str) -> None:
        """Restart what has failed of it."""


class Keeper:
    """Keeps the plan's connector running. One look at a time."""

    def __init__(self, connect: ConnectClient, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._connect = connect
        self._name = name
        self._clock = clock
        self._wait = FIRST_SECONDS
        self._next_at = float("-inf")
        self._unassigned = False

    @classmethod
    def of(cls, plan: Plan) -> Keeper:
        """The keeper of the plan's connector; it asks once each time, and again at the next look."""
        return cls(Connect(plan.kafka.connect.resolve(), tries=1), connector_name(plan))

    def look(self) -> bool:
        """Restart what has failed, unless that was done a moment ago. Raises what Connect raises.

        Whether its slot does not give what it needs, as the connector says.

        A connector that nobody has made or that is paused is left as it is, and so is one whose slot is gone: started
        again it could only fail, and a person must know that changes are missing.
        """
        state = self._connect.state(self._name)
        running = state is not None and state.running
        CONNECTOR_RUNNING.labels(self._name).set(int(running))
        self._tell_unassigned(state)
        slot_gone = state is not None and SLOT_GONE in state.reason
        if state is None or not state.failed or slot_gone:
            if running and self._clock() > self._next_at:
                self._wait = FIRST_SECONDS
            return slot_gone
        if self._clock() < self._next_at:
            return False
        log.warning("the connector %s has failed and is started again: %s", self._name, state.reason)
        self._connect.restart(self._name)
        CONNECTOR_RESTARTS.labels(self._name).inc()
        self._next_at = self._clock() + self._wait
        self._wait = min(self._wait * 2, LONGEST_SECONDS)
        return False

    def _tell_unassigned(self, state: ConnectorState | None) -> None:
        """Say once that no worker has it: Connect gives it back by itself, and a restart would not be faster."""
        unassigned = state is not None and state.unassigned
        if unassigned and not self._unassigned:
            log.warning("the connector %s is unassigned. %s", self._name, UNASSIGNED_HINT)
        self._unassigned = unassigned
