"""A worker process: holdtrue's own agents, with everything outside the process behind calls that take time.

Each call out of the process is under way, takes effect, and is answered, at moments the seed decides. Between any two
of them the process may be killed (what is under way may still take effect) or frozen: then it wakes up later and goes
on where it was, not knowing what happened meanwhile.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar, copy_context
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from faust.types import TP

from streams.agents.app import SUSPICIONS_EVERY_SECONDS, settle_suspicions
from streams.agents.apply import Applier
from streams.agents.backfill import Filling
from streams.agents.checks import Checks
from streams.agents.events import Events
from streams.agents.failures import Failures
from streams.agents.findings import Findings
from streams.agents.repairs import Repairs
from streams.agents.reverse import ReverseSweep
from streams.agents.scrub import Scrub
from streams.agents.table import Budget, TableWork
from streams.agents.worker import ReplicaWorker
from streams.changes.visibility import Snapshot
from streams.drift.told import Told
from streams.errors import NotReady, StoreUnavailable
from streams.kafka.registry import UnknownSchema
from streams.repair.storm import Storm
from streams.sot.reader import EVERYWHERE, Between, SotRead
from streams.steps import Step
from streams.transport.batches import Batch
from streams.versions.state import ChangelogRecord, PartitionState
from tests.simulation.disk import Machine
from tests.simulation.log import KEY_SCHEMA, KEY_SCHEMA_ID, Partition, partitioner
from tests.simulation.sot import key_bytes

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")

REPLICA, TABLE = "copy", "public.things"
CHANGES, CHECKS, REPAIRS = "changes", "checks", "repairs"
FETCH_RECORDS_MAX = 12
RECOVERY_RECORDS_MAX = 20
TOPICS_SECONDS = 1.0
# Of continuous checking.
PERIOD_SECONDS = 1.0
# Steps whose number is worth knowing.
COUNTED = (Step.partition_taken_over, Step.rows_rebuilt, Step.rebuild_done, Step.backfill_ordered, Step.backfill_done)

# The process whose code is running.
RUNNING: ContextVar[Process | None] = ContextVar("RUNNING", default=None)


class Process:
    """One life of a worker. Keeps the part of Faust's app and consumer that `ReplicaWorker` uses."""

    def __init__(self, world: World, number: int, life: int, machine: Machine) -> None:
        self.name = f"{'ABCDEFG'[number]}{life}"
        self.number = number
        self.machine = machine
        self.dead = False
        self.frozen = False
        self.cut_off = False  # nothing of it arrives anywhere any more
        self.trap: tuple[Step, str] | None = None  # what befalls it when it next reaches a step
        self.tasks: set[asyncio.Task[Any]] = set()
        self.generation = -1
        self.consumer = self
        self.should_stop = False
        self._world = world
        self._rng = world.rng
        self._loop = world.loop
        self._asleep: list[Callable[[], None]] = []
        self._fetching: list[asyncio.Task[None]] = []
        self.life = 0  # of the change topic, as it knows it
        self._paused: set[TP] = set()
        self._commits = 0
        self._committed: dict[TP, int] = {}
        self._stopping = asyncio.Lock()
        self._context = copy_context()
        self._context.run(RUNNING.set, self)
        self._context.run(self._build)

    def _build(self) -> None:
        world, threads = self._world, _Threads(self)
        self.versions = _Versions(self)
        self.work = TableWork(
            REPLICA, TABLE, world.mapping, world.shape, world.digester,  # type: ignore[arg-type]
            world.store, _SCHEMAS, _SotReader(world), _Fence(world), world.settings.partitions,  # type: ignore[arg-type]
            self.versions, threads, Budget(2_000), Budget(2_000), lambda: partitioner(world.settings.partitions),  # type: ignore[arg-type]
            decoders={2: world.topic},  # type: ignore[dict-item]
            absent_allowed=world.mapping.readers_fill,
        )  # fmt: skip
        events = Events(_Writer(world), threads, "/simulation", "holdtrue")  # type: ignore[arg-type]
        applier = Applier(self.work, Failures(events, self.work.names, CHANGES))
        self.replica = ReplicaWorker(self, {CHANGES: self.work}, {CHANGES: applier}, events, threads, world.topic_lives)  # type: ignore[arg-type]
        same = (self.replica.owner, self.replica.commit, self.replica, _Requests(world), threads, events)
        self.checks = Checks(*same, {CHECKS: CHANGES}, self.crash)  # type: ignore[arg-type]
        self.repairs = Repairs(*same, {REPAIRS: CHANGES}, self.crash)  # type: ignore[arg-type]
        if world.history.scrubs:
            storm = Storm(world.mapping.repair.stop_above, 2 * PERIOD_SECONDS)
            self.replica.scrub_of = lambda owner: Scrub(
                owner,
                Findings(owner, events, self.repairs, storm, self),
                PERIOD_SECONDS,  # type: ignore[arg-type]
            )
            self.replica.reverse_of = lambda work, scrubs: ReverseSweep(work, events, PERIOD_SECONDS, scrubs)
        if world.history.backfills:
            self.replica.filling_of = lambda owner: Filling(owner, self.repairs, events)
        self.spawn(self._settle_suspicions())
        if world.history.breaks:
            self.spawn(self.watch_topics())

    async def heard(self) -> Told:
        """What the drift topic says."""
        await self.call(lambda: None)
        return await self._world.drift.heard()

    # Life and death.

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something inside this process."""
        return self._loop.create_task(work, context=self._context)

    def kill(self) -> None:
        """SIGKILL. Half of what is under way to stores and Kafka still arrives there."""
        self.dead = True
        self._world.say("%s is killed", self)
        for task in self.tasks:
            task.cancel()
        self._world.died(self)

    def freeze(self) -> None:
        """It stands still, without knowing: a long pause of the machine."""
        self.frozen = True
        self._world.say("%s freezes", self)
        self._loop.call_later(self._rng.uniform(0.1, 0.6), self._missed)

    def _missed(self) -> None:
        """The group misses its heartbeats."""
        if not self.frozen or self.dead:
            return
        if self._is_member() and self._world.group.settled:
            self._world.group.rebalance()
        self._loop.call_later(0.3, self._missed)

    def thaw(self) -> None:
        """It goes on with what it had in its hands; only later does it hear from its group."""
        self.frozen = False
        self._world.say("%s wakes up%s", self, "" if self._is_member() else ", a zombie")
        asleep, self._asleep = self._asleep, []
        for wake in asleep:
            self._loop.call_later(self._rng.uniform(0, 0.02), self._unless_frozen, wake)
        self._loop.call_later(self._rng.uniform(0.02, 1.0), self._heartbeat)

    async def crash(self, reason: BaseException) -> None:
        """An error that nobody foresaw. There is none in a simulation either."""
        self._world.violated("%s failed: %s", self, "".join(traceback.format_exception(reason)))
        self.kill()

    def reached(self, step: Step) -> None:
        """`streams.steps.reached`, called by the code of this process."""
        if step in COUNTED:
            self._world.count(f"{step}")
        if self.trap is not None and self.trap[0] is step and not self.dead:
            (_, what), self.trap = self.trap, None
            if what == "kill":
                self.kill()
                raise asyncio.CancelledError
            self.freeze()

    async def call(self, effect: Callable[[], T]) -> T:
        """Something outside is asked to do `effect`, and answers."""
        answer = self._loop.create_future()
        self._loop.call_later(self._world.latency(), self._perform, effect, answer)
        return await answer  # type: ignore[no-any-return]

    def _perform(self, effect: Callable[[], Any], answer: asyncio.Future[Any]) -> None:
        if self.dead:
            if self.cut_off or self._rng.random() < 0.5:
                return  # it had not left the process
        elif self.frozen:
            self._asleep.append(lambda: self._perform(effect, answer))
            return
        result: Any
        try:
            result = effect()
        except Exception as error:
            result = error
        self._loop.call_later(self._world.latency(), self._answer, answer, result)

    def _answer(self, answer: asyncio.Future[Any], result: Any) -> None:
        if self.frozen and not self.dead:
            self._asleep.append(lambda: self._answer(answer, result))
        elif not answer.done():
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)

    def _unless_frozen(self, wake: Callable[[], None]) -> None:
        if self.frozen:
            self._asleep.append(wake)
        else:
            wake()

    # The group.

    def _is_member(self) -> bool:
        return self.generation == self._world.group.generation

    def put_out(self) -> None:
        """The group waits for it no longer; it hears so with its next heartbeat."""
        self._loop.call_later(self._rng.uniform(0.1, 0.5), self._heartbeat)

    def _heartbeat(self) -> None:
        if not self.dead and not self.frozen and not self._is_member():
            self.spawn(self._rejoin())

    async def _rejoin(self) -> None:
        await self._stop(unless_member=True)
        if not self._is_member():
            self._world.group.join(self)

    async def give_up(self, within: float) -> bool:
        """End all work on the partitions, as `ReplicaApp.end_owners` does; False when it takes too long."""
        stopping = self.spawn(self._stop())
        done, _ = await asyncio.wait({stopping}, timeout=within)
        if not done:
            self.spawn(self._come_back(stopping))
        return bool(done) and not self.dead

    async def _come_back(self, stopping: asyncio.Task[None]) -> None:
        """The group has gone on without it; when it has given up everything, it joins again."""
        await stopping
        self._world.group.join(self)

    async def _stop(self, *, unless_member: bool = False) -> None:
        # Faust answers one rebalance after the other.
        async with self._stopping:
            if unless_member and self._is_member():
                return
            for task in self._fetching:
                task.cancel()
            self._fetching.clear()
            await asyncio.gather(self.checks.stop(), self.repairs.stop())
            await self.replica.stop()

    def take_over(self, partitions: list[int], generation: int) -> None:
        """These partitions are ours, says the group."""
        self.generation = generation
        self._world.say("%s owns %s in generation %d", self, partitions, generation)
        self._paused.clear()
        self.versions.keep_only(partitions)
        for partition in partitions:
            self._fetching.append(self.spawn(self._own(partition)))

    async def _own(self, partition: int) -> None:
        """Recover a partition's version table, then read its topics."""
        async with self._stopping:
            pass  # the rebalance before is answered first
        await self._recover(partition)
        tp, requests, topic = TP(CHANGES, partition), self._world.requests, self._world.topic
        await self.replica.lives.recognise([tp])
        self.life = int(self.versions.state(partition).topic)
        committed = await self.call(lambda: self._world.group.committed.get(tp))
        start = self.replica.start_offset(tp, committed)
        self._world.started(self, partition, start, committed)
        if start and committed is None:
            await self.commit_done({tp: start - 1})
        # Faust has owners made by their first batch or request; here that is at once.
        self.replica.owner(tp)
        for name, offer in ((CHECKS, self.checks.offer), (REPAIRS, self.repairs.offer)):
            place = TP(name, partition)
            offset = self._world.group.committed.get(place, 0)
            source = requests[name][partition]
            self._fetching.append(self.spawn(self._fetch(place, lambda s=source: s, offset, offer)))  # type: ignore[misc]
        await self._fetch(tp, lambda: topic.partitions[partition], start or 0, self.replica.offer)

    async def _recover(self, partition: int) -> None:
        state = self.versions.state(partition)
        changelog = self._world.changelogs[partition]
        while missing := await self.call(lambda: changelog.since(state.changelog_offset + 1)):
            some = missing[:RECOVERY_RECORDS_MAX]
            state.recover(((key, value) for _, key, value in some), some[-1][0])
            self.reached(Step.recovery_batch)

    async def _fetch(
        self, tp: TP, source: Callable[[], Partition], offset: int, offer: Callable[[Batch], None]
    ) -> None:
        while True:
            await source().more_than(offset)
            if tp in self._paused:
                await asyncio.sleep(0.02)
                continue
            if offset > source().end:
                # aiokafka would begin at its start; the consumer notices.
                await self._begun_anew(tp, offset)
            if offset < (first := source().first):
                # What retention takes while this is told is another gap.
                await self.replica.lives.pass_gap(tp, offset, first)
                offset = first
            start, size = offset, self._rng.randint(1, FETCH_RECORDS_MAX)
            records = await self.call(lambda s=start, n=size: source().records[s : s + n])  # type: ignore[misc]
            if records:
                offer(Batch(tp, records, start))
                offset = records[-1].offset + 1

    async def _begun_anew(self, tp: TP, offset: int) -> None:
        replaced = await self.replica.lives.begun_anew(tp, offset)
        if replaced is not None:
            await self.begin_again(replaced)

    async def watch_topics(self) -> None:
        """The timer `topics` of the app."""
        while True:
            await asyncio.sleep(self._rng.uniform(0, TOPICS_SECONDS))
            replaced = await self.replica.lives.watch()
            if replaced is not None:
                await self.begin_again(replaced)

    async def begin_again(self, reason: Exception) -> None:
        """The process ends and is started again."""
        self._world.say("%s ends: %s", self, reason)
        self.kill()
        self._world.start_later(self.number, self._rng.uniform(0.01, 0.5))
        await asyncio.sleep(0)

    async def _settle_suspicions(self) -> None:
        """The timer `suspicions` of the app."""
        while True:
            await asyncio.sleep(SUSPICIONS_EVERY_SECONDS)
            await settle_suspicions(self.replica, self.repairs)

    # What `ReplicaWorker` asks of the consumer.

    def pause_partitions(self, tps: set[TP]) -> None:
        self._paused |= tps

    def resume_partitions(self, tps: set[TP]) -> None:
        self._paused -= tps

    def highwater(self, tp: TP) -> int:
        return self._world.topic.partitions[tp.partition].end

    async def highwaters(self, *tps: TP) -> dict[TP, int]:
        return await self.call(lambda: {tp: self.highwater(tp) for tp in tps})

    async def commit_done(self, done: dict[TP, int]) -> bool:
        generation, self._commits = self.generation, self._commits + 1
        return await self.call(partial(self._commit, self._commits, generation, done))

    def _commit(self, number: int, generation: int, done: dict[TP, int]) -> bool:
        # One connection to the coordinator: commits arrive in the order they are made, also those nobody waits for.
        if any(number < self._committed.get(tp, 0) for tp in done):
            return True
        self._committed.update(dict.fromkeys(done, number))
        return self._world.commit(self, generation, done)

    def __str__(self) -> str:
        return self.name


