"""What owners put into a replica's own log, for whoever follows it to compare with: their bucket digests at a point."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from streams.checks.mark import OwnersMark
from streams.errors import HoldtrueError
from streams.rows.digest import BUCKETS

if TYPE_CHECKING:
    from streams.agents.owner import Owner

log = logging.getLogger(__name__)

# 16 KiB of log for each partition, so often.
MARK_SECONDS = 10.0


class Markable(Protocol):
    """A store whose log can be written into."""

    def mark(self, prefix: str, content: bytes) -> None:
        """Put a mark into the log, behind every write that was answered."""


class Marks:
    """Of one worker's partitions, all the time. `stores`: of the tables whose log is followed, by table."""

    def __init__(self, name: str, stores: Mapping[str, Markable], owners: Callable[[], Collection[Owner]]) -> None:
        self._name = name
        self._stores = stores
        self._owners = owners

    async def run(self) -> None:
        """Until cancelled; what cannot be marked now is next time."""
        while True:
            await asyncio.sleep(MARK_SECONDS)
            for owner in list(self._owners()):
                try:
                    await self._mark(owner)
                except HoldtrueError as error:
                    log.warning("%s is not compared with the replica's log now: %s", owner.tp, error)

    async def _mark(self, owner: Owner) -> None:
        """Under the lock: every write is before the mark that was made, and none behind it."""
        store = self._stores.get(owner.work.table)
        if store is None:
            return
        async with owner.lock:
            if owner.scrub is None or not owner.scrub.may_look:
                return
            mark = _mark_of(owner)
            await owner.work.threads.run(store.mark, self._name, mark.encode())


def _mark_of(owner: Owner) -> OwnersMark:
    sums: Iterable[int] = map(owner.state.bucket_digest, range(BUCKETS))
    work = owner.work
    return OwnersMark(time.time(), owner.tp.partition, work.table, work.digester.version, list(sums))
