"""The repair agent's work: an owner makes drifted keys right, under the partition's lock (design, Repair)."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from faust.types import TP

from streams.agents.events import Event
from streams.agents.owner import OTHER_MAPPING, REBUILT, Owner
from streams.agents.requests import Requests
from streams.agents.retry import until_available
from streams.changes.visibility import Looks
from streams.checks.compare import expected_of
from streams.drift.cause import FOREIGN
from streams.drift.record import key_record
from streams.errors import HoldtrueError, NotReady
from streams.metrics import REPAIRS
from streams.repair.rule import counts, is_due, is_foreign, repaired
from streams.replicas.base import Held, Outcome, ReplicaTable, Result, Write
from streams.rows.canonical import Row, encode
from streams.steps import Step, reached
from streams.versions.entry import Entry, Token
from streams.versions.state import Move

log = logging.getLogger(__name__)

# How often a key is read again when its transactions are not visible yet, or the store changed meanwhile.
TRIES_MAX = 5
AGAIN_SECONDS = 0.02
SUSPICIONS_AT_ONCE = 500


class Fence(NamedTuple):
    """What has been passed before a repair: everything in the partition up to `end`, by who owned it then.

    seen: the stored tokens that were not ours before that. Only they may be followed or overruled: another one may be
    the work of who owns the partition now.
    """

    end: int
    seen: Mapping[bytes, Token]


NOT_FENCED = Fence(-1, {})


class Done(NamedTuple):
    """What became of a key: `repaired`, `right`, `failed` or `refused`, with `: ` and the reason; its entry then."""

    outcome: str
    entry: Entry | None


REPAIRED = "repaired"
# Of a backfill: there was nothing to write.
RIGHT = "right"
FAILED = Done("failed", None)


class Asked(NamedTuple):
    """The looks at the SOT for a key while it had this entry."""

    entry: Entry | None
    looks: Looks


class Fix(NamedTuple):
    """A key's entry before and after, and the write between them; overrule: the stored token that it replaces."""

    before: Entry | None
    after: Entry
    write: Write
    overrule: Token | None