def task_factory(loop: asyncio.AbstractEventLoop, work: Any, context: Any = None) -> asyncio.Task[Any]:
    """Remembers which process a task belongs to."""
    task = asyncio.Task(work, loop=loop, context=context)
    process = (context or copy_context()).get(RUNNING)
    if process is not None:
        process.tasks.add(task)
        task.add_done_callback(process.tasks.discard)
    return task


def reached(step: Step) -> None:
    """Stands in for `streams.steps.reached`."""
    process = RUNNING.get()
    if process is not None:
        process.reached(step)


class _Threads:
    """Blocking calls of drivers: calls out of the process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        return await self._process.call(lambda: work(*args))


class _SotReader:
    """The SOT as `streams.sot.reader.SotReader` reads it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def read(self, keys: Sequence[bytes]) -> SotRead:
        if self._world.sot.unavailable:
            raise StoreUnavailable("the source is away", "")
        rows = {key: row for key in keys if (row := self._world.sot.row(int(key))) is not None}
        return SotRead(self._world.sot.snapshot(), rows)

    def snapshot(self) -> Snapshot:
        return self.read([]).snapshot

    def keys_after(self, after: bytes | None, limit: int, between: Between = EVERYWHERE) -> list[bytes]:
        if self._world.sot.unavailable:
            raise StoreUnavailable("the source is away", "")
        keys = sorted(key for key in self._world.sot.rows if self._world.sot.row(key) is not None)
        behind = [key_bytes(key) for key in keys if after is None or key > int(after)]
        return self.within(behind, between)[:limit]

    def within(self, keys: Sequence[bytes], between: Between) -> list[bytes]:
        if self._world.sot.unavailable:
            raise StoreUnavailable("the source is away", "")
        lower, upper = (int(bound) if bound else None for bound in between)
        return [k for k in keys if (lower is None or int(k) >= lower) and (upper is None or int(k) <= upper)]


