"""The Faust app of one replica, composed from the plan: topics, version tables, agents."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from faust.types import TP

from streams.agents.apply import Applier
from streams.agents.backfill import Filling
from streams.agents.base import App
from streams.agents.checks import Checks
from streams.agents.events import Events
from streams.agents.failures import Failures
from streams.agents.findings import Findings
from streams.agents.following import follower_of, leave_log
from streams.agents.lost import drop_lost
from streams.agents.owner import Owner
from streams.agents.repairs import Repairs
from streams.agents.reverse import ReverseSweep
from streams.agents.scrub import Scrub
from streams.agents.table import Budget, TableWork, Threads
from streams.agents.told import DriftTopic
from streams.agents.worker import ReplicaWorker
from streams.errors import HoldtrueError, NotReady
from streams.kafka.admin import Topics
from streams.kafka.events import EventWriter
from streams.kafka.partitions import partitioner_of
from streams.kafka.registry import Registry
from streams.kafka.topics import checks_topic, repairs_topic, topics_of
from streams.kafka.wire import Decoder
from streams.plan.mapping import Shape
from streams.plan.model import Plan, TableMapping
from streams.repair.storm import Storm
from streams.replicas.open import open_replica
from streams.rows.digest import Digester
from streams.sot.fence import Fence
from streams.sot.reader import SotReader
from streams.sot.shapes import find_shapes
from streams.transport.table import VersionTable

log = logging.getLogger(__name__)

# What a partition fetches at a time, compressed (lz4: to about a third): some 5,000 records of 300 bytes, a batch.
FETCH_BYTES_MAX = 1 << 19
# Blocking calls at once: a store write and a SOT read for two partitions.
THREADS = 4
GAUGES_EVERY_SECONDS = 1.0
# Periods of checking within which so much drift is a storm: what is wrong still is found again within one.
STORM_PERIODS = 2
SUSPICIONS_EVERY_SECONDS = 1.0
# How long records of a topic that was made anew may be taken for those of the one before; all are read again then.
TOPICS_EVERY_SECONDS = 5.0
FORGET_EVERY_SECONDS = 600.0
SUSPICIONS_SECONDS_MAX = 30.0


class ReplicaApp(App):
    """The app of one replica: what Faust asks is answered by its worker."""

    plan: Plan
    replica_name: str
    replica: ReplicaWorker
    checks: Checks
    repairs: Repairs
    ending: asyncio.Lock

    def prepare_folder(self) -> None:
        """Drop the state of changelogs that are no more."""
        drop_lost(self.plan, self.replica_name, self.folder)

    def prepare(self) -> None:
        """Know that the topics are there (Faust would wait for them without a word), and have every store ready."""
        Topics(self.plan.kafka.bootstrap.resolve()).require(topics_of(self.plan))
        self.replica.prepare()
        leave_log(self.plan, self.replica_name)

    def live(self) -> str | None:
        """Whether offsets move while there is lag."""
        return self.replica.live()

    def ready(self) -> str | None:
        """Whether partitions are assigned, recovered, and within the plan's bound."""
        return self.replica.ready()

    async def on_stop(self) -> None:
        """End the owners while the tables they write to are open: Faust closes those first."""
        await self.replica.end_following()
        await self.end_owners()
        await super().on_stop()

    async def end_owners(self) -> None:
        """End all work on the assigned partitions, each between two batches where that comes soon.

        Who calls this while it is under way waits, too: what the owners write to is closed behind it.
        """
        async with self.ending:
            await asyncio.gather(self.checks.stop(), self.repairs.stop())
            await self.replica.stop()

    async def start_owners(self) -> None:
        """Start the owners of the partitions that are assigned and recovered; none once the worker is to end."""
        assigned = self.consumer.assignment()
        try:
            await self.replica.lives.require(self.checks.partners(assigned), assigned)
            await self.replica.lives.recognise(self.consumer.assignment())
        except HoldtrueError as error:
            await self.crash(error)
            return
        if not self.should_stop:
            self.replica.start_owners(self.consumer.assignment())
            self.replica.start_following()

    def is_ordered(self, tp: TP) -> bool:
        """Change topics are: a gap there is a lost change."""
        return self.replica.keeps(tp.topic)

    async def on_gap(self, tp: TP, wanted: int, first: int) -> None:
        """Changes were gone before they were applied."""
        await self.replica.lives.pass_gap(tp, wanted, first)

    async def on_begun_anew(self, tp: TP, wanted: int) -> None:
        """If so, the partition is begun anew by a process that has nothing of before in its hands."""
        if (replaced := await self.replica.lives.begun_anew(tp, wanted)) is not None:
            await self.crash(replaced)

    def start_offset(self, tp: TP, committed: int | None) -> int | None:
        """Behind what is known to be in the store, never beyond."""
        return self.replica.start_offset(tp, committed)


