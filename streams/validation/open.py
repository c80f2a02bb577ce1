"""Composes what runs and repairs work on, from the plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from streams.drift.names import Names
from streams.errors import NotReady, UsageError
from streams.kafka.groups import has_members
from streams.kafka.partitions import Partitioner, partitioner_of
from streams.kafka.registry import Registry
from streams.kafka.topics import checks_topic, repairs_topic
from streams.kafka.wire import Decoder
from streams.plan.check import require_known
from streams.plan.mapping import Shape
from streams.plan.model import Plan, TableMapping
from streams.replicas.base import ReplicaTable
from streams.replicas.open import open_replica
from streams.rows.digest import Digester
from streams.sot.fence import Fence
from streams.sot.load import load
from streams.sot.reader import SotReader
from streams.sot.shapes import read_shapes
from streams.validation.exchange import Channel, Exchange
from streams.validation.pace import Pace
from streams.validation.target import SNAPSHOT_ROWS, Target
from streams.validation.waiting import Fences, Waiting, Writer

if TYPE_CHECKING:
    from streams.control.offsets import Offsets

# How long a worker may take to be in its group: one that was started a moment ago is waited for.
WORKER_SECONDS = 10.0
SEES_ALL = "grant the role pg_read_all_stats"
# Rows that a store is asked for to see whether it answers.
PROBE_KEYS = 1_000


class Pair(NamedTuple):
    """One table of one replica."""

    replica: str
    table: str


def pairs(plan: Plan, table: str | None, replica: str | None) -> list[Pair]:
    """The pairs a command is about; all of the plan's without a filter. Raises UsageError for an unknown name."""
    require_known(plan, table, replica)
    found = [
        Pair(name, mapped)
        for name, declared in plan.replicas.items()
        for mapped in declared.tables
        if replica in (None, name) and table in (None, mapped)
    ]
    if not found:
        raise UsageError(f"The plan does not copy {table} to {replica}.", "See `holdtrue plan check`.")
    return found


# Begins to show how far a run of a pair is, given how many rows there are, about; gives what is called with those done.
Watching = Callable[[Pair, Callable[[], int]], Callable[[int], None]]


