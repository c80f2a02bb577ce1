"""Orders to owners, through the check topics: each owner takes its own, in the order in which they were sent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from streams.checks.request import ORDER_WITHIN, Depth, request
from streams.control import trail
from streams.kafka.topics import checks_topic
from streams.kafka.wire import cloud_event
from streams.plan.model import Plan


class Orders:
    """Sends them for one plan; Kafka has them when `flush` of the writer returns. source: who says so, in events."""

    def __init__(self, plan: Plan, writer: trail.Writer, source: str) -> None:
        self._plan = plan
        self._writer = writer
        self._source = source

    def send(self, run: str, depth: Depth, replica: str, table: str, partition: int, **more: Any) -> None:
        """One order to the owner of one partition. more: as in `streams.checks.request`."""
        deadline = datetime.now(UTC) + ORDER_WITHIN
        asked = request(run, replica, table, depth, partition=partition, deadline=deadline, **more)
        headers = cloud_event("holdtrue.check-request", self._source)
        self._writer.send(checks_topic(self._plan, replica, table), run, "check-request", asked, headers, partition)

    def tell(self, depth: Literal[Depth.hold, Depth.resume], replica: str, table: str, *, by: str, reason: str) -> None:
        """Have every partition of a table wait, or go on."""
        run = f"{depth}-{uuid4()}"
        for partition in range(self._plan.tables[table].partitions):
            self.send(run, depth, replica, table, partition, by=by, reason=reason)
