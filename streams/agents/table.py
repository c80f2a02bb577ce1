"""One table of one replica, as the owners of its partitions work on it: everything that they share."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from streams.agents.retry import until_available
from streams.changes.decode import Decoder, OtherForm
from streams.changes.envelope import NotAnEnvelope
from streams.changes.keys import KeyReader
from streams.changes.visibility import Looks, Snapshot
from streams.drift.names import Names
from streams.errors import NotReady, StoreUnavailable
from streams.kafka.partitions import Partitioner
from streams.kafka.registry import NotAvro, UnknownSchema
from streams.metrics import SOT_READS
from streams.plan.mapping import Shape
from streams.plan.model import TableMapping
from streams.replicas.base import ReplicaTable, Write
from streams.rows.canonical import Row
from streams.rows.digest import Digester
from streams.settings import settings
from streams.sot.fence import Fence
from streams.sot.reader import EVERYWHERE, Between, SotRead, SotReader
from streams.transport.table import VersionTable
from streams.versions.entry import Token

T = TypeVar("T")

# How old a snapshot may be that is used to forget transactions known to be visible.
SNAPSHOT_SECONDS = 1.0
SOT_READ_KEYS_MAX = 2_000
# How long one try may take to pass a fence: while the connector is away, others need the thread.
FENCE_SECONDS = 2.0
VISIBLE_POLL_SECONDS = 0.1


# Of a hold that is not about one record: the partition stops before the next one, whichever that is.
BEFORE_THE_NEXT = -1


class Held(Exception):
    """The table cannot go on in this replica without a person; its partition stops before `offset`.

    held_by: the partition whose record is the reason, which may be another one; None where no record is.
    """

    def __init__(self, offset: int, reason: str, held_by: int | None = None) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason
        self.held_by = held_by

    def placed(self, partition: int, following: int) -> Held:
        """As `partition` raised it: with its next record, `following`, where the reason is no record of it."""
        if self.offset == BEFORE_THE_NEXT:
            return Held(following, self.reason, self.held_by)
        return Held(self.offset, self.reason, partition if self.held_by is None else self.held_by)

    def to(self, partition: int) -> Held:
        """What a hold that is placed is to a partition of the table: it stops there with no record being wrong."""
        if self.held_by is None:
            return Held(BEFORE_THE_NEXT, self.reason)
        if self.held_by == partition:
            return self
        why = f"stops only because partition {self.held_by} is held at offset {self.offset}: {self.reason}"
        return Held(BEFORE_THE_NEXT, why, self.held_by)


class Schemas(Protocol):
    """The registry, as far as decoding needs it."""

    def schema(self, schema_id: int) -> Any:
        """The schema with this id."""


class Threads:
    """Blocking calls of drivers, run beside the event loop; bounded by the executor's threads."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """The result of `work(*args)`, run in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *args)