class Opener:
    """Opens targets one after the other, with what they share: SOT catalog, stores, registry, Kafka, fences.

    note: tells a person what is waited for. by: who asked. stamp: whether what is right gets its token. watching: shows
    how far a run is. rows_per_second: as of Pace. snapshot_rows: as of Target.
    """

    def __init__(
        self,
        plan: Plan,
        note: Callable[[str], None],
        by: str = "",
        *,
        stamp: bool = False,
        watching: Watching = lambda pair, rows: lambda done: None,
        rows_per_second: int | None = None,
        snapshot_rows: int | None = None,
    ) -> None:
        self.plan = plan
        self._snapshot_rows = snapshot_rows or SNAPSHOT_ROWS
        self._note = note
        self._watching = watching
        self._rows_per_second = rows_per_second
        self.by = by
        self.stamp = stamp
        self.source = f"/holdtrue/{plan.name}/cli"
        self.bootstrap = plan.kafka.bootstrap.resolve()
        self.registry = Registry(plan.kafka.registry.resolve())
        waiting = Waiting(note)
        self.writer = Writer(self.bootstrap, self.registry, waiting)
        self._application = f"holdtrue {plan.name} validate"
        self._fences = Fences(Fence(plan.source.dsn.resolve(), plan.source.slot, self._application), waiting)
        self._shapes: dict[Pair, Shape] = {}
        self._stores: dict[Pair, ReplicaTable] = {}
        self._offsets: Offsets | None = None
        # Whether it was told that the source does not show what others do there.
        self._blind = False

    def shape(self, pair: Pair) -> Shape:
        """The shape of a pair's table. Another table that does not fit any more is none of its business."""
        if pair not in self._shapes:
            self._shapes[pair] = read_shapes(self.plan, pair.replica, [pair.table])[pair.table]
        return self._shapes[pair]

    def names(self, pair: Pair) -> Names:
        """How drift of a pair is named."""
        return Names(*pair, self.shape(pair).key_columns, self.plan.key_secret(*pair))

    def hiding_names(self, pair: Pair) -> Names:
        """The same where keys are hidden, whether the plan still has it so or not."""
        return self.names(pair)._replace(secret=self.plan.digest_secret)

    def mapping(self, pair: Pair) -> TableMapping:
        """What the plan decides about a pair."""
        return self.plan.replicas[pair.replica].tables[pair.table]

    def store(self, pair: Pair) -> ReplicaTable:
        """The store of a pair's table."""
        if pair not in self._stores:
            opened = open_replica(self.plan, pair.replica, {pair.table: self.shape(pair)})
            self._stores[pair] = opened[pair.table]
        return self._stores[pair]

    @contextmanager
    def target(self, pair: Pair) -> Iterator[Target]:
        """What a run of this pair works on; closed on leaving. Raises NotReady when no worker could answer."""
        plan = self.plan
        mapping = plan.replicas[pair.replica].tables[pair.table]
        with ExitStack() as stack:
            # Each of these waits for another server; what is said first where several are wrong is as it stands here.
            beside = stack.enter_context(ThreadPoolExecutor(3))
            listening = beside.submit(self.exchange, check_channel(plan, pair))
            stack.callback(_close, listening)
            shaped = beside.submit(self.shape, pair)
            partitioned = beside.submit(self.partitioner, pair)
            self._require_worker(pair.replica)
            shape = shaped.result()
            sot = SotReader(plan.source.dsn.resolve(), shape, application=self._application)
            stack.callback(sot.close)
            store = self.store(pair)
            exchange = listening.result()
            yield Target(
                pair.replica,
                pair.table,
                plan.change_topic(pair.table),
                plan.own_topic("drift"),
                plan.tables[pair.table].partitions,
                shape,
                Digester(shape.mapping_version, plan.digest_secret),
                sot,
                store,
                self._fences,
                exchange,
                partitioned.result(),
                on_silence=partial(self._require_answers, pair),
                absent_allowed=plan.replicas[pair.replica].absent_allowed_in(pair.table),
                others_write=mapping.others_write,
                others_lag_seconds=mapping.others_lag.total_seconds(),
                stamp=self.stamp,
                kind=plan.replicas[pair.replica].kind,
                drift=mapping.drift,
                progress=self._watching(pair, sot.estimate),
                pace=self._pace(pair),
                sample_keys=mapping.validation.sample,
                snapshot_rows=self._snapshot_rows,
            )

    def _pace(self, pair: Pair) -> Pace:
        bound = self.mapping(pair).lag_max
        lag_max = bound.total_seconds() if bound is not None else None
        return Pace(self._rows_per_second, lambda: self._lag(pair), lag_max, self._note, lambda: self._busy(pair))

    def _busy(self, pair: Pair) -> str | None:
        found = load(self.plan.source.dsn.resolve(), application=self._application)
        most = self.mapping(pair).validation.pause_above or found.connections_max // 2
        if found.hidden and not self._blind:
            self._blind = True
            self._note(f"how busy the source is cannot be seen in {found.hidden} of its sessions: {SEES_ALL}")
        if found.active <= most:
            return None
        return f"waiting: the source is busy, {found.active} statements run there at once: the plan allows {most}"

    def _lag(self, pair: Pair) -> float:
        if self._offsets is None:
            from streams.control.offsets import Offsets

            self._offsets = Offsets(self.bootstrap, self.registry)
        return self._offsets.lags(self.plan, pair.replica)[pair.table].seconds

    def _require_answers(self, pair: Pair) -> None:
        """Raises NotReady where no worker is there, and StoreUnavailable where it can only be waiting for its store."""
        self._require_worker(pair.replica)
        next(self.store(pair).keys(PROBE_KEYS), None)

    def _require_worker(self, replica: str) -> None:
        if not has_members(self.bootstrap, self.plan.group(replica), WORKER_SECONDS):
            raise NotReady(
                f"No worker of {replica} is running: nobody could answer.",
                f"Start one, then run this again: holdtrue worker --replica {replica}",
            )

    def exchange(self, channel: Channel) -> Exchange:
        """A way to ask owners and hear their answers."""
        decoder = Decoder(channel.result_schema, self.registry)
        return Exchange(self.bootstrap, self.writer, decoder, channel, self.source)

    def partitioner(self, pair: Pair) -> Partitioner:
        """Which partition a key of a pair is in."""
        topic, declared = self.plan.change_topic(pair.table), self.plan.tables[pair.table]
        return partitioner_of(self.registry, topic, pair.table, declared.key, declared.partitions)

    def close(self) -> None:
        """Close every store, and what asked Kafka how late they are."""
        for store in self._stores.values():
            store.close()
        if self._offsets is not None:
            self._offsets.close()


def _close(opening: Future[Exchange]) -> None:
    """Of one that was opened, whether anybody has come to use it or not."""
    if opening.exception() is None:
        opening.result().close()


def check_channel(plan: Plan, pair: Pair) -> Channel:
    """Check requests of a pair and their answers."""
    requests = checks_topic(plan, pair.replica, pair.table)
    return Channel(requests, plan.own_topic("checks.results"), "check", "run", *pair)


def repair_channel(plan: Plan, pair: Pair) -> Channel:
    """Repair requests of a pair and their answers."""
    requests = repairs_topic(plan, pair.replica, pair.table)
    return Channel(requests, plan.own_topic("repairs.results"), "repair", "repair", *pair)
