"""The consumer that hands whole fetches to Faust, and starts each partition where nothing can be missed."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from typing import Any

from aiokafka.consumer import fetcher
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP, ConsumerMessage

from streams.transport.batches import Batch, KafkaRecord

# A partition that was resumed gives what was fetched before when the consumer asks next, not at once.
_POLL_SECONDS = 0.05
# How long a broker may keep a fetch when it has no records. aiokafka has one fetch per broker under way, and a resumed
# partition waits for the next one. Faust sets 1.5 s and has no setting for it; a worker stood still for a third of its
# time (docs/benchmarks.md).
_FETCH_WAIT_MS = 100


class _BareRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """Records as the C decoder makes them. A `ConsumerRecord` around each costs twice as much as the decoding."""

    def _consumer_record(self, tp: Any, record: Any) -> KafkaRecord:
        return record  # type: ignore[no-any-return]


# aiokafka has no setting for it; every consumer of a worker is a `BatchConsumer`, which needs no more of a record.
fetcher.PartitionRecords = _BareRecords

# A batch is some 100,000 small objects that end with it, by their reference counts; looking among them for cycles at
# Python's usual 700 cost a third of the worker's time (docs/benchmarks.md).
_COLLECT_AFTER_OBJECTS = 100_000


def collect_seldom() -> None:
    """Look for cycles after batches, not within them, and never again among what was imported at the start."""
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS, 10, 10)


class _ConsumerThread(AIOKafkaConsumerThread):  # type: ignore[misc]  # faust ships no types
    """Faust's thread around an aiokafka consumer that asks its broker again soon."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS
        return consumer


