"""What a worker says of its partitions on the topics of drift and signals."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from faust.types import TP

from streams.agents.events import Event, Events
from streams.agents.table import Held, TableWork
from streams.checks.request import ORDER_WITHIN, Depth, request
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
        work = self._tables[tp.topic]
        log.error("%s in %s: %s. Validate the table, and repair what it finds.", work.table, work.replica, what)
        about, change = f"{tp.topic}[{tp.partition}]", {"topic": tp.topic, "partition": tp.partition, "offset": wanted}
        await tell_lost(self._events, work, about, what, change=change)

    async def held(self, tp: TP, held: Held, by: str = "") -> None:
        """The partition stops before a record, which is the reason only where the partition is `held_by`.

        by: who ordered it; "" where nobody did.
        """
        held_by = {} if held.held_by is None else {"held_by": str(held.held_by)}
        detail = {"reason": held.reason, "offset": str(held.offset), **held_by, **_who(by)}
        await self._signal(tp, "table-held", detail)

    async def released(self, tp: TP, reason: str, by: str = "") -> None:
        """Nothing holds the partition any more."""
        await self._signal(tp, "table-released", {"reason": reason, **_who(by)})

    async def _signal(self, tp: TP, kind: str, detail: Mapping[str, str]) -> None:
        self._events.send(*signal(self._tables[tp.topic], kind, {**detail, "partition": str(tp.partition)}))
        await self._events.flush()


async def tell_lost(events: Events, work: TableWork, about: str, what: str, **more: Any) -> None:
    """Open drift `continuity` of a table, and have all its partitions wait where the plan wants that; in Kafka then.

    about: what was lost. more: further fields of the drift.
    """
    now = datetime.now(UTC)
    if work.mapping.on_continuity == "hold" and not work.hold_ordered:
        work.hold_ordered = True
        asked = request(
            f"hold-{uuid4()}",
            work.replica,
            work.table,
            Depth.hold,
            by="worker",
            reason=what,
            deadline=now + ORDER_WITHIN,
        )
        for partition in range(work.partitions):
            events.order(f"checks.{work.replica}.{work.table}", partition, asked)
    event = continuity_event(work.replica, work.table, about, MISSED_CHANGE, what, now, **more)
    events.send("drift", event["id"], "drift", event)
    await events.flush()


def _who(by: str) -> dict[str, str]:
    return {"who": by} if by else {}


def signal(work: TableWork, kind: str, detail: Mapping[str, str]) -> Event:
    """A signal about one table of one replica."""
    record = {
        "id": str(uuid4()), "type": kind, "replica": work.replica, "table": work.table, "detail": dict(detail),
        "at": datetime.now(UTC),
    }  # fmt: skip
    return ("signals", f"{work.replica}/{work.table}", "signal", record)
