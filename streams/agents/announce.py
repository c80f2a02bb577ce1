"""What a worker says of its partitions on the topics of drift and signals."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import uuid4

from faust.types import TP

from streams.agents.events import Event, Events
from streams.agents.table import Held, TableWork
from streams.drift.cause import MISSED_CHANGE
from streams.drift.continuity import continuity_event

log = logging.getLogger(__name__)


class Announcer:
    """Says what holds and what was lost; it is in Kafka when a call returns. `tables`: by change topic."""

    def __init__(self, tables: Mapping[str, TableWork], events: Events) -> None:
        self._tables = tables
        self._events = events

    async def lost(self, tp: TP, wanted: int, what: str) -> None:
        """Changes from offset `wanted` on may be lost: table-level drift `continuity` (Ordering 15)."""
        work, now = self._tables[tp.topic], datetime.now(UTC)
        log.error("%s in %s: %s. Validate the table, and repair what it finds.", work.table, work.replica, what)
        about, change = f"{tp.topic}[{tp.partition}]", {"topic": tp.topic, "partition": tp.partition, "offset": wanted}
        event = continuity_event(work.replica, work.table, about, MISSED_CHANGE, what, now, change=change)
        self._events.send("drift", event["id"], "drift", event)
        await self._events.flush()

    async def held(self, tp: TP, held: Held) -> None:
        """The partition stops before a record, which is the reason only where the partition is `held_by`."""
        by = {} if held.held_by is None else {"held_by": str(held.held_by)}
        await self._signal(tp, "table-held", {"reason": held.reason, "offset": str(held.offset), **by})

    async def released(self, tp: TP, reason: str) -> None:
        """Nothing holds the partition any more."""
        await self._signal(tp, "table-released", {"reason": reason})

    async def _signal(self, tp: TP, kind: str, detail: Mapping[str, str]) -> None:
        self._events.send(*signal(self._tables[tp.topic], kind, {**detail, "partition": str(tp.partition)}))
        await self._events.flush()


def signal(work: TableWork, kind: str, detail: Mapping[str, str]) -> Event:
    """A signal about one table of one replica."""
    record = {
        "id": str(uuid4()), "type": kind, "replica": work.replica, "table": work.table, "detail": dict(detail),
        "at": datetime.now(UTC),
    }  # fmt: skip
    return ("signals", f"{work.replica}/{work.table}", "signal", record)
