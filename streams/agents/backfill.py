"""Backfilling one partition by order: every row of a range is compared with the SOT, and what differs is repaired.

Beside the stream, some keys at a time, within the budget of SOT reads and the plan's rate of repairs (decision 18). A
look without the partition's lock proves a key right. What differs then is looked at again under the lock, behind a
fence, so that what is on its way is left to the stream; it is written by the rule of a repair.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from streams.agents.announce import signal
from streams.agents.events import Events
from streams.agents.repairs import REPAIRED, RIGHT, Done, Repairs
from streams.agents.retry import until_available
from streams.agents.spread import by_partition
from streams.checks.compare import expected_of
from streams.control.of_backfills import ENDED
from streams.metrics import BACKFILLED
from streams.repair.rule import is_foreign, token_of
from streams.replicas.base import Refused
from streams.rows.canonical import encode
from streams.sot.connection import SotChanged
from streams.steps import Step, reached
from streams.versions.backfills import AFTER_ALL, Backfill
from streams.versions.entry import Entry, Token

if TYPE_CHECKING:
    from streams.agents.owner import Owner
    from streams.agents.table import TableWork

log = logging.getLogger(__name__)

# Keys of one look; of those that are repaired together, under the lock, for which changes wait.
LOOK_KEYS = 500
REPAIR_KEYS = 100
# A look may take the budget of SOT reads for so long: a change that must ask waits for it.
LOOK_SECONDS = 0.25
# Keys that a list of the SOT, or of the store, gives at a time, for each partition.
LISTED_KEYS = 1_000
# How often keys are tried again whose repair was not carried out, and after how long.
TRIES_MAX = 3
AGAIN_SECONDS = 1.0


class Doubt(NamedTuple):
    """A key that a look did not prove right. token: of its entry then. behind: the store has what the entry says."""

    token: Token | None
    behind: bool


class Filling:
    """Carries out what backfills a partition was ordered, one after the other, the oldest first."""

    def __init__(self, owner: Owner, repairs: Repairs, events: Events) -> None:
        self._owner = owner
        self._work: TableWork = owner.work
        self._repairs = repairs
        self._events = events
        self._due = asyncio.Event()

    def wake(self) -> None:
        """Have `run` look whether there is one."""
        self._due.set()

    async def run(self) -> None:
        """Carry out orders until cancelled. It goes on where the one before was, after a crash or a rebalance."""
        if self._work.unprepared or self._owner.state.mapping not in ("", self._work.digester.version):
            return  # what is ordered waits for a worker that can write here
        while True:
            if not (waiting := self._owner.state.backfills.waiting):
                self._due.clear()
                await self._due.wait()
                continue
            await self._one(waiting[0])

    async def _one(self, order: Backfill) -> None:
        self._log("goes on")
        why = ""
        try:
            await self._through_known(order)
            await until_available("sot", lambda: self._through(order, self._in_sot(order)))
            await until_available(self._work.replica, lambda: self._through(order, self._in_store()))
        except (Refused, SotChanged) as refused:
            # As they are, store or SOT cannot take part. Who applies changes says so, too, and holds the table.
            why = str(refused)
        await self._end(order, why)

    async def _end(self, order: Backfill, why: str) -> None:
        """First said, then durable: what is said twice is the same."""
        await self._be_owner()
        done = self._now(order)
        told = {name: str(getattr(done, name)) for name in ("looked", "written", "removed", "failed")}
        said = {"backfill": order.run, "partition": str(self._owner.tp.partition), "reason": why, **told}
        self._events.send(*signal(self._work, ENDED, said))
        await self._events.flush()
        await self._owner.note_backfill(order.run, lambda now: now._replace(over=1, why=why))
        reached(Step.backfill_done)
        self._log("has ended%s: %s", f", given up: {why}" if why else "", told)

    def _log(self, what: str, *args: object) -> None:
        work = self._work
        log.warning(f"a backfill of %s[%d] in %s {what}", work.table, self._owner.tp.partition, work.replica, *args)

    def _now(self, order: Backfill) -> Backfill:
        return self._owner.state.backfills.of(order.run) or order

    async def _through_known(self, order: Backfill) -> None:
        """Look up what the replica must hold, as far as is known here, from where this was left."""
        while (at := self._now(order).reached) < AFTER_ALL:
            found = list(islice(self._owner.state.scan(at), LOOK_KEYS))
            live = [key for key, entry in found if entry.digest is not None]
            counted = await self._look(order, live)
            at = found[-1][0] + b"\x00" if len(found) == LOOK_KEYS else AFTER_ALL
            await self._note(order, counted, at)

    async def _through(self, order: Backfill, listed: AsyncIterator[Sequence[bytes]]) -> None:
        """Look up those listed keys of this partition that the replica must not hold, as far as is known here."""
        async for keys in listed:
            grouped = await self._work.threads.run(by_partition, self._work.partitioner, keys)
            mine = grouped.get(self._owner.tp.partition, [])
            for at in range(0, len(mine), LOOK_KEYS):
                some = mine[at : at + LOOK_KEYS]
                entries = self._owner.state.entries(some)
                new = [key for key, entry in zip(some, entries, strict=True) if expected_of(entry) is None]
                if counted := await self._look(order, new):
                    await self._note(order, counted, AFTER_ALL)

    async def _in_sot(self, order: Backfill) -> AsyncIterator[Sequence[bytes]]:
        work, after = self._work, None
        while keys := await work.sot_keys(after, LISTED_KEYS * work.partitions, order.between):
            yield keys
            after = keys[-1]

    async def _in_store(self) -> AsyncIterator[Sequence[bytes]]:
        work = self._work
        listed = work.store.keys(LISTED_KEYS * work.partitions)
        while (keys := await work.threads.run(next, listed, None)) is not None:
            yield [key for key in keys if key is not None]

    async def _look(self, order: Backfill, keys: Sequence[bytes]) -> Counter[str]:
        """Have those of these keys right that are in the order's range; what became of how many."""
        mine = await self._work.keys_within(keys, order.between)
        counted = Counter[str]()
        size = min(LOOK_KEYS, self._work.budget.of(LOOK_SECONDS))
        for at in range(0, len(mine), size):
            some = mine[at : at + size]
            counted += await self._made_right(some)
            counted["looked"] += len(some)
        return counted

    async def _made_right(self, keys: Sequence[bytes]) -> Counter[str]:
        counted = Counter[str]()
        left = list(keys)
        for again in range(TRIES_MAX):
            if again:
                await asyncio.sleep(AGAIN_SECONDS)
            await self._owner.until_free()
            if not (doubts := await self._glance(left)) or not await self._is_fenced(doubts):
                left = list(doubts)
            else:
                done = await self._repaired(doubts)
                left = [key for key, each in done.items() if each.outcome not in (REPAIRED, RIGHT)]
                counted += Counter(self._what(each.entry) for each in done.values() if each.outcome == REPAIRED)
            reached(Step.rows_backfilled)
            if not left:
                break
        counted["failed"] += len(left)
        return counted

    async def _repaired(self, doubts: Mapping[bytes, Doubt]) -> dict[bytes, Done]:
        """What became of these keys, some at a time."""
        keys, done = list(doubts), dict[bytes, Done]()
        for at in range(0, len(keys), REPAIR_KEYS):
            tokens = {key: doubts[key].token for key in keys[at : at + REPAIR_KEYS]}
            done |= await self._repairs.done(self._owner, [*tokens], tokens)
        return done

    async def _glance(self, keys: Sequence[bytes]) -> dict[bytes, Doubt]:
        """A look without the lock: those of these keys that it does not prove right."""
        work, state = self._work, self._owner.state
        entries = state.entries(keys)
        held = await until_available(work.replica, lambda: work.threads.run(work.store.read, keys))
        async with work.filling:
            await work.budget.take(len(keys), paid_off=True)
            read = await work.read_sot(keys, "backfill", paid=True)
        doubts = {}
        for key, entry in zip(keys, entries, strict=True):
            there, row = held.get(key), read.rows.get(key)
            content = self._digest(key, there.row if there else None)
            if content is None and work.mapping.readers_fill:
                content = expected_of(entry)  # that it is absent is right, whatever that is
            if content != expected_of(entry) or is_foreign(entry, there.token if there else None):
                doubts[key] = Doubt(token_of(entry or state.unknown), behind=False)
            elif content != self._digest(key, row):
                doubts[key] = Doubt(token_of(entry or state.unknown), behind=True)
        BACKFILLED.labels(*work.labels, "looked").inc(len(keys))
        return doubts

    def _what(self, entry: Entry | None) -> str:
        """What a repair that leaves this entry has done with the store's row."""
        return "removed" if expected_of(entry) is None or self._work.mapping.readers_fill else "written"

    def _digest(self, key: bytes, row: tuple[str | None, ...] | None) -> bytes | None:
        return None if row is None else self._work.digester.digest(key, encode(row))

    async def _is_fenced(self, doubts: Mapping[bytes, Doubt]) -> bool:
        """Whether all is applied that the SOT had at the look, where that matters; False when the table is held."""
        if not any(doubt.behind for doubt in doubts.values()):
            return True
        await self._work.pass_fence()
        return await self._owner.passed(await self._owner.newest_end_offset() - 1)

    async def _note(self, order: Backfill, counted: Mapping[str, int], at: bytes) -> None:
        await self._be_owner()
        for result in ("written", "removed", "failed"):
            BACKFILLED.labels(*self._work.labels, result).inc(counted.get(result, 0))
        await self._owner.note_backfill(order.run, _further(counted, at))
        reached(Step.backfill_noted)

    async def _be_owner(self) -> None:
        """Return if the partition is ours. Who has lost it says nothing of it any more, and is about to hear so."""
        if not await self._owner.prove_ownership():
            await asyncio.Event().wait()


def _further(counted: Mapping[str, int], at: bytes) -> Callable[[Backfill], Backfill]:
    def change(now: Backfill) -> Backfill:
        more = {name: getattr(now, name) + counted.get(name, 0) for name in ("looked", "written", "removed", "failed")}
        return now._replace(reached=at, **more)

    return change
