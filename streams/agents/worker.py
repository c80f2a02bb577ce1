"""A replica's worker: its owners, one per partition, through assignments and revocations."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from aiokafka.errors import KafkaError
from faust.types import TP

from streams.agents.apply import Applier
from streams.agents.events import Events
from streams.agents.owner import Owner
from streams.agents.retry import until_available
from streams.agents.table import Held, TableWork, Threads
from streams.checks.request import Depth, request
from streams.drift.cause import MISSED_CHANGE
from streams.drift.continuity import continuity_event
from streams.errors import HoldtrueError
from streams.health import stalled
from streams.kafka.admin import Life
from streams.metrics import (
    DRIFT_EVENTS,
    HELD,
    LAG_EVENTS,
    LAG_SECONDS,
    PROGRESS_SECONDS,
    REBUILDING,
    STORE_ERRORS,
    SWEEPS_PENDING,
)
from streams.replicas.base import Refused
from streams.steps import Step, reached
from streams.transport.batches import Batch
from streams.versions.state import PartitionState

log = logging.getLogger(__name__)

# How long a revoked partition's batch may take to finish; then it is cancelled and will be replayed by the next owner.
FINISH_SECONDS = 20.0
# How long an order to sweep may wait for its owner; a topic that forgets it before has forgotten changes, too.
SWEEP_WITHIN = timedelta(days=365)


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
        self._threads = threads
        self._read_lives = lives
        self._tables = tables  # by change topic
        self._appliers = appliers
        self._events = events
        self._owners: dict[TP, Owner] = {}
        self._tasks: dict[TP, asyncio.Task[None]] = {}
        self._progress_at = time.time()
        self._behind = False
        # Ends of partitions that nobody fetches from, as Kafka was asked for them.
        self._paused_ends: Mapping[TP, int] = {}

    def prepare(self) -> None:
        """Have every store ready to be written; raises what the stores raise.

        A table that was kept before and is refused now is held alone: the others run on. One that never was is an
        error of the setup, and is said at once.
        """
        for work in self._tables.values():
            try:
                work.store.prepare()
            except Refused as refused:
                if not work.versions.was_kept:
                    raise
                log.error("%s is held in %s: %s", work.table, work.replica, refused)
                work.unprepared = str(refused)

    async def forget_tombstones(self, older_than: timedelta) -> None:
        """Have stores drop what a replay can no longer ask for; what they cannot do now they do next time."""
        for work in self._tables.values():
            try:
                while await work.threads.run(work.store.forget_tombstones, older_than):
                    pass
            except HoldtrueError as error:
                log.warning("%s in %s keeps its tombstones until the next round: %s", work.table, work.replica, error)

    def offer(self, batch: Batch) -> None:
        """Give a fetch of a change topic to its partition's owner."""
        self.owner(batch.tp).offer(batch)

    def owner(self, tp: TP) -> Owner:
        """The owner of a change topic's partition that is assigned to this worker; started when first needed."""
        if tp not in self._owners:
            work = self._tables[tp.topic]
            state = work.versions.state(tp.partition)
            owner = Owner(tp, work, self._appliers[tp.topic], state, self, self._announce_held, self._order_sweeps)
            self._owners[tp] = owner
            self._tasks[tp] = asyncio.create_task(self._run(owner), name=f"owner {tp.topic}[{tp.partition}]")
        return self._owners[tp]

    def start_owners(self, assigned: Iterable[TP]) -> None:
        """Start the owners of assigned partitions that are recovered: what a state has left to do needs no record."""
        for tp in assigned:
            if self.keeps(tp.topic):
                self.owner(TP(tp.topic, tp.partition))

    async def recognise_topics(self, assigned: Iterable[TP]) -> None:
        """Notice, before anything is applied, change topics that are not those the version tables tell of.

        Offsets of another life of a topic mean other records: the partition begins anew, in an epoch of its own
        (Ordering 15). Raises HoldtrueError where a topic is not there.
        """
        mine = [TP(tp.topic, tp.partition) for tp in assigned if self.keeps(tp.topic)]
        if not mine:
            return
        lives = await self._lives({tp.topic for tp in mine})
        ends: Mapping[TP, int] = await self._app.consumer.highwaters(*mine)
        for tp in mine:
            work = self._tables[tp.topic]
            if tp.topic not in lives:
                raise _replaced(tp.topic)
            state, life = work.versions.state(tp.partition), lives[tp.topic].id
            if state.input_offset >= ends[tp] or not state.is_of(life):
                await self._begin_anew(tp, state, life)
            state.topic = life

    async def watch_topics(self) -> HoldtrueError | None:
        """Why this worker must begin again: a topic was made anew under it. Holds a table that got more partitions."""
        lives = await self._lives({owner.tp.topic for owner in self.owners})
        for owner in self.owners:
            life = lives.get(owner.tp.topic)
            if life is not None and owner.state.topic not in ("", life.id):
                return _replaced(owner.tp.topic)
            if life is not None and life.partitions != owner.work.partitions and owner.work.held is None:
                await owner.hold_table(_moved_keys(owner.tp.topic, owner.work.partitions, life.partitions))
        return None

    async def begun_anew(self, tp: TP, wanted: int) -> HoldtrueError | None:
        """A partition ends before what was read of it: remember that it begins anew; why this worker must begin again.

        The topic's id may be the same (records were lost at an unclean election), and by the time of the restart its
        end may have passed the offset that would tell.
        """
        owner = self.owner(tp)
        life = (await self._lives([tp.topic])).get(tp.topic)
        ends: Mapping[TP, int] = await self._app.consumer.highwaters(tp)
        if life is not None and owner.state.is_of(life.id) and ends[tp] >= wanted:
            return None
        async with owner.lock:
            await self._begin_anew(tp, owner.state, life.id if life is not None else owner.state.topic)
        return _replaced(tp.topic)

    async def _lives(self, topics: Iterable[str]) -> Mapping[str, Life]:
        names = sorted(topics)
        return await until_available("topics", lambda: self._threads.run(self._read_lives, names)) if names else {}

    async def _begin_anew(self, tp: TP, state: PartitionState, life: str) -> None:
        applied = state.input_offset
        await self._announce_continuity(
            tp, applied + 1, f"{tp.topic}[{tp.partition}] was made anew or has lost its end: it had been applied up to "
            f"offset {applied}; what came after that and was in it before may be lost"
        )  # fmt: skip
        # A record of the topic that is gone holds nothing any more; its offset may be far behind the new end.
        await self._signal(tp, "table-released", {"reason": f"{tp.topic}[{tp.partition}] begins anew"})
        state.begin_topic(life)
        await self._appliers[tp.topic].note(state)

    @property
    def owners(self) -> list[Owner]:
        """The owners that are running."""
        return list(self._owners.values())

    async def stop(self) -> None:
        """End all owners, each between two batches if it gets there in time. What is unfinished is replayed."""
        tasks = list(self._tasks.values())
        owners = self.owners
        self._owners.clear()
        self._tasks.clear()
        for owner, task in zip(owners, tasks, strict=True):
            try:
                async with asyncio.timeout(FINISH_SECONDS), owner.lock:
                    task.cancel()
            except TimeoutError:
                log.warning("%s: the batch in hand did not finish in time; it will be replayed", owner.tp)
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for work in self._tables.values():
            work.held = None  # found again by the owners that come next
            HELD.labels(*work.labels).set(0)

    def keeps(self, topic: str) -> bool:
        """Whether this is a change topic of this replica."""
        return topic in self._tables

    async def announce_gap(self, tp: TP, wanted: int, first: int) -> None:
        """Say that changes may be lost: table-level drift `continuity`, which only a full run closes (Ordering 15).

        Said before the owner goes on behind them, which makes it known for good: at worst it is said twice.
        """
        owner = self.owner(tp)
        unapplied = max(wanted, owner.state.input_offset + 1)
        if unapplied >= first:
            # Applied, and gone before that was committed: no record will bring the group's offset there.
            await self.commit(tp, owner.state.input_offset)
            return
        lost = f"offsets {unapplied} to {first - 1} of {tp.topic}[{tp.partition}] were gone before they were applied"
        if owner.state.is_blank:
            lost += ", and nothing is known of its keys: each is looked up in the source of truth"
        await self._announce_continuity(tp, unapplied, lost)
        owner.lose(first - 1)

    async def _announce_continuity(self, tp: TP, wanted: int, lost: str) -> None:
        work, now = self._tables[tp.topic], datetime.now(UTC)
        log.error("%s in %s: %s. Validate the table, and repair what it finds.", work.table, work.replica, lost)
        about, change = f"{tp.topic}[{tp.partition}]", {"topic": tp.topic, "partition": tp.partition, "offset": wanted}
        event = continuity_event(work.replica, work.table, about, MISSED_CHANGE, lost, now, change=change)
        DRIFT_EVENTS.labels(*work.labels, "continuity", "open").inc()
        self._events.send("drift", event["id"], "drift", event)
        await self._events.flush()

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
        for work in self._tables.values():
            if work.held is not None:
                return f"{work.table} is held"
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
        for owner in self.owners:
            labels = owner.work.labels
            seconds[labels] = max(seconds[labels], owner.lag_seconds)
            end = max(owner.end_offset, self._paused_ends.get(owner.tp, 0))
            events[labels] += max(0, end - 1 - owner.state.input_offset)
        for labels, value in seconds.items():
            LAG_SECONDS.labels(*labels).set(value)
            LAG_EVENTS.labels(*labels).set(events[labels])
        swept, rebuilt = self._swept(), self._rebuilt()
        for work in self._tables.values():
            SWEEPS_PENDING.labels(*work.labels).set(swept[work.table])
            REBUILDING.labels(*work.labels).set(rebuilt[work.table])
        self._behind = any(events.values())
        if not self._behind:
            self._progressed()

    def _swept(self) -> Counter[str]:
        """Tables with a sweep after a TRUNCATE still to do, and in how many partitions."""
        return Counter(owner.work.table for owner in self.owners if owner.state.sweep.pending)

    def _rebuilt(self) -> Counter[str]:
        """Tables with rows that are not known again yet, and in how many partitions."""
        return Counter(owner.work.table for owner in self.owners if owner.state.takeover.pending)

    async def _run(self, owner: Owner) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(owner.run())
                tasks.create_task(owner.rebuild())
        except* Exception as errors:
            # An error nobody foresaw must stop the worker, never skip a batch: it starts again where it was.
            error = errors.exceptions[0]
            log.error("the owner of %s failed", owner.tp, exc_info=error)
            await self._app.crash(error)

    async def _order_sweeps(self, tp: TP, txid: int) -> None:
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

    async def _announce_held(self, tp: TP, held: Held) -> None:
        await self._signal(tp, "table-held", {"reason": held.reason, "offset": str(held.offset)})

    async def _signal(self, tp: TP, kind: str, detail: Mapping[str, str]) -> None:
        work = self._tables[tp.topic]
        self._events.send(
            "signals", f"{work.replica}/{work.table}", "signal",
            {
                "id": str(uuid4()), "type": kind, "replica": work.replica, "table": work.table,
                "detail": {**detail, "partition": str(tp.partition)}, "at": datetime.now(UTC),
            },
        )  # fmt: skip
        await self._events.flush()


def _replaced(topic: str) -> HoldtrueError:
    return HoldtrueError(
        f"The topic {topic} was deleted or made anew, or has lost its end, while this worker read it.",
        "Start the worker again (a supervisor does): it reads what is there from its beginning, under a new epoch. "
        "Then validate the table, and repair what that finds.",
    )


def _moved_keys(topic: str, planned: int, found: int) -> str:
    return (
        f"{topic} has {found} partitions instead of {planned}: keys have moved to other partitions, away from what is "
        "known of them; make the topic anew with its old number (docs/operations.md)"
    )


def _sweep_request(work: TableWork, floor: int) -> dict[str, Any]:
    deadline = datetime.now(UTC) + SWEEP_WITHIN
    run = f"truncate-{uuid4()}"
    return request(run, work.replica, work.table, Depth.truncate, between=(0, floor), deadline=deadline)
