"""A replica's worker: its owners, one per partition, through assignments and revocations."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaError
from faust.types import TP

from streams.agents.announce import Announcer
from streams.agents.apply import Applier
from streams.agents.events import Events
from streams.agents.lives import TopicLives
from streams.agents.owner import Owner
from streams.agents.table import TableWork, Threads
from streams.agents.truncate import SweepOrders
from streams.errors import HoldtrueError
from streams.health import stalled
from streams.kafka.admin import Life
from streams.metrics import (
    BACKFILLS_WAITING,
    HELD,
    LAG_EVENTS,
    LAG_SECONDS,
    PROGRESS_SECONDS,
    REBUILDING,
    SCRUB_AGE_SECONDS,
    STORE_ERRORS,
    SUSPICIONS,
    SWEEPS_PENDING,
)
from streams.replicas.base import Refused, Unwelcome
from streams.transport.batches import Batch

if TYPE_CHECKING:
    from streams.agents.backfill import Filling
    from streams.agents.follow import Follower
    from streams.agents.reverse import ReverseSweep
    from streams.agents.scrub import Scrub

log = logging.getLogger(__name__)

# How long a revoked partition's batch may take to finish; then it is cancelled and will be replayed by the next owner.
FINISH_SECONDS = 20.0


class ReplicaWorker:
    """Keeps one `Owner` per assigned partition of the change topics. Lives on the event loop."""

    def __init__(
        self,
        app: Any,
        tables: Mapping[str, TableWork],
        appliers: Mapping[str, Applier],
        events: Events,
        threads: Threads,
        lives: Callable[[Sequence[str]], Mapping[str, Life]],
    ) -> None:
        self._app = app
        self._tables = tables  # by change topic, as the appliers
        self._appliers = appliers
        self._announcer = Announcer(tables, events)
        self._sweeps = SweepOrders(app, tables, events)
        self.lives = TopicLives(app, self, tables, appliers, self._announcer, threads, lives)
        self._owners: dict[TP, Owner] = {}
        self._tasks: dict[TP, asyncio.Task[None]] = {}
        # What checks a partition all the time, carries out its backfills, and lists the keys of a table: the app's.
        self.scrub_of: Callable[[Owner], Scrub | None] = lambda _: None
        self.filling_of: Callable[[Owner], Filling | None] = lambda _: None
        self.reverse_of: Callable[[TableWork, Callable[[], Mapping[int, Scrub]]], ReverseSweep]
        self._reverse: dict[str, asyncio.Task[None]] = {}
        # What follows the replica's own log, whichever partitions are assigned; None where the plan does not want it.
        self.follower_of: Callable[[], Follower | None] = lambda: None
        self._following: asyncio.Task[None] | None = None
        self._progress_at = time.time()
        self._behind = False
        # Ends of partitions that nobody fetches from, as Kafka was asked for them.
        self._paused_ends: Mapping[TP, int] = {}

    def prepare(self) -> None:
        """Have every store ready to be written; raises what the stores raise.

        A table that was kept before and is refused now is held alone: the others run on. One that never was is an
        error of the setup, and is said at once, as is a store that does not let us in.
        """
        for work in self._prepared:
            try:
                work.store.prepare()
            except Refused as refused:
                if isinstance(refused, Unwelcome) or not work.versions.was_kept:
                    raise
                log.error("%s is held in %s: %s", work.table, work.replica, refused)
                work.unprepared = str(refused)

    async def forget_tombstones(self, older_than: timedelta) -> None:
        """Have stores drop what a replay can no longer ask for; what they cannot do now they do next time."""
        for work in self._prepared:
            try:
                while await work.threads.run(work.store.forget_tombstones, older_than):
                    pass
            except HoldtrueError as error:
                log.warning("%s in %s keeps its tombstones until the next round: %s", work.table, work.replica, error)

    @property
    def _prepared(self) -> list[TableWork]:
        """The tables that store and SOT can take part in."""
        return [work for work in self._tables.values() if not work.unprepared]

    def offer(self, batch: Batch) -> None:
        """Give a fetch of a change topic to its partition's owner."""
        self.owner(batch.tp).offer(batch)

    def owner(self, tp: TP) -> Owner:
        """The owner of a change topic's partition that is assigned to this worker; started when first needed."""
        if tp not in self._owners:
            work = self._tables[tp.topic]
            state = work.versions.state(tp.partition)
            owner = Owner(tp, work, self._appliers[tp.topic], state, self, self._announcer, self._sweeps.order)
            self._check(owner)
            owner.filling = self.filling_of(owner)
            self._owners[tp] = owner
            self._tasks[tp] = asyncio.create_task(self._run(owner), name=f"owner {tp.topic}[{tp.partition}]")
        return self._owners[tp]

    def _check(self, owner: Owner) -> None:
        """Have the owner's partition checked all the time, and with the first one the replica's keys listed."""
        owner.scrub = self.scrub_of(owner)
        work = owner.work
        if owner.scrub is not None and work.table not in self._reverse:
            sweep = self.reverse_of(work, partial(self._scrubs, work))
            self._reverse[work.table] = asyncio.create_task(self._swept_in_reverse(sweep), name=f"reverse {work.table}")

    def _scrubs(self, work: TableWork) -> dict[int, Scrub]:
        """The continuous checks of a table's partitions."""
        owners = (owner for owner in self.owners if owner.work is work)
        return {owner.tp.partition: owner.scrub for owner in owners if owner.scrub is not None}

    def start_owners(self, assigned: Iterable[TP]) -> None:
        """Start the owners of assigned partitions that are recovered: what a state has left to do needs no record."""
        for tp in assigned:
            if self.keeps(tp.topic):
                self.owner(TP(tp.topic, tp.partition))

    def start_following(self) -> None:
        """Follow the replica's own log from now on, where the plan wants that, through every rebalance."""
        if self._following is None and (follower := self.follower_of()) is not None:
            self._following = asyncio.create_task(self._followed(follower), name="replica log")

    async def end_following(self) -> None:
        """Let another worker follow."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    async def _followed(self, follower: Follower) -> None:
        try:
            await follower.run()
        except Exception as error:
            await self._app.crash(error)

    @property
    def owners(self) -> list[Owner]:
        """The owners that are running."""
        return list(self._owners.values())

    def running(self, tp: TP) -> Owner | None:
        """The owner of a partition now; None when it has ended with a rebalance."""
        return self._owners.get(tp)

    async def stop(self) -> None:
        """End all owners, each between two batches if it gets there in time. What is unfinished is replayed."""
        ends = [_end(owner, self._tasks[tp]) for tp, owner in self._owners.items()]
        sweeps = list(self._reverse.values())
        self._owners.clear()
        self._tasks.clear()
        self._reverse.clear()
        for sweep in sweeps:
            sweep.cancel()
        await asyncio.gather(*ends)
        await asyncio.gather(*sweeps, return_exceptions=True)
        for work in self._tables.values():
            work.held = None  # found again by the owners that come next
            work.hold_ordered = False
            HELD.labels(*work.labels).set(0)

    def keeps(self, topic: str) -> bool:
        """Whether this is a change topic of this replica."""
        return topic in self._tables

    def start_offset(self, tp: TP, committed: int | None) -> int | None:
        """Where a change topic's partition starts: min(committed, recovered) (Ordering 13). None: not ours to say.

        Kafka forgets what a group without members has committed; the version table still knows what was applied.
        """
        work = self._tables.get(tp.topic)
        if work is None:
            return None
        recovered = work.versions.state(tp.partition).input_offset + 1
        return recovered if committed is None else min(committed, recovered)

    def pause(self, tp: TP) -> None:
        """Fetch no more of this partition."""
        self._app.consumer.pause_partitions({tp})

    def resume(self, tp: TP) -> None:
        """Fetch it again."""
        self._app.consumer.resume_partitions({tp})

    def end_offset(self, tp: TP) -> int:
        """Offset after the last record of the partition, as the consumer last heard; 0 before it heard any."""
        return self._app.consumer.highwater(tp) or 0

    async def newest_end_offset(self, tp: TP) -> int:
        """Offset after the last record of the partition, as it is in Kafka at this moment."""
        ends: Mapping[TP, int] = await self._app.consumer.highwaters(tp)
        return ends[tp]

    async def commit(self, tp: TP, last_offset: int) -> bool:
        """Commit the input offset of a partition."""
        done: bool = await self._app.consumer.commit_done({tp: last_offset})
        if done:
            self._progressed()
        return done

    def _progressed(self) -> None:
        self._progress_at = time.time()
        PROGRESS_SECONDS.set(self._progress_at)

    def live(self) -> str | None:
        """Why this worker should be restarted; None when it moves, or has nothing to do."""
        return stalled(self._progress_at, behind=self._behind)

    def ready(self) -> str | None:
        """Why this worker does not keep its replica within the plan's bound yet; None when it does."""
        if not self._owners:
            return "no partition is assigned and recovered yet"
        if held := self._held():
            return f"{next(iter(held))} is held"
        if swept := self._swept():
            return f"{next(iter(swept))} is being swept after a TRUNCATE"
        if rebuilt := self._rebuilt():
            return f"{next(iter(rebuilt))} is being rebuilt from the source of truth"
        late = [o.work.table for o in self.owners if o.lag_seconds > o.work.lag_bound_seconds]
        return f"{late[0]} is behind its bound" if late else None

    async def hear_paused(self) -> None:
        """Ask for the ends of paused partitions: what comes in while a table is held is lag like any other."""
        paused = [owner.tp for owner in self.owners if owner.is_paused]
        try:
            self._paused_ends = await self._app.consumer.highwaters(*paused) if paused else {}
        except KafkaError as error:
            STORE_ERRORS.labels("kafka", type(error).__name__).inc()
            log.warning("the ends of paused partitions are not known: %s", type(error).__name__)

    def measure(self) -> None:
        """Bring the lag gauges up to date."""
        seconds: dict[tuple[str, str], float] = {work.labels: 0.0 for work in self._tables.values()}
        events = dict.fromkeys(seconds, 0)
        self._behind = False
        for owner in self.owners:
            labels = owner.work.labels
            seconds[labels] = max(seconds[labels], owner.lag_seconds)
            end = max(owner.end_offset, self._paused_ends.get(owner.tp, 0))
            left = max(0, end - 1 - owner.state.input_offset)
            events[labels] += left
            # What is to wait is no work that does not move.
            self._behind |= left > 0 and owner.held is None
        for labels, value in seconds.items():
            LAG_SECONDS.labels(*labels).set(value)
            LAG_EVENTS.labels(*labels).set(events[labels])
        held, swept, rebuilt, suspected = self._held(), self._swept(), self._rebuilt(), self._suspected()
        filled = self._filled()
        for work in self._tables.values():
            HELD.labels(*work.labels).set(work.table in held)
            SWEEPS_PENDING.labels(*work.labels).set(swept[work.table])
            REBUILDING.labels(*work.labels).set(rebuilt[work.table])
            SUSPICIONS.labels(*work.labels).set(suspected[work.table])
            BACKFILLS_WAITING.labels(*work.labels).set(filled[work.table])
            if scrubs := self._scrubs(work):
                SCRUB_AGE_SECONDS.labels(*work.labels).set(max(scrub.age for scrub in scrubs.values()))
        if not self._behind:
            self._progressed()

    def _held(self) -> Counter[str]:
        """Tables that wait, and in how many partitions."""
        return Counter(owner.work.table for owner in self.owners if owner.held is not None)

    def _swept(self) -> Counter[str]:
        """Tables with a sweep after a TRUNCATE still to do, and in how many partitions."""
        return Counter(owner.work.table for owner in self.owners if owner.state.sweep.pending)

    def _rebuilt(self) -> Counter[str]:
        """Tables with rows that are not known again yet, and in how many partitions."""
        return Counter(owner.work.table for owner in self.owners if owner.state.takeover.pending)

    def _filled(self) -> Counter[str]:
        """Tables with backfills that are not done, and how many, over their partitions."""
        counted = Counter[str]()
        for owner in self.owners:
            counted[owner.work.table] += len(owner.state.backfills.waiting)
        return counted

    def _suspected(self) -> Counter[str]:
        """Tables with keys whose store holds a token that is not ours, and how many keys."""
        counted = Counter[str]()
        for owner in self.owners:
            counted[owner.work.table] += len(owner.state.suspected)
        return counted

    async def _swept_in_reverse(self, sweep: ReverseSweep) -> None:
        try:
            await sweep.run()
        except Exception as error:
            await self._app.crash(error)

    async def _run(self, owner: Owner) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(owner.run())
                tasks.create_task(owner.rebuild())
                tasks.create_task(owner.check())
                tasks.create_task(owner.fill())
        except* Exception as errors:
            # An error nobody foresaw must stop the worker, never skip a batch: it starts again where it was.
            error = errors.exceptions[0]
            log.error("the owner of %s failed", owner.tp, exc_info=error)
            await self._app.crash(error)


async def _end(owner: Owner, task: asyncio.Task[None]) -> None:
    try:
        async with asyncio.timeout(FINISH_SECONDS), owner.lock:
            task.cancel()
    except TimeoutError:
        log.warning("%s: the batch in hand did not finish in time; it will be replayed", owner.tp)
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