class _Fence:
    """A fence through the log, as `streams.sot.fence.Fence` passes one."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._position: int | None = None

    def passed(self, deadline: float) -> str:
        """Passed when the slot has confirmed it; until then, not in time: waiting would stop the world."""
        world = self._world
        if world.sot.unavailable:
            raise StoreUnavailable("the source is away", "")
        if self._position is None:
            self._position = world.sot.fence()
        if world.connector.confirmed < min(self._position, len(world.sot.wal)):
            raise NotReady("the fence is not passed yet", "")
        self._position = None
        return ""


class _Versions:
    """The version table's side of Faust: states on this worker's disk, and the changelog."""

    was_kept = True

    def __init__(self, process: Process) -> None:
        self._process = process
        self._states: dict[int, PartitionState] = {}

    def state(self, partition: int) -> PartitionState:
        if partition not in self._states:
            path = Path(str(partition))
            self._states[partition] = PartitionState(path, partition, self._process.machine.open)
        return self._states[partition]

    def keep_only(self, partitions: list[int]) -> None:
        """Give back the folders of partitions that went elsewhere."""
        for partition in self._states.keys() - set(partitions):
            self._states.pop(partition).close()

    async def append(self, partition: int, records: Sequence[ChangelogRecord]) -> int:
        return await self._process.call(lambda: self._process._world.append(self._process, partition, records))


class _Writer:
    """Sends our own events."""

    def __init__(self, world: World) -> None:
        self._world = world

    def send(self, topic: str, key: str, schema: str, record: dict[str, Any], *_: Any, **__: Any) -> None:
        if schema == "check-request":
            self._world.order(record)
        else:
            self._world.published(schema, record)

    def flush(self) -> None:
        """They are there."""


class _Requests:
    """Decodes requests, which are kept prepared."""

    def __init__(self, world: World) -> None:
        self._world = world

    def decode(self, value: bytes) -> dict[str, Any]:
        return self._world.asked[int(value)]


def _schema(schema_id: int) -> Any:
    """Values are prepared: there is nothing to decode them by."""
    if schema_id == KEY_SCHEMA_ID:
        return KEY_SCHEMA
    raise UnknownSchema(f"The registry does not know {schema_id}.")


_SCHEMAS = SimpleNamespace(schema=_schema)