def create_app(plan: Plan, replica: str, *, folder: Path, instance: str) -> ReplicaApp:
    """The app of `replica`. Connects to nothing yet but the SOT's catalog, whose columns decide the shapes.

    folder: local state of this worker. instance: its name in the group, the same after a restart (static membership).
    """
    topics = [plan.change_topic(table) for table in plan.replicas[replica].tables]
    app = ReplicaApp.of(plan, replica, topics, folder=folder, instance=instance, fetch_bytes_max=FETCH_BYTES_MAX)
    app.plan, app.replica_name, app.ending = plan, replica, asyncio.Lock()
    threads = Threads(ThreadPoolExecutor(THREADS, thread_name_prefix="store"))
    registry = Registry(plan.kafka.registry.resolve())
    source = f"/holdtrue/{plan.name}/{replica}"
    writer = EventWriter(plan.kafka.bootstrap.resolve(), registry, client_id=f"holdtrue-{replica}-{instance}")
    events = Events(writer, threads, source, plan.kafka.topics)
    tables = _tables(app, plan, replica, folder, registry, threads)
    appliers = {topic: Applier(work, Failures(events, work.names, topic)) for topic, work in tables.items()}
    lives = Topics(plan.kafka.bootstrap.resolve()).lives
    app.replica = ReplicaWorker(app, tables, appliers, events, threads, lives)
    app.checks, app.repairs = _requests(app, plan, replica, registry, events, threads)
    drift = DriftTopic(plan.kafka.bootstrap.resolve(), plan.own_topic("drift"), registry, threads, replica)
    _check_always(app.replica, events, app.repairs, drift)
    app.replica.follower_of = partial(
        follower_of, plan, replica, list(tables.values()), events, folder, lambda: app.replica.owners
    )
    app.replica.filling_of = lambda owner: Filling(owner, app.repairs, events)
    _agents(app, plan, replica)
    return app


def _check_always(worker: ReplicaWorker, events: Events, repairs: Repairs, drift: DriftTopic) -> None:
    """Have the tables checked all the time for which the plan has a period."""
    storms: dict[str, Storm] = {}

    def scrub_of(owner: Owner) -> Scrub | None:
        work, period = owner.work, _scrub_seconds(owner.work)
        if period is None or work.unprepared:
            return None
        storm = storms.setdefault(work.table, Storm(work.mapping.repair.stop_above, STORM_PERIODS * period))
        return Scrub(owner, Findings(owner, events, repairs, storm, drift), period)

    def reverse_of(work: TableWork, scrubs: Callable[[], Mapping[int, Scrub]]) -> ReverseSweep:
        period = _scrub_seconds(work)
        assert period is not None  # there is a scrub
        return ReverseSweep(work, events, period, scrubs)

    worker.scrub_of, worker.reverse_of = scrub_of, reverse_of


def _scrub_seconds(work: TableWork) -> float | None:
    period = work.mapping.validation.scrub_period
    return None if period is None else period.total_seconds()


def _requests(
    app: ReplicaApp, plan: Plan, replica: str, registry: Registry, events: Events, threads: Threads
) -> tuple[Checks, Repairs]:
    worker, crash = app.replica, app.crash
    tables = plan.replicas[replica].tables
    changes = {checks_topic(plan, replica, table): plan.change_topic(table) for table in tables}
    decoder = Decoder("check-request", registry)
    checks = Checks(worker.owner, worker.commit, worker, decoder, threads, events, changes, crash)
    changes = {repairs_topic(plan, replica, table): plan.change_topic(table) for table in tables}
    decoder = Decoder("repair-request", registry)
    repairs = Repairs(worker.owner, worker.commit, worker, decoder, threads, events, changes, crash)
    return checks, repairs


def _tables(
    app: ReplicaApp, plan: Plan, replica: str, folder: Path, registry: Registry, threads: Threads
) -> Mapping[str, TableWork]:
    """What is shared per table, by change topic."""
    dsn = plan.source.dsn.resolve()
    versions = {
        table: VersionTable(
            app, name=table, partitions=plan.tables[table].partitions, folder=folder / table,
            help=f"what {replica} must hold of {table}",
        ) for table in plan.replicas[replica].tables
    }  # fmt: skip
    shapes, unprepared = _shapes(plan, replica, versions)
    stores = open_replica(plan, replica, shapes)
    verified = {
        table: shape for table, shape in shapes.items() if plan.replicas[replica].tables[table].mode == "verify"
    }
    repaired = open_replica(plan, replica, verified, to_write=True) if verified else {}
    budget = Budget(plan.source.reads_per_second)
    tables = {}
    for table, mapping in plan.replicas[replica].tables.items():
        app.tables.add(versions[table])
        tables[plan.change_topic(table)] = work = _table_work(
            plan, replica, table, mapping, shapes[table], stores[table], registry, dsn, versions[table], threads, budget
        )
        work.unprepared, work.repaired = unprepared.get(table, ""), repaired.get(table)
    return tables


