"""The repair agent's work: an owner makes drifted keys right, under the partition's lock (design, Repair)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from streams.agents.events import Event
from streams.agents.owner import Owner
from streams.agents.requests import Requests
from streams.agents.retry import until_available
from streams.drift.identity import drift_id
from streams.errors import NotReady
from streams.metrics import REPAIRS
from streams.repair.rule import Repaired, counts, is_foreign, repaired
from streams.replicas.base import Held, Outcome, Result, Write
from streams.rows.canonical import Row, decode, encode
from streams.steps import Step, reached
from streams.versions.entry import Entry
from streams.versions.state import Move

# How often a key is read again when its transactions are not visible yet, or the store changed meanwhile.
TRIES_MAX = 5
# The end offset of a partition for which no fence was needed.
NOT_FENCED = -1
SUSPICIONS_AT_ONCE = 100


class Repairs(Requests):
    """Carries out repair requests."""

    async def answer(self, owner: Owner, request: dict[str, Any]) -> list[Event]:
        """Repair the request's keys, one after the other; each gets its own result."""
        reached(Step.repair_received)
        end = await self._fence(owner, [item["key"] for item in request["items"]])
        said: list[Event] = []
        for item in request["items"]:
            await owner.work.repairs.take(1)
            outcome, entry = await self._repair(owner, item["key"], end)
            result = _result(request, item, outcome, entry)
            REPAIRS.labels(*owner.work.labels, result["outcome"]).inc()
            said.append(("repairs.results", request["repair"], "repair-result", result))
        return said

    def published(self) -> None:
        """The results are with those who ordered."""
        reached(Step.repair_recorded)

    async def settle_suspicions(self, owner: Owner) -> None:
        """Make keys right whose store answered a write with a token larger than ours (Ordering 12).

        Either we are a zombie, and cannot prove ownership, or somebody wrote a token that is not ours.
        """
        keys = list(owner.state.suspected)[:SUSPICIONS_AT_ONCE]
        if not keys:
            return
        end = await self._fence(owner, keys)
        for key in keys:
            await self._announce(owner, key, "suspected")
            outcome, _ = await self._repair(owner, key, end)
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

    async def _fence(self, owner: Owner, keys: list[bytes]) -> int:
        """Where a store holds a token that is not ours, pass everything that is in the log first, and prove ownership.

        Returns the end offset that has been passed; -1 where nothing had to be.
        """
        work = owner.work
        held = await until_available(work.replica, lambda: work.threads.run(work.store.read, keys))
        entries = owner.state.entries(keys)
        if not any(is_foreign(entry, _token(held.get(key))) for key, entry in zip(keys, entries, strict=True)):
            return NOT_FENCED
        end = await owner.newest_end_offset()
        if not await owner.passed(end - 1) or not await owner.prove_ownership():
            raise NotReady(f"{work.table} cannot be repaired in {work.replica}: the partition is held or not ours.")
        return end

    async def _repair(self, owner: Owner, key: bytes, end: int) -> tuple[str, Entry | None]:
        for _ in range(TRIES_MAX):
            async with owner.lock:
                entry = owner.state.entry(key)
                read = await owner.work.read_sot([key], "repair")
                if not counts(entry, read.snapshot):
                    continue
                done = await self._write(owner, key, entry, read.rows.get(key), end)
            if done is not None:
                return done
            # The store moved meanwhile, perhaps to a token that is not ours: fence again before the next try.
            end = max(end, await self._fence(owner, [key]))
        return "failed", None

    async def _write(
        self, owner: Owner, key: bytes, entry: Entry | None, row: Row | None, end: int
    ) -> tuple[str, Entry | None] | None:
        """One try; None when the store moved meanwhile and the key must be read again."""
        work = owner.work
        held = (await until_available(work.replica, lambda: work.threads.run(work.store.read, [key]))).get(key)
        if end == NOT_FENCED and is_foreign(entry, _token(held)):
            return None
        line = b"" if row is None else encode(row)
        digest = None if row is None else work.digester.digest(key, line)
        fix = repaired(entry, _token(held), row, digest, fenced_end=end, epoch=owner.state.epoch)
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
        state.commit([move], state.input_offset, offset)


def _send(store: Any, fix: Repaired, write: Write) -> Result:
    if fix.overrule is None:
        return store.apply([write])[0]  # type: ignore[no-any-return]
    return store.overrule(write.key, fix.overrule, write)  # type: ignore[no-any-return]


def _token(held: Held | None) -> Any:
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
