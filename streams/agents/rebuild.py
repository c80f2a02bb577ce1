"""Rebuilding a partition of which nothing is known any more: every key of SOT and store is looked up in the SOT.

Changes go on being applied, checks and repairs come in between: the partition's lock is only held for some keys at a
time (decision 11). Whoever takes the partition over after a crash lists all keys again and looks up those it lacks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from streams.agents.apply import Applier
from streams.agents.retry import until_available
from streams.agents.spread import by_partition
from streams.agents.table import TableWork
from streams.steps import Step, reached
from streams.versions.state import PartitionState

log = logging.getLogger(__name__)

# Keys that are looked up in the SOT at a time.
REBUILD_KEYS = 1_000


class Rebuild:
    """One partition's."""

    def __init__(
        self,
        work: TableWork,
        state: PartitionState,
        applier: Applier,
        lock: asyncio.Lock,
        until_released: Callable[[], Awaitable[None]],
    ) -> None:
        self._work = work
        self._state = state
        self._applier = applier
        self._lock = lock
        self._until_released = until_released

    async def run(self) -> None:
        """Look up every key that is in the SOT or in the store; durable on return."""
        work = self._work
        log.warning("%s[%d] is being rebuilt in %s", work.table, self._state.partition, work.replica)
        # Until then a read may lack what was committed before the takeover, and is not applied any more.
        await work.until_visible(self._state.takeover.everything)
        # One after the other: each lists the whole table.
        async with work.rebuilding:
            await until_available("sot", lambda: self._through(self._in_sot))
            await until_available(work.replica, lambda: self._through(self._in_store))
        async with self._lock:
            self._state.takeover = self._state.takeover._replace(done=1)
            await self._applier.note(self._state)
        reached(Step.rebuild_done)
        log.warning("%s[%d] is rebuilt in %s", work.table, self._state.partition, work.replica)

    async def _through(self, listed: Callable[[], AsyncIterator[Sequence[bytes]]]) -> None:
        """Look up the keys of this partition among those listed. Raises StoreUnavailable where a list breaks off."""
        async for keys in listed():
            grouped = await self._work.threads.run(by_partition, self._work.partitioner, keys)
            mine = grouped.get(self._state.partition, [])
            for at in range(0, len(mine), REBUILD_KEYS):
                await self._until_released()
                if self._work.held is not None:
                    raise self._work.held.to(self._state.partition)
                async with self._lock:
                    await self._applier.rebuild(self._state, mine[at : at + REBUILD_KEYS])
                reached(Step.rows_rebuilt)

    async def _in_sot(self) -> AsyncIterator[Sequence[bytes]]:
        work, after = self._work, None
        while keys := await work.sot_keys(after, REBUILD_KEYS * work.partitions):
            yield keys
            after = keys[-1]

    async def _in_store(self) -> AsyncIterator[Sequence[bytes]]:
        work = self._work
        listed = work.store.keys(REBUILD_KEYS * work.partitions)
        while (keys := await work.threads.run(next, listed, None)) is not None:
            yield [key for key in keys if key is not None]
