"""What waits for the owner of one partition: fetched records in their order; the partition is paused at the bound."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

from faust.types import TP

from streams.errors import HoldtrueError
from streams.steps import Step, reached
from streams.transport.batches import Batch, Fetching, KafkaRecord

BATCH_RECORDS_MAX = 5_000
# A partition is worked on at most so often while less than a full batch waits: well below any lag bound.
GATHER_SECONDS = 0.1
# Fetched records that may wait for one partition: a batch and what is fetched while it is worked on.
WAITING_RECORDS_MAX = 8_000


class Inbox:
    """Records of one partition, from the consumer to its owner. `following`: what the next fetch follows."""

    def __init__(self, tp: TP, fetching: Fetching, following: int) -> None:
        self._tp = tp
        self._fetching = fetching
        self._following = following
        self._waiting: deque[Sequence[KafkaRecord]] = deque()
        self._count = 0
        self._paused = False
        self._next_at = 0.0
        self._arrived = asyncio.Event()
        # The end of this worker, once a fetch did not follow what came before.
        self._torn: HoldtrueError | None = None

    def offer(self, batch: Batch, known: int) -> None:
        """Take a fetch in; never blocks. The partition is paused while more waits than can be worked on soon.

        known: nothing up to this offset is missing. A fetch that does not follow what came before ends the worker:
        records were lost on their way inside it.
        """
        if batch.start > max(self._following, known + 1):
            self._torn = _torn(self._tp, self._following, batch.start)
            self.wake()
            return
        self._following = max(self._following, batch.last_offset + 1)
        self._waiting.append(batch.records)
        self._count += len(batch.records)
        if self._count >= WAITING_RECORDS_MAX:
            # Each time: after a rebalance Faust resumes what was paused before it.
            self.pause()
        self.wake()

    def wake(self) -> None:
        """Have `take` look again."""
        self._arrived.set()

    def pause(self) -> None:
        """Fetch no more of the partition, until what waits is done."""
        self._paused = True
        self._fetching.pause(self._tp)

    @property
    def is_paused(self) -> bool:
        """Whether nobody fetches from the partition, so that the consumer does not hear what comes into it."""
        return self._paused

    @property
    def first(self) -> KafkaRecord | None:
        """The oldest record that waits or is being worked on."""
        return self._waiting[0][0] if self._waiting else None

    async def take(self, due: Callable[[], bool]) -> list[KafkaRecord]:
        """The next batch, in order, of at most BATCH_RECORDS_MAX; empty when there is none and something else is due.

        It goes on waiting here until it is done. Raises HoldtrueError once everything before a hole is taken.
        """
        while not self._waiting:
            if self._torn is not None:
                raise self._torn
            if due():
                return []
            self._arrived.clear()
            await self._arrived.wait()
        # A trickle is gathered: the round trips of a batch cost the same for one record as for a thousand.
        if self._count < BATCH_RECORDS_MAX and (early := self._next_at - time.monotonic()) > 0:
            await asyncio.sleep(early)
        self._next_at = time.monotonic() + GATHER_SECONDS
        reached(Step.batch_received)
        taken: list[KafkaRecord] = []
        for records in self._waiting:
            taken.extend(records[: BATCH_RECORDS_MAX - len(taken)])
            if len(taken) >= BATCH_RECORDS_MAX:
                break
        return taken

    def done(self, records: Sequence[KafkaRecord], last_offset: int) -> None:
        """Let go of those of `records`, which were taken, up to `last_offset`, and let more come in."""
        done = len(records)
        if records[-1].offset > last_offset:
            done = sum(record.offset <= last_offset for record in records)
        self._count -= done
        while done:
            first = self._waiting.popleft()
            if len(first) > done:
                self._waiting.appendleft(first[done:])
            done -= min(done, len(first))
        if self._paused and self._count < WAITING_RECORDS_MAX:
            self._paused = False
            self._fetching.resume(self._tp)


def _torn(tp: TP, wanted: int, start: int) -> HoldtrueError:
    return HoldtrueError(
        f"Offsets {wanted} to {start - 1} of {tp.topic}[{tp.partition}] did not reach their owner in this worker.",
        "Nothing behind them was applied. Start the worker again (a supervisor does): it reads on from there.",
    )