class Repairs(Requests):
    """Carries out repair requests."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # Of each partition the keys whose suspicion has been told and is not settled yet, with the stored token. Those
        # that were tried last are the last ones.
        self._told: dict[TP, dict[bytes, bytes]] = {}

    async def answer(self, owner: Owner, request: dict[str, Any]) -> list[Event]:
        """Repair the request's keys; each gets its own result."""
        reached(Step.repair_received)
        items = {item["key"]: item for item in request["items"]}
        owner.ordered(items)
        done = await self.done(owner, [*items])
        results = [result(request, items[key], *done[key]) for key in items]
        return [("repairs.results", request["repair"], "repair-result", each) for each in results]

    async def done(
        self, owner: Owner, keys: Sequence[bytes], before: Mapping[bytes, Token | None] | None = None
    ) -> dict[bytes, Done]:
        """Repair these keys, within the plan's rate; what became of each.

        before: write only what is not right, and is not on its way (`streams.repair.rule.is_due`).
        """
        try:
            fence = await self._fence(owner, keys)
            await owner.work.repairs.take(len(keys))
            done = await self._repair(owner, keys, fence, before)
        except HoldtrueError as error:
            # Nothing of it was carried out, and it can be ordered again.
            log.warning("a repair of %s in %s was not carried out: %s", owner.work.table, owner.work.replica, error)
            done = dict.fromkeys(keys, Done(f"{FAILED.outcome}: {error.what}", None))
        self._count(owner, done)
        return done

    def published(self) -> None:
        """The results are with those who ordered."""
        reached(Step.repair_recorded)

    async def stop(self) -> None:
        """The partitions are given back: whoever owns them next may settle what was told here."""
        self._told.clear()
        await super().stop()

    async def settle_suspicions(self, owner: Owner) -> None:
        """Make keys right whose store answered a write with a token larger than ours (Ordering 12).

        Either we are a zombie, and cannot prove ownership, or somebody wrote a token that is not ours. Ends with
        `stop`: the partition's next owner settles what is left.
        """
        if not owner.state.suspected or owner.work.mapping.mode == "verify":  # they are of before it was
            self._told.pop(owner.tp, None)
            return
        task = asyncio.create_task(self._settle_suspicions(owner), name=f"suspicions {owner.tp}")
        self._tasks[owner.tp] = task
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
        if not task.cancelled():
            task.result()

    async def _settle_suspicions(self, owner: Owner) -> None:
        suspected = dict(owner.state.suspected)
        known = self._told.get(owner.tp, {})
        told = self._told[owner.tp] = {key: token for key, token in known.items() if suspected.get(key) == token}
        # All that are there now, the new ones first: those that cannot be settled keep nobody else waiting.
        order = [*(key for key in suspected if key not in told), *told]
        at_once = min(SUSPICIONS_AT_ONCE, owner.work.budget.of(1.0))
        for start in range(0, len(order), at_once):
            keys = order[start : start + at_once]
            fence = await self._fence(owner, keys)
            await self._announce(owner, [key for key in keys if key not in told], "suspected")
            for key in keys:
                told.pop(key, None)
                told[key] = suspected[key]
            done = await self._repair(owner, keys, fence)
            self._count(owner, done)
            settled = [key for key in keys if done[key].outcome == REPAIRED]
            await self._announce(owner, settled, "resolved")
            for key in settled:
                del told[key]

    def _count(self, owner: Owner, done: Mapping[bytes, Done]) -> None:
        for outcome, count in Counter(each.outcome.partition(":")[0] for each in done.values()).items():
            REPAIRS.labels(*owner.work.labels, outcome).inc(count)

    async def _announce(self, owner: Owner, keys: Sequence[bytes], state: str) -> None:
        work, now = owner.work, datetime.now(UTC)
        for key in keys:
            said: dict[str, Any] = {"kind": "mismatch", "cause": FOREIGN, "state": state, "at": now}
            record = key_record(work.names, key, **said)
            self._events.send("drift", record["id"], "drift", record)
        await self._events.flush()

    async def _fence(self, owner: Owner, keys: Sequence[bytes]) -> Fence:
        """Where a store holds a token that is not ours, pass all that is in the log first, and prove ownership.

        Raises NotReady where that is not possible, the table is held because it does not fit, or it is or may have to
        be rebuilt: a repair would write above the rebuild, which may have read its row later.
        """
        work = owner.work
        if owner.state.takeover.pending:
            raise NotReady(f"{work.table} cannot be repaired in {work.replica}: {REBUILT}.")
        if owner.state.mapping not in ("", work.digester.version):
            raise NotReady(f"{work.table} cannot be repaired in {work.replica}: {OTHER_MAPPING}.")
        if await owner.is_unread():
            why = "nothing of a partition is read yet" if owner.held is None else f"it is held: {owner.held.reason}"
            raise NotReady(f"{work.table} cannot be repaired in {work.replica}: {why}.")
        if work.unprepared:
            raise NotReady(f"{work.table} cannot be repaired in {work.replica}: {work.unprepared}")
        store = await work.guarded()
        held = await until_available(work.replica, lambda: work.threads.run(store.read, keys))
        seen = {
            key: token
            for key in keys
            if (token := _token(held.get(key))) is not None and is_foreign(owner.state.known(key), token)
        }
        if not seen:
            return NOT_FENCED
        end = await owner.newest_end_offset()
        if not await owner.passed(end - 1) or not await owner.prove_ownership():
            raise NotReady(f"{work.table} cannot be repaired in {work.replica}: the partition is held or not ours.")
        return Fence(end, seen)

    async def _repair(
        self, owner: Owner, keys: Sequence[bytes], fence: Fence, before: Mapping[bytes, Token | None] | None = None
    ) -> dict[bytes, Done]:
        """What became of each of these keys. Those that cannot be written yet are tried again, a few times."""
        asked: dict[bytes, Asked] = {}
        done: dict[bytes, Done] = {}
        left = list(keys)
        for again in range(TRIES_MAX):
            if again:
                await asyncio.sleep(AGAIN_SECONDS * again)
                try:
                    # The store may have moved meanwhile, perhaps to tokens that are not ours.
                    fence = await self._fence(owner, left)
                except NotReady as error:
                    log.warning("%s", error)
                    break
            # Not under the lock: changes go on being applied while this waits, but for those the SOT must be asked for.
            await owner.work.budget.take(len(left), paid_off=True)
            async with owner.lock:
                done |= await self._try(owner, left, fence, asked, before)
            left = [key for key in left if key not in done]
            if not left:
                break
        return done | dict.fromkeys(left, FAILED)

    async def _try(
        self,
        owner: Owner,
        keys: Sequence[bytes],
        fence: Fence,
        asked: dict[bytes, Asked],
        before: Mapping[bytes, Token | None] | None,
    ) -> dict[bytes, Done]:
        """One try, under the lock. Without the keys that must be read again: the store moved, or others cannot see
        their transactions yet. asked: the looks at each so far.
        """
        work = owner.work
        if owner.state.takeover.pending:  # since the lock was waited for
            return {}
        entries = {key: owner.state.known(key) for key in keys}
        for key, entry in entries.items():
            if key not in asked or asked[key].entry != entry:
                # What has come since the first look is not settled by what was over then.
                asked[key] = Asked(entry, Looks())
        # The store first, then the SOT: what is written above its tokens was read after they were there.
        store = await work.guarded()
        held = await until_available(work.replica, lambda: work.threads.run(store.read, keys))
        read = await work.read_sot(keys, "repair", paid=True)
        stored = {key: _token(held.get(key)) for key in keys}
        valid = [key for key in keys if counts(entries[key], asked[key].looks.at(read.snapshot))]
        due = valid if before is None else _due(owner, valid, entries, held, read.rows, before)
        fixes = [
            _fix(owner, key, entries[key], stored[key], read.rows.get(key), fence)
            for key in due
            if _is_fenced(entries[key], stored[key], key, fence)
        ]
        right = {key: Done(RIGHT, entries[key]) for key in set(valid).difference(due)}
        return right | (await self._write(owner, fixes) if fixes else {})

    async def _write(self, owner: Owner, fixes: Sequence[Fix]) -> dict[bytes, Done]:
        work = owner.work
        store = await work.guarded()
        results = await until_available(work.replica, lambda: work.threads.run(_send, store, fixes))
        reached(Step.repair_written)
        done, moves = dict[bytes, Done](), list[Move]()
        for fix, result in zip(fixes, results, strict=True):
            if result.outcome is Outcome.refused:
                done[fix.write.key] = Done(f"refused: {result.reason}", fix.before)
            elif result.outcome in (Outcome.applied, Outcome.duplicate):
                done[fix.write.key] = Done(REPAIRED, fix.after)
                moves.append(Move(fix.write.key, fix.before, fix.after))
        if moves:
            await self._record(owner, moves)
        return done

    async def _record(self, owner: Owner, moves: Sequence[Move]) -> None:
        state = owner.state
        records = state.changelog(moves, state.input_offset)
        versions = owner.work.versions
        offset = await until_available("changelog", lambda: versions.append(state.partition, records))
        state.commit(moves, state.input_offset, offset, records=records)
        owner.settled(move.key for move in moves)