class BatchConsumer(Consumer):  # type: ignore[misc]
    """Faust's own aiokafka consumer with another inner loop; group, heartbeats and assignment stay Faust's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Where records were missing and were asked for again, by partition.
        self._missing: dict[TP, int] = {}
        # One at a time: taking records out of a fetch, and moving to where the next ones are to come from.
        self._taking = asyncio.Lock()
        # The generation of the group whose partitions have been moved to where they are to be read from.
        self._sought_generation: int | None = None

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def on_start(self) -> None:
        """Start as Faust does, in a process that now makes and drops objects by the batch."""
        await super().on_start()
        collect_seldom()

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                await self._drain_once()
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise

    async def _drain_once(self) -> None:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        async with self._taking:
            await self._take()

    async def _take(self) -> None:
        if not self.flow_active:
            return  # it ended while the lock was waited for, perhaps by whoever waits for it now
        records, _ = await self._wait_next_records(_POLL_SECONDS)
        await self.sleep(0)  # a fetch that is always ready must not starve the lanes
        if not self.flow_active:
            # A rebalance began while we fetched: what we hold may be somebody else's by now.
            return
        generation = self.app.consumer_generation_id
        for tp, fetched in (records or {}).items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            # Also for a partition that was paused while this fetch was on its way: aiokafka has moved past these
            # records, and would never give them again.
            if fetched and self._is_sought(TP(tp.topic, tp.partition)):
                await self._deliver(TP(tp.topic, tp.partition), fetched)

    def _is_sought(self, tp: TP) -> bool:
        """Whether what is fetched of it comes from where it is to be read.

        After a recovery Faust first resumes the partitions, and moves them then: what is fetched between is of
        anywhere.
        """
        return bool(self._is_changelog_tp(tp)) or self._sought_generation == self.app.consumer_generation_id

    async def _deliver(self, tp: TP, fetched: list[KafkaRecord]) -> None:
        start = self._read_offset[tp]
        if start is None and self.app.is_ordered(tp):
            start = 0  # Faust's word for it
        if start is not None and fetched[0].offset < start and self.app.is_ordered(tp):
            # aiokafka begins a partition anew that ends before the place it was to be read on from. Or these records
            # were fetched before a rebalance moved that place.
            await self.app.on_begun_anew(tp, start)
        if start is not None and fetched[0].offset > start and not await self._explained(tp, start, fetched[0].offset):
            return
        fresh = fetched if start is None or fetched[0].offset >= start else [r for r in fetched if r.offset >= start]
        if not fresh:
            return
        batch = Batch(tp, fresh, fresh[0].offset if start is None else start)
        await self.wait_first(self.callback(self._as_message(batch)), self.suspend_flow.wait())
        self._read_offset[tp] = batch.last_offset + 1

    async def _explained(self, tp: TP, start: int, first: int) -> bool:
        """Whether it is clear why records are missing between `start` and `first`; if not, they are asked for again.

        Kafka itself leaves out markers of transactions and what compaction or retention removed. The last is a loss,
        which the app is told. What is missing a second time does not exist.
        """
        if not self.app.is_ordered(tp) or self._missing.get(tp) == start:
            return True
        earliest = (await self.earliest_offsets(tp)).get(tp) or 0
        if earliest > start:
            await self.app.on_gap(tp, start, earliest)
            return True
        self._missing[tp] = start
        await self.seek(tp, start)
        return False

    def _as_message(self, batch: Batch) -> ConsumerMessage:
        """One message that stands for the batch; its offset is the last one, which is what recovery counts by."""
        tp, last = batch.tp, batch.records[-1]
        return ConsumerMessage(
            tp.topic, tp.partition, last.offset, last.timestamp / 1000.0, 0, (), None, batch,
            None, None, None, tp, generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    async def perform_seek(self) -> None:
        """Start every partition at min(committed, what the version table holds) + 1 (design, Ordering 13).

        Nothing is delivered meanwhile, nor before Faust resumes the flow: it empties the queues of the agents then, and
        what was delivered before that would be lost to them while the consumer had moved past it.
        """
        self.stop_flow()
        async with self._taking:
            generation = self.app.consumer_generation_id
            await self._seek_all()
            self._sought_generation = generation

    async def _seek_all(self) -> None:
        await super().perform_seek()
        starts = {
            tp: start
            for tp in self._others()
            if (start := self.app.start_offset(tp, self._read_offset[tp])) is not None
        }
        forgotten = {
            tp: start - 1 for tp, start in starts.items()
            if start > 0 and self._read_offset[tp] is None and self.app.is_ordered(tp)
        }  # fmt: skip
        # Faust moves nothing of which nothing is committed, wherever a fetch before this has taken it.
        begun = [tp for tp in self._others() if tp not in starts and not self._read_offset[tp]]
        earliest = await self.earliest_offsets(*starts, *begun) if starts or begun else {}
        for tp in begun:
            await self.seek(tp, earliest.get(tp) or 0)
        for tp, start in starts.items():
            first = earliest.get(tp) or 0
            if first > start and self.app.is_ordered(tp):
                await self.app.on_gap(tp, start, first)
            await self.seek(tp, max(start, first))
        if forgotten:
            # Whoever asks Kafka how far the group is (holdtrue status) is told again, also when no change comes.
            await self.commit_done(forgotten)

    def _others(self) -> list[TP]:
        """The assigned partitions that are no changelog's."""
        assigned = (TP(tp.topic, tp.partition) for tp in self.assignment())
        return [tp for tp in assigned if not self._is_changelog_tp(tp)]

    async def _seek(self, partition: TP, offset: int) -> None:
        """In the consumer's own thread: Faust seeks from ours, while a fetch may be taking the same records out there.

        Then a fetch found them gone, and ended the worker (KeyError in aiokafka's fetcher).
        """
        await self._thread.call_thread(self._thread.seek, partition, offset)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing. Faust looks every few seconds whether streams that acknowledge to it are slow; ours do not.

        Whether work goes on is told by `streams.health`. And the look failed, and ended the worker, where it met a
        partition whose position aiokafka was just finding anew, as after records were deleted.
        """

    async def commit_done(self, done: Mapping[TP, int]) -> bool:
        """Commit that every record up to these offsets is in store, changelog and local state.

        False when the partitions were taken away meanwhile: their records will be handled again by the new owner.
        """
        return bool(await self._commit_offsets({tp: offset + 1 for tp, offset in done.items()}))


class BatchTransport(Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with the batch consumer."""

    Consumer = BatchConsumer
