"""Following a replica's own log: what others changed there is looked at by the owners, within seconds.

One worker of the replica follows, whichever holds the slot, or what DynamoDB has in place of one; the others stand by.
What it finds is no drift but a reason to look: it goes to the owner of each key, who judges as continuous checking
always does. The log is confirmed after Kafka has acknowledged that, so a follower that is killed loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING
from uuid import uuid4

from streams.agents.announce import signal
from streams.agents.spread import NOBODYS, by_partition
from streams.agents.table import TableWork, Threads
from streams.checks.request import ORDER_WITHIN, Depth, request
from streams.errors import HoldtrueError
from streams.metrics import (
    FOREIGN_CHANGES,
    REPLICA_BUCKETS_COMPARED,
    REPLICA_COMPARE_SECONDS,
    REPLICA_COMPARED_AGE_SECONDS,
    REPLICA_LOG_CHANGES,
    REPLICA_LOG_FOLLOWED,
)
from streams.replicas.log import Compared, FollowedLog, Foreign, LogTaken, Read
from streams.rows.digest import BUCKETS
from streams.steps import Step, reached

if TYPE_CHECKING:
    from prometheus_client import Gauge

    from streams.agents.events import Events
    from streams.agents.marks import Marks

log = logging.getLogger(__name__)

# How soon one that stands by takes over, and how long after a failure it is tried again.
STAND_BY_SECONDS = 3.0
FAILED_SECONDS = 5.0
# Keys of one request: those of the largest tables' keys fit into a message, and an owner looks at them in seconds.
NAMED_KEYS = 1_000
BEGUN = "replica-log-begun"
UNSEEN = "what others changed before this moment was not seen in the log: visiting every key finds it"


class Follower:
    """Of one replica. `works`: its tables whose log is followed. `opened`: gives the log, to be opened.

    lag: what shows how far the reading is behind. marks: what owners put into the log, where that can be written into.
    """

    def __init__(
        self, replica: str, works: Sequence[TableWork], events: Events, opened: Callable[[], FollowedLog],
        lag: Gauge, marks: Marks | None = None,
    ) -> None:  # fmt: skip
        self._replica = replica
        self._works: Mapping[str, TableWork] = {work.table: work for work in works}
        self._events = events
        self._opened = opened
        self._lag = lag
        self._marks = marks
        # When the digests were made that were compared last, by table and partition.
        self._compared: dict[tuple[str, int], float] = {}
        # A thread of its own: it waits for the log nearly all the time, and everything of a stream is in one thread.
        self._threads = Threads(ThreadPoolExecutor(1, thread_name_prefix="log"))
        self._said = ""

    async def run(self) -> None:
        """Follow, or stand by, and mark, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_always())
            if self._marks is not None:
                tasks.create_task(self._marks.run())

    async def _follow_always(self) -> None:
        """What ends it is told once and tried again."""
        while True:
            self._follows(False)
            followed = self._opened()
            try:
                await self._follow(followed)
            except LogTaken:
                await asyncio.sleep(STAND_BY_SECONDS)
            except HoldtrueError as error:
                self._warn(str(error))
                await asyncio.sleep(FAILED_SECONDS)
            except Exception:
                # Nothing was written; that the log is not followed is a metric, and the scrub goes on.
                log.exception("following the log of %s failed", self._replica)
                await asyncio.sleep(FAILED_SECONDS)
            finally:
                self._compared.clear()
                # What was compared gets older from here on, or younger in another worker: neither is known here.
                REPLICA_COMPARED_AGE_SECONDS.clear()
                await asyncio.shield(self._threads.run(followed.close))

    async def _follow(self, followed: FollowedLog) -> None:
        begun = await self._threads.run(followed.open)
        self._said = ""
        log.info("this worker follows the log of the replica %s", self._replica)
        if begun:
            await self._tell_begun(begun)
        self._follows(True)
        while True:
            read = await self._threads.run(followed.read)
            await self._hand_on(read)
            await self._hand_on_compared(read.compared)
            followed.confirm(read.through)
            REPLICA_LOG_CHANGES.labels(self._replica).inc(read.changes)
            self._lag.labels(self._replica).set(followed.behind)

    async def _tell_begun(self, tables: Collection[str]) -> None:
        """What begins sees nothing of what was before: nobody may believe that it did."""
        log.warning("the log of %s is followed from now on: %s", self._replica, UNSEEN)
        for table in tables:
            self._events.send(*signal(self._works[table], BEGUN, {"reason": UNSEEN}))
        await self._events.flush()

    async def _hand_on(self, read: Read) -> None:
        """Have the owners look; in Kafka when this returns."""
        if not read.foreign:
            return
        for table, foreign in read.foreign.items():
            work = self._works[table]
            FOREIGN_CHANGES.labels(*work.labels).inc(len(foreign.keys))
            for partition, keys in await self._by_owner(work, foreign):
                self._events.order(f"checks.{work.replica}.{table}", partition, _look(work, keys))
        reached(Step.foreign_seen)
        await self._events.flush()
        reached(Step.foreign_told)

    async def _hand_on_compared(self, compared: Sequence[Compared]) -> None:
        """Have the owners look at what is in unequal buckets; in Kafka when this returns."""
        for each in compared:
            work = self._works[each.table]
            self._compared[each.table, each.partition] = each.at
            REPLICA_COMPARE_SECONDS.labels(*work.labels).set(each.seconds)
            REPLICA_BUCKETS_COMPARED.labels(*work.labels, "equal").inc(BUCKETS - len(each.buckets))
            REPLICA_BUCKETS_COMPARED.labels(*work.labels, "unequal").inc(len(each.buckets))
            if each.buckets:
                self._events.order(f"checks.{work.replica}.{work.table}", each.partition, _look_in(work, each))
        for work in self._works.values():
            times = [self._compared.get((work.table, partition)) for partition in range(work.partitions)]
            if None not in times:
                REPLICA_COMPARED_AGE_SECONDS.labels(*work.labels).set(time.time() - min(t for t in times if t))
        if any(each.buckets for each in compared):
            await self._events.flush()

    async def _by_owner(self, work: TableWork, foreign: Foreign) -> Iterator[tuple[int, Sequence[bytes]]]:
        everywhere = range(work.partitions) if foreign.everything else ()
        grouped = await self._threads.run(by_partition, work.partitioner, foreign.keys)
        grouped.pop(NOBODYS, None)  # the reverse sweep tells of rows under such keys
        named = ((partition, part) for partition, keys in grouped.items() for part in _parts(keys))
        # Those that are named are looked at, too, where every key is: the replica must not hold each of them.
        return chain(((partition, ()) for partition in everywhere), named)

    def _follows(self, follows: bool) -> None:
        for work in self._works.values():
            REPLICA_LOG_FOLLOWED.labels(*work.labels).set(follows)

    def _warn(self, said: str) -> None:
        if said != self._said:
            log.warning("the log of %s is not followed: %s", self._replica, said)
        self._said = said


def _parts(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    return (keys[first : first + NAMED_KEYS] for first in range(0, len(keys), NAMED_KEYS))


def _look_in(work: TableWork, compared: Compared) -> dict[str, object]:
    if compared.keys is None:
        return _look(work, ())
    named = {"digests": list(compared.keys.values()), "buckets": list(compared.buckets)}
    return {**_look(work, list(compared.keys)), **named}


def _look(work: TableWork, keys: Sequence[bytes]) -> dict[str, object]:
    deadline = datetime.now(UTC) + ORDER_WITHIN
    return request(f"look-{uuid4()}", work.replica, work.table, Depth.look, keys=keys, deadline=deadline)
