"""What the control worker does: takes our topics into the control database, publishes the trail, measures."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from faust.types import TP

from streams.agents.keeper import Keeper
from streams.agents.retry import SchemaNotThere, until_available
from streams.agents.schedule import Schedule
from streams.agents.table import Threads
from streams.connectors.slot import slot
from streams.connectors.source import connect, published
from streams.control import gauges, trail
from streams.control.acceptances import Acceptances
from streams.control.continuity import Continuity
from streams.control.copies import Copies
from streams.control.database import Database
from streams.control.lag import Lag
from streams.control.materialise import Applied, Materialiser, progress
from streams.control.offsets import Offsets
from streams.control.passed import end_passed_holds
from streams.control.reach import Reach
from streams.control.stores import Stores
from streams.control.topic import AuditTopic
from streams.drift.continuity import Source
from streams.errors import HoldtrueError, StoreUnavailable
from streams.health import stalled
from streams.kafka.events import EventWriter
from streams.kafka.registry import Registry, UnknownSchema
from streams.kafka.topics import message_topic
from streams.metrics import PROGRESS_SECONDS, STORE_ERRORS
from streams.plan.model import Plan
from streams.replicas.open import open_servers
from streams.sot.fence import Fence, mark
from streams.sot.identity import identity
from streams.transport.batches import Batch

log = logging.getLogger(__name__)

# One thread each for taking in, publishing, measuring and the connector: none waits for another.
THREADS = 4


class Control:
    """Lives on the event loop; blocking calls run in threads, each with a connection of its own."""

    def __init__(self, app: Any, plan: Plan, *, instance: str) -> None:
        self._app = app
        self._plan = plan
        name = f"holdtrue {plan.name} control {instance}"
        dsn = plan.control.dsn.resolve()
        self._database = Database(dsn, application=name)
        self._outbox = Database(dsn, application=f"{name} outbox")
        self._watch = Database(dsn, application=f"{name} watch")
        self._registry = Registry(plan.kafka.registry.resolve())
        bootstrap = plan.kafka.bootstrap.resolve()
        self._writer = EventWriter(bootstrap, self._registry, client_id=f"holdtrue-control-{instance}")
        self._offsets = Offsets(bootstrap, self._registry)
        self._materialiser = Materialiser(self._database, plan, self._registry)
        self._gauges = gauges.DatabaseGauges(plan)
        self._threads = Threads(ThreadPoolExecutor(THREADS, thread_name_prefix="control"))
        self._progress: dict[tuple[str, int], int] = {}
        self._progress_at = time.time()
        self._keeper = Keeper.of(plan)
        source = plan.source.dsn.resolve()
        fence = Fence(dsn=source, slot=plan.source.slot, application=name)
        newest = partial(self._offsets.newest, message_topic(plan))
        self._reach = Reach(partial(mark, source, name), newest)
        # How long what the source commits has not reached Kafka; None: not known.
        self._source_seconds: float | None = None
        watch = Database(dsn, application=f"{name} source")
        # A connection of its own: another thread measures with the other one.
        ends = Offsets(bootstrap, self._registry)
        events = EventWriter(bootstrap, self._registry, client_id=f"holdtrue-control-{instance}-source")
        self._continuity = Continuity(plan, watch, ends, events, self._read_source, fence.passed)
        self._stores = Stores(plan, watch, events, partial(open_servers, plan))
        told = EventWriter(bootstrap, self._registry, client_id=f"holdtrue-control-{instance}-copies")
        self._copies = Copies(plan, self._watch, told)
        # By replica, where it could be asked at the last look.
        self._lags: dict[str, Mapping[str, Lag]] = {}
        self._acceptances = Acceptances(plan, watch, events)
        self._slot_refused = False
        self._schedule = Schedule(plan, Database(dsn, application=f"{name} schedule"))

    def prepare(self) -> None:
        """Have the schema, and the trail as long as the topic's; raises what database, Kafka and registry raise."""
        version = self._database.migrate(self._plan.name)
        restored = trail.restore(self._database, AuditTopic(self._plan, self._registry).entries)
        if restored:
            log.warning("the audit trail had lost its end: %d entries were restored from the audit topic", restored)
        self._progress = progress(self._database)
        self._offsets.refuse_lost(self._progress)
        gauges.from_plan(self._plan)
        log.info("control database at version %d", version)

    def start_offset(self, tp: TP) -> int:
        """The database knows best; a database that was lost or restored is filled again from the topics."""
        return self._progress.get((tp.topic, tp.partition), 0)

    async def take(self, batch: Batch) -> None:
        """Take in a batch and commit its offset; tried again for as long as the database is away."""
        done = await until_available("control", lambda: self._threads.run(self._apply, batch))
        self._progress[batch.tp.topic, batch.tp.partition] = done.next_offset
        await self._app.consumer.commit_done({batch.tp: batch.last_offset})
        self._moved()

    async def publish(self) -> None:
        """Put what the trail has on the audit topic."""
        name, source = self._plan.own_topic("audit"), f"/holdtrue/{self._plan.name}/control"

        def publish() -> int:
            return trail.publish(self._outbox, self._writer, name, source=source)

        while await until_available("audit", lambda: self._threads.run(publish)) == trail.PUBLISH_MAX:
            pass

    async def validate_due(self) -> None:
        """Make the validations that the plan's schedule wants now."""
        try:
            await self._schedule.tick()
        except StoreUnavailable as error:
            log.warning("the schedule waits: %s", error)

    async def measure(self) -> None:
        """Bring gauges up to date, and end holds that are over. What cannot be asked now is asked next time."""
        looks = (self._measure_database, self._measure_reach, self._measure_lag, self._look_at_copies)
        for work in (*looks, self._measure_slot):
            await self._threads.run(_once, work)
        if not self.behind():
            self._moved()

    async def keep_connector(self) -> None:
        """Start the connector again if it has failed; say so if source or stores do not go on from what they were.

        What was accepted until now is open again.
        """
        await self._threads.run(_once, self._look_at_connector)
        await self._threads.run(_once, self._look_at_source)
        for replica in self._stores.replicas:
            await self._threads.run(_once, partial(self._stores.look, replica))
        await self._threads.run(_once, self._acceptances.look)

    def _look_at_connector(self) -> None:
        self._slot_refused = self._keeper.look()

    def _look_at_source(self) -> None:
        self._continuity.look(slot_refused=self._slot_refused)

    def _read_source(self) -> Source:
        dsn, application = self._plan.source.dsn.resolve(), f"holdtrue {self._plan.name} control"
        # The slot first: one of a source that is away a moment later says nothing of the next source.
        with connect(dsn) as connection:
            found, whole = slot(connection, self._plan.source.slot), published(connection, self._plan)
        return Source(*identity(dsn, application=application), gauges.is_whole(found), *whole)

    def behind(self) -> int:
        """Records of the assigned partitions that are not in the database yet."""
        total = 0
        for tp in self._app.consumer.assignment():
            end = self._app.consumer.highwater(tp) or 0
            total += max(0, end - self._progress.get((tp.topic, tp.partition), 0))
        return total

    def live(self) -> str | None:
        """For /livez: why this process should be restarted."""
        return stalled(self._progress_at, behind=self._started() and self.behind() > 0)

    def ready(self) -> str | None:
        """For /readyz: why what the control database says may be old."""
        # During a rebalance the consumer still names what it had.
        if not self._started() or self._app.rebalancing or not self._app.consumer.assignment():
            return "no partition is assigned yet"
        behind = self.behind()
        return f"{behind} records are not in the control database yet" if behind else None

    def _started(self) -> bool:
        return bool(self._app.consumer.started)

    def _moved(self) -> None:
        self._progress_at = time.time()
        PROGRESS_SECONDS.set(self._progress_at)

    def _apply(self, batch: Batch) -> Applied:
        try:
            return self._materialiser.apply(batch.tp.topic, batch.tp.partition, batch.records)
        except UnknownSchema as error:
            raise SchemaNotThere(error.what, "Run: holdtrue schemas register") from None

    def _measure_database(self) -> None:
        self._gauges.measure(self._watch)
        end_passed_holds(self._watch, self._offsets, self._plan)
        # Partitions that others took in: after a rebalance we start where they stopped.
        for place, offset in progress(self._watch).items():
            self._progress[place] = max(offset, self._progress.get(place, 0))

    def _measure_lag(self) -> None:
        self._lags = {}
        try:
            for replica in self._plan.replicas:
                self._lags[replica] = self._offsets.lags(self._plan, replica)
                gauges.from_lags(replica, self._lags[replica], self._source_seconds)
        except HoldtrueError:
            for replica in self._plan.replicas.keys() - self._lags.keys():
                gauges.lag_unknown(replica, self._plan.replicas[replica].tables)
            raise

    def _look_at_copies(self) -> None:
        self._copies.look(self._lags, self._source_seconds)

    def _measure_reach(self) -> None:
        self._source_seconds = None
        try:
            self._source_seconds = self._reach.seconds()
        finally:
            gauges.from_reach(self._source_seconds)

    def _measure_slot(self) -> None:
        name = self._plan.source.slot
        with connect(self._plan.source.dsn.resolve()) as connection:
            gauges.from_slot(name, slot(connection, name))


def _once(work: Callable[[], None]) -> None:
    try:
        work()
    except HoldtrueError as error:
        STORE_ERRORS.labels("control", type(error).__name__).inc()
        log.warning("%s", error)