def _is_fenced(entry: Entry | None, stored: Token | None, key: bytes, fence: Fence) -> bool:
    """Whether the stored token may be written over: it is ours, or was there before the fence."""
    return not is_foreign(entry, stored) or fence.seen.get(key) == stored


def _due(
    owner: Owner,
    keys: Iterable[bytes],
    entries: Mapping[bytes, Entry | None],
    held: Mapping[bytes, Held],
    rows: Mapping[bytes, Row],
    before: Mapping[bytes, Token | None],
) -> list[bytes]:
    """Those of these keys that a backfill is to write."""

    def digest(key: bytes, row: Row | None) -> bytes | None:
        return None if row is None else owner.work.digester.digest(key, encode(row))

    due = []
    for key in keys:
        there = held.get(key)
        content, wanted = digest(key, there.row if there else None), digest(key, rows.get(key))
        if content is None and owner.work.mapping.readers_fill:
            content = expected_of(entries[key])  # that it is absent is right, whatever that is
        if is_due(entries[key], _token(there), content, wanted, before[key]):
            due.append(key)
    return due


def _fix(owner: Owner, key: bytes, entry: Entry | None, stored: Token | None, row: Row | None, fence: Fence) -> Fix:
    line = b"" if row is None else encode(row)
    digest = None if row is None else owner.work.digester.digest(key, line)
    fix = repaired(entry, stored, row, digest, fenced_end=fence.end, epoch=owner.state.epoch)
    return Fix(entry, fix.entry, owner.work.write(key, row, line, fix.entry.token), fix.overrule)


def _send(store: ReplicaTable, fixes: Sequence[Fix]) -> list[Result]:
    """Those that the guard lets through together, the others one by one; the results in the order of the fixes."""
    plain = [fix.write for fix in fixes if fix.overrule is None]
    results = dict(zip((write.key for write in plain), store.apply(plain) if plain else (), strict=True))
    for fix in fixes:
        if fix.overrule is not None:
            results[fix.write.key] = store.overrule(fix.write.key, fix.overrule, fix.write)
    return [results[fix.write.key] for fix in fixes]


def _token(held: Held | None) -> Token | None:
    return held.token if held is not None else None


def result(request: Mapping[str, Any], item: Mapping[str, Any], outcome: str, entry: Entry | None) -> dict[str, Any]:
    """The answer for one key (`item`) of a request: fields as in `schemas/repair-result.avsc`."""
    name, _, reason = outcome.partition(": ")
    same = {field: request[field] for field in ("repair", "replica", "table", "partition")}
    return {
        **same,
        "drift": item["drift"],
        "key": item["key"],
        "outcome": name,
        "token": entry.token.encode() if entry else None,
        "reason": reason or None,
        "at": datetime.now(UTC),
    }
