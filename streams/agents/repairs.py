"""The repair agent's work: an owner makes drifted keys right, under the partition's lock (design, Repair)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from streams.agents.events import Event
from streams.agents.owner import Owner
from streams.agents.requests import Requests
from streams.agents.retry import until_available
from streams.changes.visibility import Looks
from streams.drift.identity import drift_id
from streams.errors import HoldtrueError, NotReady
from streams.metrics import REPAIRS
from streams.repair.rule import Repaired, counts, is_foreign, repaired
from streams.replicas.base import Held, Outcome, Result, Write
from streams.rows.canonical import Row, decode, encode
from streams.steps import Step, reached
from streams.versions.entry import Entry, Token
from streams.versions.state import Move

log = logging.getLogger(__name__)

# How often a key is read again when its transactions are not visible yet, or the store changed meanwhile.
TRIES_MAX = 5
AGAIN_SECONDS = 0.02
SUSPICIONS_AT_ONCE = 100


class Fence(NamedTuple):
    """What has been passed before a repair: everything in the partition up to `end`, by who owned it then.

    seen: the stored tokens that were not ours before that. Only they may be followed or overruled: another one may be
    the work of who owns the partition now.
    """

    end: int
    seen: Mapping[bytes, Token]


NOT_FENCED = Fence(-1, {})


class Repairs(Requests):
    """Carries out repair requests."""

    async def answer(self, owner: Owner, request: dict[str, Any]) -> list[Event]:
        """Repair the request's keys, one after the other; each gets its own result."""
        reached(Step.repair_received)
        try:
            return await self._answers(owner, request)
        except HoldtrueError as error:
            # Whoever ordered it sees that no answer came, and can order it again.
            log.warning("a repair of %s in %s was not carried out: %s", owner.work.table, owner.work.replica, error)
            return []

    async def _answers(self, owner: Owner, request: dict[str, Any]) -> list[Event]:
        fence = await self._fence(owner, [item["key"] for item in request["items"]])
        said: list[Event] = []
        for item in request["items"]:
            await owner.work.repairs.take(1)
            outcome, entry = await self._repair(owner, item["key"], fence)
            result = _result(request, item, outcome, entry)
            REPAIRS.labels(*owner.work.labels, result["outcome"]).inc()
            said.append(("repairs.results", request["repair"], "repair-result", result))
        return said

    def published(self) -> None:
        """The results are with those who ordered."""
        reached(Step.repair_recorded)

    async def settle_suspicions(self, owner: Owner) -> None:
        """Make keys right whose store answered a write with a token larger than ours (Ordering 12).

        Either we are a zombie, and cannot prove ownership, or somebody wrote a token that is not ours. Ends with
        `stop`: the partition's next owner settles what is left.
        """
        task = asyncio.create_task(self._settle_suspicions(owner), name=f"suspicions {owner.tp}")
        self._tasks[owner.tp] = task
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
        if not task.cancelled():
            task.result()

    async def _settle_suspicions(self, owner: Owner) -> None:
        keys = list(owner.state.suspected)[:SUSPICIONS_AT_ONCE]
        if not keys:
            return
        fence = await self._fence(owner, keys)
        for key in keys:
            await self._announce(owner, key, "suspected")
            outcome, _ = await self._repair(owner, key, fence)
            REPAIRS.labels(*owner.work.labels, outcome.partition(":")[0]).inc()
            if outcome == "repaired":
                await self._announce(owner, key, "resolved")

    async def _announce(self, owner: Owner, key: bytes, state: str) -> None:
        work, now = owner.work, datetime.now(UTC)
        drift = drift_id(work.replica, work.table, key)
        record = {
            "id": drift,
            "replica": work.replica,
            "table": work.table,
            "key": dict(zip(work.shape.key_columns, decode(key), strict=True)),
            "key_bytes": key,
            "kind": "mismatch",
            "cause": "foreign token",
            "state": state,
            "first_seen": now,
            "last_seen": now,
            "at": now,
        }
        self._events.send("drift", drift, "drift", record)
        await self._events.flush()

    async def _fence(self, owner: Owner, keys: list[bytes]) -> Fence:
        """Where a store holds a token that is not ours, pass all that is in the log first, and prove ownership.

        Raises NotReady where that is not possible, or the table is held because it does not fit.
        """
        work = owner.work
        if work.unprepared:
            raise NotReady(f"{work.table} cannot be repaired in {work.replica}: {work.unprepared}")
        held = await until_available(work.replica, lambda: work.threads.run(work.store.read, keys))
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

    async def _repair(self, owner: Owner, key: bytes, fence: Fence) -> tuple[str, Entry | None]:
        work = owner.work
        asked: Entry | None = None
        looks = Looks()
        for again in range(TRIES_MAX):
            if again:
                await asyncio.sleep(AGAIN_SECONDS * again)
            async with owner.lock:
                entry = owner.state.known(key)
                if entry != asked:
                    # What has come since the first look is not settled by what was over then.
                    asked, looks = entry, Looks()
                # The store first, then the SOT: what is written above this token was read after it was there.
                held = await until_available(work.replica, lambda: work.threads.run(work.store.read, [key]))
                read = await work.read_sot([key], "repair")
                if not counts(entry, looks.at(read.snapshot)):
                    continue
                done = await self._write(owner, key, entry, _token(held.get(key)), read.rows.get(key), fence)
            if done is not None:
                return done
            # The store moved meanwhile, perhaps to a token that is not ours: fence again before the next try.
            fence = await self._fence(owner, [key])
        return "failed", None

    async def _write(
        self, owner: Owner, key: bytes, entry: Entry | None, stored: Token | None, row: Row | None, fence: Fence
    ) -> tuple[str, Entry | None] | None:
        """One try; None when the store moved meanwhile and the key must be read again."""
        work = owner.work
        if is_foreign(entry, stored) and fence.seen.get(key) != stored:
            return None
        line = b"" if row is None else encode(row)
        digest = None if row is None else work.digester.digest(key, line)
        fix = repaired(entry, stored, row, digest, fenced_end=fence.end, epoch=owner.state.epoch)
        write = Write(key, row, line, fix.entry.token)
        result = await until_available(work.replica, lambda: work.threads.run(_send, work.store, fix, write))
        reached(Step.repair_written)
        if result.outcome is Outcome.refused:
            return f"refused: {result.reason}", entry
        if result.outcome not in (Outcome.applied, Outcome.duplicate):
            return None
        await self._record(owner, Move(key, entry, fix.entry))
        return "repaired", fix.entry

    async def _record(self, owner: Owner, move: Move) -> None:
        state = owner.state
        records = state.changelog([move], state.input_offset)
        versions = owner.work.versions
        offset = await until_available("changelog", lambda: versions.append(state.partition, records))
        state.commit([move], state.input_offset, offset, records=records)


def _send(store: Any, fix: Repaired, write: Write) -> Result:
    if fix.overrule is None:
        return store.apply([write])[0]  # type: ignore[no-any-return]
    return store.overrule(write.key, fix.overrule, write)  # type: ignore[no-any-return]


def _token(held: Held | None) -> Token | None:
    return held.token if held is not None else None


def _result(request: Mapping[str, Any], item: Mapping[str, Any], outcome: str, entry: Entry | None) -> dict[str, Any]:
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
