"""A TRUNCATE: every owner of its table is asked to look for rows that the SOT no longer has."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from faust.types import TP

from streams.agents.events import Events
from streams.agents.table import TableWork
from streams.checks.request import ORDER_WITHIN, Depth, request
from streams.steps import Step, reached

log = logging.getLogger(__name__)


class SweepOrders:
    """Orders the sweeps of one worker's tables. `tables`: by change topic."""

    def __init__(self, app: Any, tables: Mapping[str, TableWork], events: Events) -> None:
        self._app = app
        self._tables = tables
        self._events = events

    async def order(self, tp: TP, txid: int) -> None:
        """A TRUNCATE arrived in one partition: every owner of the table must look for rows the SOT no longer has.

        Behind a fence, everything that was in the SOT's log before the TRUNCATE is before the ends asked for here
        (design, Ordering). The log may show the TRUNCATE before other sessions can see it: a read of the SOT counts
        only after that. The orders are in Kafka when this returns; each owner follows its own, also after a restart.
        """
        work = self._tables[tp.topic]
        log.warning("TRUNCATE of %s: its rows are looked up in the source of truth, in every partition", work.table)
        await work.pass_fence()
        await work.until_visible(txid)
        reached(Step.truncate_fenced)
        partitions = [TP(tp.topic, number) for number in range(work.partitions)]
        ends: Mapping[TP, int] = await self._app.consumer.highwaters(*partitions)
        for each in partitions:
            self._events.order(f"checks.{work.replica}.{work.table}", each.partition, _sweep_request(work, ends[each]))
        await self._events.flush()


def _sweep_request(work: TableWork, floor: int) -> dict[str, Any]:
    deadline = datetime.now(UTC) + ORDER_WITHIN
    run = f"truncate-{uuid4()}"
    return request(run, work.replica, work.table, Depth.truncate, between=(0, floor), deadline=deadline)
