"""The owner of one partition: the single writer of its keys in one replica.

Apply, check and repair of a partition share one lock, so that between two batches the owner knows exactly what the
replica must hold (design, Shape: single owner).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from faust.types import TP

from streams.agents.apply import Applier, seconds_since
from streams.agents.inbox import Inbox
from streams.agents.observe import observe_all
from streams.agents.rebuild import Rebuild
from streams.agents.table import BEFORE_THE_NEXT, Held, TableWork
from streams.changes.record import Record
from streams.checks.watch import NO_RECORD, Watch
from streams.metrics import APPLY_SECONDS, BATCH_ROWS, CHANGE_LAG_SECONDS, HELD
from streams.replicas.base import Refused
from streams.sot.connection import SotChanged
from streams.steps import Step, reached
from streams.transport.batches import Batch, Fetching, KafkaRecord
from streams.versions.backfills import Backfill, Backfills
from streams.versions.state import PartitionState

if TYPE_CHECKING:
    from streams.agents.backfill import Filling
    from streams.agents.scrub import Scrub

log = logging.getLogger(__name__)

# Keys that are looked up in the SOT at a time after a TRUNCATE.
SWEEP_KEYS = 1_000
# A topic that ends before what it has lost is looked at again after so long.
END_AGAIN_SECONDS = 1.0
OTHER_MAPPING = (
    "the mapped columns, or the digest key, are not those the worker began with, or the replica was filled with: leave "
    "new columns out (columns.omit), or undo the change, and restart the worker"
)
REBUILT = (
    "a partition is being rebuilt from the source of truth, because what was known of it was lost or never was there "
    "(holdtrue_rebuilding): try again when that is 0"
)


class Flow(Fetching, Protocol):
    """What an owner needs of the consumer."""

    def end_offset(self, tp: TP) -> int:
        """Offset after the last record of the partition, as the consumer last heard."""

    async def newest_end_offset(self, tp: TP) -> int:
        """Offset after the last record of the partition, as it is in Kafka at this moment."""

    async def commit(self, tp: TP, last_offset: int) -> bool:
        """Commit that every record up to `last_offset` is done; False when the partition is no longer ours."""


class Says(Protocol):
    """How an owner says that its partition waits, and that it does no longer; it is known when a call returns."""

    async def held(self, tp: TP, held: Held, by: str = "") -> None:
        """The partition waits. by: who ordered that; "" where nobody did."""

    async def released(self, tp: TP, reason: str, by: str = "") -> None:
        """Nothing that was said before holds the partition any more."""


class Owner:
    """Runs one partition: takes batches in order, holds when it must, answers for what it has done."""

    def __init__(
        self,
        tp: TP,
        work: TableWork,
        applier: Applier,
        state: PartitionState,
        flow: Flow,
        says: Says,
        on_truncate: Callable[[TP, int], Awaitable[None]],
    ) -> None:
        self.tp = tp
        self.work = work
        self.state = state
        self.lock = state.lock
        self.watch = Watch()
        # The continuous check of the partition; None where the plan has none.
        self.scrub: Scrub | None = None
        # What carries out its backfills.
        self.filling: Filling | None = None
        self._applier = applier
        self._flow = flow
        self._says = says
        self._on_truncate = on_truncate
        # The last TRUNCATE whose sweep every owner of the table has been asked for.
        self._sweep_ordered = -1
        # The last hold of somebody that this owner has said.
        self._said = 0
        # Epoch and offset of the last record that is gone, and was told to be: the owner goes on behind it.
        self._lost = (0, -1)
        self._inbox = Inbox(tp, flow, state.input_offset + 1)
        self._taken_over = asyncio.Event()
        if state.takeover.pending:
            self._taken_over.set()
        self._moved = asyncio.Condition()

    def offer(self, batch: Batch) -> None:
        """Take a fetch in; never blocks."""
        self._inbox.offer(batch, max(self._lost[1], self.state.input_offset))

    async def run(self) -> None:
        """Handle batches until cancelled."""
        while True:
            await self._until_released()
            records = await self._inbox.take(lambda: self._sweep_due or self._loss_due or self.state.hold.pending)
            await self._or_hold(partial(self._work_on, records))

    async def rebuild(self) -> None:
        """Beside `run`: have every key looked up, where the partition is taken over with nothing known of it."""
        await self._taken_over.wait()
        if self.work.unprepared:
            return
        rebuild = Rebuild(self.work, self.state, self._applier, self.lock, self._until_released)
        await self._or_hold(rebuild.run)

    async def check(self) -> None:
        """Beside `run`: check all the time, where the plan says so."""
        if self.scrub is not None:
            await self.scrub.run()

    async def fill(self) -> None:
        """Beside `run`: carry out backfills."""
        if self.filling is not None:
            await self._or_hold(self.filling.run)

    def ordered(self, keys: Iterable[bytes]) -> None:
        """A repair of these keys is ordered, by somebody who tells what becomes of them."""
        if self.scrub is not None:
            self.scrub.ordered(keys)

    async def look(self, keys: Sequence[bytes], digests: Sequence[bytes] = (), buckets: Sequence[int] = ()) -> None:
        """Somebody else has changed these keys in the replica, or any where none is named: look at them now.

        buckets: only which of theirs are not as here is to be looked at; `digests` says what the keys were seen with.
        """
        if self.scrub is not None and buckets:
            await self.scrub.look_in(buckets, dict(zip(keys, digests, strict=True)))
        elif self.scrub is not None:
            self.scrub.look(keys)

    async def looked(self) -> None:
        """What was seen of these keys is told, as far as that takes no longer than seconds."""
        if self.scrub is not None:
            await self.scrub.looked()

    async def _or_hold(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Held as held:
            await self._hold(held)
        except (Refused, SotChanged) as refused:
            # Store or SOT cannot take part as they are (a table dropped, a right withdrawn): waiting mends nothing.
            await self._hold(Held(BEFORE_THE_NEXT, str(refused)))

    async def _work_on(self, records: list[KafkaRecord]) -> None:
        if self.state.hold.pending:
            return
        if self.work.held is not None:
            raise self.work.held.to(self.tp.partition)
        if self.work.unprepared:
            raise Held(BEFORE_THE_NEXT, self.work.unprepared)
        if self._loss_due and self.state.is_blank and not await self._take_over():
            return
        if records:
            await self._handle(records)
        if self._loss_due:
            await self._pass_lost()
        if self._sweep_due:
            await self._sweep()

    async def passed(self, offset: int) -> bool:
        """Wait until every record up to and including `offset` has been applied; False when the table is held."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.state.input_offset >= offset or self.held is not None)
        return self.state.input_offset >= offset

    async def swept(self) -> bool:
        """Wait until nothing is left that a TRUNCATE has removed from the SOT; False when the table is held."""
        async with self._moved:
            await self._moved.wait_for(lambda: not self.state.sweep.pending or self.held is not None)
        return not self.state.sweep.pending

    async def order_sweep(self, floor: int) -> None:
        """Look up in the SOT, once it is applied, every row of a record before `floor`. Durable on return.

        A floor beyond the end is of a topic that is no more; what there is of this one may not reach it for long.
        """
        floor = min(floor, await self.newest_end_offset())
        async with self.lock:
            self.state.sweep = self.state.sweep.with_order(self.state.epoch, floor)
            await self._applier.note(self.state)
        reached(Step.sweep_ordered)
        self._inbox.wake()

    def lose(self, last: int) -> None:
        """Go on behind `last` once all that came before is applied: what is missing up to it was told, and is gone."""
        self._lost = max(self._lost, (self.state.epoch, last))
        self._inbox.wake()

    async def is_unread(self) -> bool:
        """Whether there are records and none is applied: it may not be known yet that those before them are gone."""
        return self.state.is_blank and await self.newest_end_offset() > 0

    @property
    def held(self) -> Held | None:
        """Why nothing is applied; None where it is."""
        hold = self.state.hold
        return Held(BEFORE_THE_NEXT, hold.reason) if hold.pending else self.work.held

    async def order_hold(self, by: str, reason: str) -> None:
        """Apply nothing more, across restarts, until it is released. Durable and said on return."""
        async with self.lock:
            self.state.hold = self.state.hold.with_order(by, reason)
            await self._applier.note(self.state)
        self._inbox.wake()
        await self._say_ordered()

    async def release(self, by: str, reason: str) -> None:
        """End every hold that was ordered. Durable and said on return; what a record holds stays so."""
        async with self.lock:
            ended = self.state.hold.ended()
            if ended == self.state.hold:
                return
            self.state.hold, self.work.hold_ordered = ended, False
            await self._applier.note(self.state)
        await self._says.released(self.tp, reason, by)
        if self.work.held is not None:
            await self._tell_held(self._placed(self.work.held.to(self.tp.partition)))
        await self._tell_moved()

    async def hold_table(self, reason: str) -> None:
        """Stop the table before the next record, and say so now: there may be none for long."""
        self.work.held = self._placed(Held(BEFORE_THE_NEXT, reason))
        await self._tell_held(self.work.held)

    async def order_backfill(self, run: str, lower: bytes, upper: bytes) -> None:
        """Have every row between the bounds looked up. Durable on return."""
        await self._note_backfills(lambda known: known.with_order(run, lower, upper))
        reached(Step.backfill_ordered)
        if self.filling is not None:
            self.filling.wake()

    async def note_backfill(self, run: str, change: Callable[[Backfill], Backfill]) -> None:
        """A backfill has come further. Durable on return."""
        await self._note_backfills(lambda known: known.changed(run, change))

    async def _note_backfills(self, change: Callable[[Backfills], Backfills]) -> None:
        async with self.lock:
            changed = change(self.state.backfills)
            if changed != self.state.backfills:
                self.state.backfills = changed
                await self._applier.note(self.state)

    async def note_storm(self, at: int) -> None:
        """Too much is in drift to be repaired without being asked. at: milliseconds since 1970. Durable on return."""
        async with self.lock:
            self.state.storm = at
            await self._applier.note(self.state)

    async def others_have_counted(self) -> None:
        """Somebody has told how many keys of the partition are in drift without naming them. Durable on return.

        Where it is not checked all the time nobody here names any.
        """
        if self.scrub is not None:
            await self.note_flood(int(time.time() * 1000))
            self.scrub.others_have_counted()

    async def note_flood(self, at: int) -> None:
        """Keys are only counted since `at`, or negative, none is any more since then; as note_storm."""
        async with self.lock:
            self.state.flood = at
            await self._applier.note(self.state)

    async def until_free(self) -> None:
        """Wait while the partition is to wait, or is being rebuilt. Raises Held where a record holds the table."""
        await self._until_released()
        if self.work.held is not None:
            raise self.work.held.to(self.tp.partition)
        while self.state.takeover.pending:  # noqa: ASYNC110 - the end of a rebuild wakes nobody
            await asyncio.sleep(END_AGAIN_SECONDS)

    async def order_log(self, epoch: int, floor: int) -> None:
        """From `floor` on, count records to another log of the SOT. Durable on return.

        Whatever comes before that is counted to an earlier log, is asked about more often than need be, and is right.
        """
        async with self.lock:
            followed = self.state.log.followed(epoch, floor, self.state.input_offset)
            if followed != self.state.log:
                self.state.log = followed
                await self._applier.note(self.state)
        reached(Step.log_ordered)

    async def prove_ownership(self) -> bool:
        """Whether the partition is still ours: only its owner in the current generation can commit (Ordering 12)."""
        return await self._flow.commit(self.tp, self.state.input_offset)

    async def newest_end_offset(self) -> int:
        """End of the partition as it is in Kafka at this moment."""
        return await self._flow.newest_end_offset(self.tp)

    @property
    def end_offset(self) -> int:
        """End of the partition in Kafka, as the consumer last heard."""
        return self._flow.end_offset(self.tp)

    @property
    def is_paused(self) -> bool:
        """Whether nobody fetches from the partition, so that the consumer does not hear what comes into it."""
        return self._inbox.is_paused

    @property
    def lag_seconds(self) -> float:
        """Age of the oldest record that waits or is being worked on; 0 when there is none."""
        first = self._inbox.first
        return 0.0 if first is None else seconds_since(first.timestamp)

    async def _handle(self, records: list[KafkaRecord]) -> None:
        started = time.monotonic()
        async with self.lock:
            if self.state.hold.pending:  # since the lock was waited for; so below
                return
            decoded = await self._applier.handle(self.state, records, self._sweep_ordered)
            if self.watch:
                self._note(decoded.keyed)
            if self.scrub is not None:
                self.scrub.written(decoded.keyed)
        if decoded.last_offset >= records[0].offset:
            # Never back: after a takeover, what lies before it is read all the same.
            await self._flow.commit(self.tp, self.state.input_offset)
            reached(Step.offset_committed)
        self._inbox.done(records, decoded.last_offset)
        self._measure(started, len(records), decoded.committed_ms)
        await self._tell_moved()
        if decoded.truncate is not None:
            await self._on_truncate(self.tp, decoded.truncate.txid)
            self._sweep_ordered = decoded.truncate.offset
        if decoded.held is not None:
            raise decoded.held
        if self.work.held is not None:
            # Held while this batch was in hand: what it stops before is behind it.
            raise self.work.held.to(self.tp.partition)

    @property
    def _loss_due(self) -> bool:
        first = self._inbox.first
        before = first is not None and first.offset <= self._lost[1]
        return self._lost > (self.state.epoch, self.state.input_offset) and not before and self.held is None

    async def _pass_lost(self) -> None:
        """As after a batch: durable, committed, and known to those who wait."""
        last = self._lost[1]
        async with self.lock:
            if self.state.hold.pending:
                return
            await self._applier.note(self.state, last)
        reached(Step.loss_recorded)
        await self._flow.commit(self.tp, last)
        await self._tell_moved()

    async def _take_over(self) -> bool:
        """Nothing is known, and no record will tell it: from the end on changes are applied, what is there is read.

        False where the partition is to wait meanwhile.
        """
        end = await self._end_behind(self._lost[1])
        # Two looks, so that whatever has a place in the log up to the first was in progress at the second, or over.
        first, second = await self.work.snapshot(), await self.work.snapshot()
        async with self.lock:
            if self.state.hold.pending:
                return False
            if not self.state.is_blank:
                return True  # a repair has come in between: it was a loss like any other
            await self._note_takeover(end, first.lsn, second.ceiling)
        self._taken_over.set()
        reached(Step.partition_taken_over)
        await self._flow.commit(self.tp, end - 1)
        await self._tell_moved()
        return True

    async def _end_behind(self, offset: int) -> int:
        """End of the partition. A topic that ends before is another one by now: who watches over it ends the worker."""
        while (end := await self.newest_end_offset()) <= offset:  # noqa: ASYNC110 - Kafka tells nobody
            await asyncio.sleep(END_AGAIN_SECONDS)
        return end

    async def _note_takeover(self, end: int, lsn: int, ceiling: int) -> None:
        known = self.state.takeover
        self.state.take_over(end, lsn, ceiling)
        try:
            await self._applier.note(self.state, end - 1)
        except BaseException:
            # Nobody will know of it: whoever owns the partition next takes it over, and rebuilds nothing before that.
            self.state.takeover = known
            raise

    @property
    def _sweep_due(self) -> bool:
        return self.state.sweep.is_due(self.state.epoch, self.state.input_offset) and self.held is None

    async def _sweep(self) -> None:
        """Remove what a TRUNCATE left behind, some keys at a time: checks and repairs come in between."""
        ordered = self.state.sweep.ordered
        lower = b""
        while found := list(islice(self.state.scan(lower), SWEEP_KEYS)):
            async with self.lock:
                if self.state.hold.pending:
                    return
                await self._applier.sweep(self.state, [key for key, entry in found if entry.digest is not None])
                self.settled(key for key, _ in found)
            reached(Step.rows_swept)
            lower = found[-1][0] + b"\x00"
        async with self.lock:
            self.state.sweep = self.state.sweep._replace(done=ordered)
            await self._applier.note(self.state)
        await self._tell_moved()

    def _note(self, keyed: Mapping[bytes, Sequence[Record]]) -> None:
        """Remember every digest that watched keys had in this batch, also of changes that were reduced away."""
        digest = self.work.digester.digest
        for key in self.watch.keys & keyed.keys():
            for record in keyed[key]:
                self.watch.note(key, record.offset, None if record.row is None else digest(key, record.line))
        self.settled(keyed)

    def settled(self, keys: Iterable[bytes]) -> None:
        """Remember what those of these keys have now that are watched: a read of the SOT has told it, and no record."""
        watched = [*self.watch.keys.intersection(keys)]
        entries = self.state.entries(watched) if watched else []
        for key, entry in zip(watched, entries, strict=True):
            self.watch.note(key, NO_RECORD, entry.digest if entry is not None else None)

    def _measure(self, started: float, count: int, committed_ms: Sequence[int]) -> None:
        labels = self.work.labels
        APPLY_SECONDS.labels(*labels).observe(time.monotonic() - started)
        BATCH_ROWS.labels(*labels).observe(count)
        # A batch has few different commits: many rows of one transaction, or of one millisecond.
        lags = {seconds_since(moment): times for moment, times in Counter(committed_ms).items()}
        observe_all(CHANGE_LAG_SECONDS.labels(*labels), lags)

    async def _until_released(self) -> None:
        """Wait while somebody has the partition wait. Each of its owners says so: the last one may not have."""
        if not self.state.hold.pending:
            return
        await self._say_ordered()
        async with self._moved:
            await self._moved.wait_for(lambda: not self.state.hold.pending)

    async def _say_ordered(self) -> None:
        hold = self.state.hold
        if self._said == hold.ordered:
            return
        self._said = hold.ordered
        log.warning("%s waits in %s, ordered by %s: %s", self.work.table, self.work.replica, hold.by, hold.reason)
        await self._tell_held(self._placed(Held(BEFORE_THE_NEXT, hold.reason)), hold.by)

    async def _hold(self, held: Held) -> None:
        """Stop before the record that cannot be handled, say so, and wait for a person (or a rebalance)."""
        self._inbox.pause()
        held = self._placed(held)
        if self.work.held is None:
            self.work.held = held
            log.error("%s is held in %s: %s", self.work.table, self.work.replica, held.reason)
        await self._tell_held(held)
        await asyncio.Event().wait()

    def _placed(self, held: Held) -> Held:
        first, following = self._inbox.first, self.state.input_offset + 1
        return held.placed(self.tp.partition, following if first is None else max(first.offset, following))

    async def _tell_held(self, held: Held, by: str = "") -> None:
        HELD.labels(*self.work.labels).set(1)
        await self._tell_moved()
        await self._says.held(self.tp, held, by)

    async def _tell_moved(self) -> None:
        """Have those who wait for this partition look again."""
        async with self._moved:
            self._moved.notify_all()