class Budget:
    """So many units a second for everybody who asks; a debt is waited off by the next one."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._free_at = 0.0

    async def take(self, units: int, *, paid_off: bool = False) -> None:
        """Wait until `units` more are within the budget. Who is cancelled meanwhile has taken nothing.

        paid_off: until there is no debt of them either, so that nobody waits for them who cannot afford to.
        """
        now = time.monotonic()
        start, seconds = max(now, self._free_at), units / self._per_second
        self._free_at = start + seconds
        until = self._free_at if paid_off else start
        if until > now:
            try:
                await asyncio.sleep(until - now)
            except asyncio.CancelledError:
                self._free_at -= seconds
                raise

    def of(self, seconds: float) -> int:
        """How many units are within the budget in so many seconds; at least one."""
        return max(1, int(self._per_second * seconds))


@dataclass
class TableWork:
    """What the owners of one table × replica share. Used from the event loop only."""

    replica: str
    table: str
    mapping: TableMapping
    shape: Shape
    digester: Digester
    store: ReplicaTable
    schemas: Schemas
    sot: SotReader
    fence: Fence
    partitions: int
    versions: VersionTable
    threads: Threads
    budget: Budget
    repairs: Budget
    # Which partition a key is in; asks the registry when it is called.
    partitioner: Callable[[], Partitioner]
    decoders: dict[int, Decoder | None] = field(default_factory=dict)
    # By the schema that keys are under.
    key_readers: dict[int, KeyReader] = field(default_factory=dict)
    held: Held | None = None
    # Every partition has been told to wait, because changes may be missing, and none has been released since.
    hold_ordered: bool = False
    # The plan allows the store to lose rows.
    absent_allowed: bool = False
    # The kind of store.
    kind: str = ""
    # Where the plan hides keys in drift: what they are hidden with.
    key_secret: bytes | None = None
    # Why store or SOT could not take part at the start; its owners hold the table, and nothing reads or writes it.
    unprepared: str = ""
    # Of a table that somebody else writes: the store as an ordered repair writes it. Else that is `store`.
    repaired: ReplicaTable | None = None
    # Held by the partition that is being rebuilt.
    rebuilding: asyncio.Lock = field(default_factory=asyncio.Lock)
    _repairable: bool = False
    # Held by a look of a backfill at the SOT: what changes must ask waits for one such look, not for every partition's.
    filling: asyncio.Lock = field(default_factory=asyncio.Lock)
    _sot_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _snapshot: Snapshot | None = None
    _snapshot_at: float = float("-inf")

    async def guarded(self) -> ReplicaTable:
        """The store, to be written by a repair; what that needs in it is created where nothing was written before.

        Raises Refused where it cannot be.
        """
        if self.repaired is None:
            return self.store
        if not self._repairable:
            await until_available(self.replica, lambda: self.threads.run(self._prepare_repaired))
        return self.repaired

    def _prepare_repaired(self) -> None:
        assert self.repaired is not None
        self.repaired.prepare()
        self._repairable = True

    def write(self, key: bytes, row: Row | None, line: bytes, token: Token) -> Write:
        """The write that brings a key to this row."""
        return Write(key, None, b"", token) if self.mapping.readers_fill else Write(key, row, line, token)

    @property
    def others_lag_seconds(self) -> float:
        """How long after the SOT somebody else may write a row."""
        return self.mapping.others_lag.total_seconds()

    @property
    def labels(self) -> tuple[str, str]:
        """Labels of this table's metrics, in their order."""
        return (self.table, self.replica)

    @property
    def names(self) -> Names:
        """How drift of this table is named."""
        return Names(self.replica, self.table, self.shape.key_columns, self.key_secret)

    @property
    def lag_bound_seconds(self) -> float:
        """The lag the plan allows this table here; without end where the plan promises no bound."""
        bound = self.mapping.lag_max
        return bound.total_seconds() if bound is not None else math.inf

    async def load_decoders(self, schema_ids: Iterable[int], offset: int) -> None:
        """Have a decoder for each id, None where the schema is not Debezium's envelope.

        Raises Held when the registry does not know one within the bounded time.
        """
        for schema_id in schema_ids:
            if schema_id not in self.decoders:
                try:
                    self.decoders[schema_id] = await self._decoder(await self.schema(schema_id, offset))
                except (NotAnEnvelope, NotAvro):
                    self.decoders[schema_id] = None

    async def _decoder(self, schema: Any) -> Decoder:
        try:
            return Decoder(schema, self.shape)
        except OtherForm:
            if not await until_available("sot", lambda: self.threads.run(self.sot.fits)):
                raise
        return Decoder(schema, self.shape, older=True)

    async def load_key_reader(self, schema_id: int, offset: int) -> None:
        """Have a reader of keys under this id. Raises Held as `load_decoders` does."""
        if schema_id not in self.key_readers:
            try:
                schema = await self.schema(schema_id, offset)
            except NotAvro:
                schema = None
            self.key_readers[schema_id] = KeyReader(schema_id, schema, self.shape)

    async def schema(self, schema_id: int, offset: int) -> Any:
        """The schema with this id, which the record at `offset` names.

        Raises NotAvro, and Held when the registry does not know it within the bounded time.
        """
        deadline = time.monotonic() + settings().unknown_schema_seconds
        wait = 0.2
        while True:
            try:
                return await until_available("registry", lambda: self.threads.run(self.schemas.schema, schema_id))
            except UnknownSchema:
                if time.monotonic() > deadline:
                    raise Held(
                        offset,
                        f"the registry does not know schema id {schema_id}: restore the registry that wrote it, "
                        "then restart the worker",
                    ) from None
                await asyncio.sleep(wait)
                wait = min(wait * 2, 5.0)

    async def read_sot(self, keys: Sequence[bytes], reason: str, *, paid: bool = False) -> SotRead:
        """The keys' rows in the SOT, in one snapshot. Tried again while the SOT is away.

        paid: they are taken from the budget already, by who could not wait for it here.
        """
        if not paid:
            await self.budget.take(len(keys))
        SOT_READS.labels(*self.labels, reason).inc(len(keys))
        async with self._sot_lock:
            read = await until_available("sot", lambda: self.threads.run(self.sot.read, keys))
        self._snapshot, self._snapshot_at = read.snapshot, time.monotonic()
        return read

    async def sot_keys(self, after: bytes | None, limit: int, between: Between = EVERYWHERE) -> list[bytes]:
        """Keys of the table in the SOT, behind `after`; [] behind the last one. Tried again while the SOT is away."""
        async with self._sot_lock:
            return await until_available("sot", lambda: self.threads.run(self.sot.keys_after, after, limit, between))

    async def keys_within(self, keys: Sequence[bytes], between: Between) -> list[bytes]:
        """Those of these keys that lie between the bounds. Tried again while the SOT is away."""
        if between == EVERYWHERE:
            return list(keys)
        async with self._sot_lock:
            return await until_available("sot", lambda: self.threads.run(self.sot.within, keys, between))

    async def until_visible(self, txid: int) -> None:
        """Return when every later read of the SOT sees this transaction."""
        looks = Looks()
        while True:
            snapshot = looks.at(await self.snapshot())
            if snapshot.shows(txid):
                return
            await asyncio.sleep(VISIBLE_POLL_SECONDS)

    async def pass_fence(self) -> None:
        """Return when Kafka has everything the SOT had committed by now; tried again while it cannot be told."""
        await until_available("fence", lambda: self.threads.run(self._pass_fence))

    def _pass_fence(self) -> None:
        try:
            self.fence.passed(time.monotonic() + FENCE_SECONDS)
        except NotReady as error:
            raise StoreUnavailable(error.what, error.hint) from None

    async def snapshot(self) -> Snapshot:
        """What a read of the SOT would see now. Tried again while the SOT is away."""
        async with self._sot_lock:
            self._snapshot = await until_available("sot", lambda: self.threads.run(self.sot.snapshot))
        self._snapshot_at = time.monotonic()
        return self._snapshot

    async def recent_snapshot(self) -> Snapshot | None:
        """A snapshot of the SOT of the last moments: it only helps to forget. None while the SOT is away: it may come
        back as another cluster, with ids that mean other transactions.
        """
        if time.monotonic() - self._snapshot_at > SNAPSHOT_SECONDS and not self._sot_lock.locked():
            self._snapshot_at = time.monotonic()
            async with self._sot_lock:
                try:
                    self._snapshot = await self.threads.run(self.sot.snapshot)
                except StoreUnavailable:
                    self._snapshot = None
        return self._snapshot