def _shapes(
    plan: Plan, replica: str, versions: Mapping[str, VersionTable]
) -> tuple[Mapping[str, Shape], Mapping[str, str]]:
    """Table → shape; and table → why it is held, where it was kept before and does not fit the SOT any more.

    One that never was kept is an error of the setup, and is raised.
    """
    shapes, unfit = find_shapes(plan, replica)
    for table, error in unfit.items():
        if not versions[table].was_kept:
            raise error
        log.error("%s is held in %s: %s", table, replica, error)
        shapes[table] = Shape.of_key(table, plan.tables[table].key)
    return shapes, {table: f"{error} Then start the worker again." for table, error in unfit.items()}


def _table_work(
    plan: Plan, replica: str, table: str, mapping: TableMapping, shape: Shape, store: Any, registry: Registry, dsn: str,
    versions: VersionTable, threads: Threads, budget: Budget,
) -> TableWork:  # fmt: skip
    sot = SotReader(dsn, shape, application=f"holdtrue {plan.name} {replica}")
    digester = Digester(shape.mapping_version, plan.digest_secret)
    repairs = Budget(mapping.repair.rows_per_second)
    fence = Fence(dsn, plan.source.slot, f"holdtrue {plan.name} {replica}")
    partitions = plan.tables[table].partitions
    partitioner = partial(partitioner_of, registry, plan.change_topic(table), table, shape.key_columns, partitions)
    return TableWork(
        replica, table, mapping, shape, digester, store, registry, sot, fence, partitions, versions, threads, budget,
        repairs, partitioner, absent_allowed=plan.replicas[replica].absent_allowed_in(table),
        key_secret=plan.key_secret(replica, table), kind=plan.replicas[replica].kind,
    )  # fmt: skip


def _agents(app: ReplicaApp, plan: Plan, replica: str) -> None:
    """The agents that `faust agents` lists."""
    tables = plan.replicas[replica].tables
    changes = app.batches_of(*(plan.change_topic(table) for table in tables))
    checks = app.batches_of(*(checks_topic(plan, replica, table) for table in tables))
    repairs = app.batches_of(*(repairs_topic(plan, replica, table) for table in tables))

    @app.agent(changes, name="apply")  # type: ignore[untyped-decorator]
    async def apply(batches: Any) -> None:
        """Bring the replica to where the change topics say."""
        async for batch in batches:
            if not app.should_stop:
                app.replica.offer(batch)

    @app.agent(checks, name="check")  # type: ignore[untyped-decorator]
    async def check(batches: Any) -> None:
        """Answer what a partition holds, compared with what the SOT has."""
        async for batch in batches:
            if not app.should_stop:
                app.checks.offer(batch)

    @app.agent(repairs, name="repair")  # type: ignore[untyped-decorator]
    async def repair(batches: Any) -> None:
        """Make drifted keys right."""
        async for batch in batches:
            if not app.should_stop:
                app.repairs.offer(batch)

    @app.on_rebalance_complete.connect  # type: ignore[untyped-decorator]
    async def recovered(*_: Any, **__: Any) -> None:
        await app.start_owners()

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def revoked(*_: Any, **__: Any) -> None:
        await app.end_owners()

    @app.timer(GAUGES_EVERY_SECONDS, name="gauges")  # type: ignore[untyped-decorator]
    async def gauges() -> None:
        app.replica.measure()

    @app.timer(TOPICS_EVERY_SECONDS, name="topics")  # type: ignore[untyped-decorator]
    async def topics() -> None:
        if (replaced := await app.replica.lives.watch()) is not None:
            await app.crash(replaced)

    @app.timer(TOPICS_EVERY_SECONDS, name="paused")  # type: ignore[untyped-decorator]
    async def paused() -> None:
        await app.replica.hear_paused()

    @app.timer(FORGET_EVERY_SECONDS, name="forget-tombstones")  # type: ignore[untyped-decorator]
    async def forget_tombstones() -> None:
        await app.replica.forget_tombstones(plan.tombstone_retention)

    @app.timer(SUSPICIONS_EVERY_SECONDS, name="suspicions")  # type: ignore[untyped-decorator]
    async def suspicions() -> None:
        await settle_suspicions(app.replica, app.repairs)


async def settle_suspicions(replica: ReplicaWorker, repairs: Repairs) -> None:
    """Every owner's, one owner after the other: a rebalance may end those that come later meanwhile."""
    for tp in [owner.tp for owner in replica.owners]:
        owner = replica.running(tp)
        if owner is not None:
            await _settled(repairs, owner)


async def _settled(repairs: Repairs, owner: Owner) -> None:
    """One owner's suspicions; what cannot be settled now is tried again at the next turn."""
    try:
        async with asyncio.timeout(SUSPICIONS_SECONDS_MAX):
            await repairs.settle_suspicions(owner)
    except (NotReady, TimeoutError) as error:
        left, why = len(owner.state.suspected), str(error) or f"not done within {SUSPICIONS_SECONDS_MAX:.0f} s"
        log.warning("%d keys of %s with tokens that are not ours are not settled yet: %s", left, owner.work.table, why)
