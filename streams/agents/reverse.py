"""The reverse sweep: a worker lists the replica's own keys, and doubts those that its version table does not have."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from streams.agents.spread import NOBODYS, by_partition
from streams.checks.pace import SPREAD, rest
from streams.drift.cause import ROGUE_WRITE
from streams.drift.record import record
from streams.errors import HoldtrueError
from streams.metrics import CHECK_SECONDS

if TYPE_CHECKING:
    from streams.agents.events import Events
    from streams.agents.scrub import Scrub
    from streams.agents.table import TableWork

log = logging.getLogger(__name__)

LISTED_KEYS = 2_000
NAMELESS = "rows under keys that no row of the table can have"
# How often it is looked whether an owner has room for more doubts.
FULL_SECONDS = 0.25


class ReverseSweep:
    """Of one table, for those of its partitions that this worker owns. scrubs: theirs, by partition."""

    def __init__(
        self, work: TableWork, events: Events, period: float, scrubs: Callable[[], Mapping[int, Scrub]]
    ) -> None:
        self._work = work
        self._events = events
        self._period = period
        self._scrubs = scrubs
        self._told = False

    async def run(self) -> None:
        """Once in each period, until cancelled; a list that breaks off is begun again with the next."""
        while True:
            await asyncio.sleep(self._period * SPREAD)
            try:
                await self._tell(await self._sweep())
            except HoldtrueError as error:
                log.warning("the keys of %s in %s are not listed now: %s", self._work.table, self._work.replica, error)

    async def _sweep(self) -> int:
        """Have the owners doubt what they do not know; how many rows are under keys that can be nobody's."""
        listed = _Listed(self._work.store.keys(LISTED_KEYS))
        nameless = 0
        try:
            while True:
                started = time.monotonic()
                keys = await self._work.threads.run(listed.next)
                if keys is None:
                    return nameless
                nameless += await self._look_up(keys)
                worked = time.monotonic() - started
                CHECK_SECONDS.labels(*self._work.labels).inc(worked)
                await asyncio.sleep(rest(worked))
        finally:
            # Whatever ended it goes on: a store that is away now, too, has nothing more to say.
            with suppress(HoldtrueError):
                await self._work.threads.run(listed.close)

    async def _look_up(self, keys: Sequence[bytes | None]) -> int:
        named = [key for key in keys if key is not None]
        grouped = await self._work.threads.run(by_partition, self._work.partitioner, named)
        scrubs = self._scrubs()
        for partition, mine in grouped.items():
            if (scrub := scrubs.get(partition)) is not None:
                while scrub.is_full:  # noqa: ASYNC110 - what is decided wakes nobody
                    await asyncio.sleep(FULL_SECONDS)
                scrub.listed(mine)
        return len(keys) - len(named) + len(grouped.get(NOBODYS, ()))

    async def _tell(self, nameless: int) -> None:
        """A drift of the table as a whole: no owner has these keys. A full validation counts them, too, and ends it."""
        if not nameless and not self._told:
            return
        self._told = bool(nameless)
        reason = f"{nameless} {NAMELESS}: remove them" if nameless else "they are gone"
        said = record(
            self._work.replica, self._work.table, kind="orphan", cause=ROGUE_WRITE, place=NAMELESS,
            state="open" if nameless else "superseded", at=datetime.now(UTC), reason=reason,
        )  # fmt: skip
        self._events.send("drift", said["id"], "drift", said)
        await self._events.flush()


class _Listed:
    """What a store lists, each portion read in a thread. It may hold a connection, so it is closed in one, too.

    Who waits for a portion can be cancelled; the thread that reads it goes on, and closing waits for that.
    """

    def __init__(self, portions: Iterator[Sequence[bytes | None]]) -> None:
        self._portions = portions
        self._lock = threading.Lock()

    def next(self) -> Sequence[bytes | None] | None:
        with self._lock:
            return next(self._portions, None)

    def close(self) -> None:
        with self._lock:
            cast(Generator[object], self._portions).close()
