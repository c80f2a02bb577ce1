"""Apply one batch of one partition: decode, order, ask, write, settle, record. The steps are numbered in `handle`."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from streams.agents.decode import Decoded, decode_batch
from streams.agents.failures import Failures
from streams.agents.retry import until_available
from streams.agents.table import BEFORE_THE_NEXT, SOT_READ_KEYS_MAX, Held, TableWork
from streams.agents.writing import write
from streams.changes.order import AT_THE_READ, Ask, Keep, Pruner, Store, answer, decide
from streams.changes.record import Record
from streams.changes.visibility import Looks
from streams.metrics import CHANGES_APPLIED
from streams.replicas.base import APPLIED, Outcome, Result
from streams.replicas.settle import Settled, Suspicion, Unapplied, settle
from streams.rows.canonical import encode
from streams.steps import Step, reached
from streams.transport.batches import KafkaRecord
from streams.versions.entry import NO_TOKEN, Entry, Position
from streams.versions.state import Move, PartitionState

# How often one batch may go back to the SOT and the store for the same key before a person is asked.
ROUNDS_MAX = 10


@dataclass(slots=True)
class Work:
    """A batch on its way: what is still to be asked or written, and what is decided.

    unknown: what a key without an entry is held for. of_reads: nothing of it is of a change.
    """

    old: dict[bytes, Entry | None]
    unknown: Entry | None = None
    of_reads: bool = False
    asks: dict[bytes, Ask] = field(default_factory=dict)
    stores: dict[bytes, Store] = field(default_factory=dict)
    moves: list[Move] = field(default_factory=list)
    suspicions: dict[bytes, bytes] = field(default_factory=dict)
    refused: dict[bytes, str] = field(default_factory=dict)


class Applier:
    """Applies batches of one table × replica. One call at a time per partition; the owner holds the lock."""

    def __init__(self, work: TableWork, failures: Failures) -> None:
        self._table = work
        self._failures = failures

    async def handle(self, state: PartitionState, records: Sequence[KafkaRecord], swept: int) -> Decoded:
        """Bring the replica to where these records say, and remember it. Returns what was in them.

        swept: up to where sweeps of TRUNCATEs are ordered.
        Raises Held when nothing of it may be recorded (a failure under `on_failure: hold`).
        """
        # 1. Decode; stop before the first record that holds the table, and when the ground that the entries stand on
        # has changed: a person must decide what becomes of them (design, Shape gate).
        self._check_mapping(state)
        decoded = await decode_batch(self._table, records, swept, state.partition, state.key_schema)
        state.mapping, state.key_schema = self._table.digester.version, decoded.key_schema
        reached(Step.batch_decoded)
        # 2. Order: at most one write or question per key.
        work = self._decide(state, decoded.keyed, records[0].offset)
        # 3. Ask the SOT and write to the store until every key is settled.
        await self._write_all(work)
        # 4. What could not be written becomes a record somebody will see.
        await self._failures.publish(decoded.unwritable, work.refused, decoded.keyed, records, state.partition)
        # 5. Changelog, then local state: entries, buckets, input offset in one write (Ordering 9).
        await self._record(state, work, decoded.last_offset)
        return decoded

    async def sweep(self, state: PartitionState, keys: Sequence[bytes]) -> None:
        """Look these keys up in the SOT, and remove from the replica those that it does not have (a TRUNCATE)."""
        self._check_mapping(state)
        if not keys:
            return
        read = await self._table.read_sot(keys, "truncate")
        gone = {key: entry for key, entry in zip(keys, state.entries(keys), strict=True) if key not in read.rows}
        # Asked as for a repair (Ordering 10), so that whatever comes back meanwhile is written as it is.
        work = Work({**gone})
        work.asks = {
            key: Ask(entry, entry.token.refreshed(), entry.position)
            for key, entry in gone.items()
            if entry is not None and entry.digest is not None
        }
        if work.asks:
            try:
                await self._write_all(work)
            except Held as held:
                # It is about a record that was applied long ago.
                raise Held(BEFORE_THE_NEXT, held.reason) from None
            await self._failures.publish_rows(work.refused)
            await self._record(state, work, state.input_offset)

    async def rebuild(self, state: PartitionState, keys: Sequence[bytes]) -> None:
        """Leave in the replica what the SOT has of those of these keys of which nothing is known since the takeover.

        Whatever was in progress then has been seen to be over (`agents.rebuild`), so that any read counts. Its place in
        the log is kept: what comes late, or again, is older than that (decision 11).
        """
        self._check_mapping(state)
        state.mapping = self._table.digester.version
        unknown = state.takeover.unknown._replace(unproven=())
        here = Position(state.log.at(state.input_offset + 1), AT_THE_READ)
        new = [key for key, entry in zip(keys, state.entries(keys), strict=True) if entry is None]
        asks = dict.fromkeys(new, Ask(unknown, unknown.token, here))
        work = Work(dict.fromkeys(new), unknown, of_reads=True, asks=asks)
        if new:
            await self._write_all(work)
            await self._failures.publish_rows(work.refused)
            await self._record(state, work, state.input_offset)

    async def note(self, state: PartitionState, passed: int = -1) -> None:
        """Make the partition's marks durable; passed: up to here there is nothing left to apply."""
        await self._record(state, Work({}), max(passed, state.input_offset))

    def _check_mapping(self, state: PartitionState) -> None:
        """Raises Held when the mapping is not the one that the version table was made under."""
        if state.mapping not in ("", self._table.digester.version):
            raise Held(
                BEFORE_THE_NEXT,
                "the mapped columns, or the digest key, are not those the replica was filled with: leave new columns "
                "out (columns.omit), undo a change that no record has come under yet, or let the replica begin anew "
                "under another name in the plan (docs/operations.md, A column that is dropped); reviews of shape "
                "changes are not built yet",
            )

    def _decide(self, state: PartitionState, keyed: Mapping[bytes, list[Record]], first: int) -> Work:
        """first: offset of the batch, whose records all count as of its log: what is of a newer one is asked more."""
        keys, epochs = list(keyed), state.epochs(first)
        old = dict(zip(keys, state.entries(keys), strict=True)) if keys else {}
        work = Work(old, unknown := state.unknown)
        digest = self._table.digester.digest
        for key, records in keyed.items():
            match decide(old[key], records, epochs, partial(digest, key), unknown=unknown):
                case Store() as store:
                    work.stores[key] = store
                case Ask() as ask:
                    work.asks[key] = ask
                case Keep(entry) if entry is not None:
                    work.moves.append(Move(key, old[key], entry))
        return work

    async def _write_all(self, work: Work) -> None:
        for _ in range(ROUNDS_MAX):
            if work.asks:
                await self._ask(work)
            if not work.stores:
                return
            stores, work.stores = work.stores, {}
            results = await write(self._table, stores, of_reads=work.of_reads)
            self._count(results)
            for (key, store), result in zip(stores.items(), results, strict=True):
                if result is APPLIED:
                    work.moves.append(Move(key, work.old[key], store.entry))
                else:
                    self._settle(work, key, store, result)
            if not work.asks:
                return
        raise Held(
            BEFORE_THE_NEXT,
            f"{len(work.asks)} keys were answered as conflicts {ROUNDS_MAX} times: does anything else write rows with "
            "our tokens into the replica?",
        )

    async def _ask(self, work: Work) -> None:
        """Turn questions into writes; a read that cannot see a transaction it must see is made again."""
        wait, looks = 0.01, Looks()
        while work.asks:
            reached(Step.sot_asked)
            keys = list(work.asks)[:SOT_READ_KEYS_MAX]
            read = await self._table.read_sot(keys, "order")
            snapshot = looks.at(read.snapshot)
            for key in keys:
                row = read.rows.get(key)
                line = b"" if row is None else encode(row)
                store = answer(work.asks[key], row, line, snapshot, partial(self._table.digester.digest, key))
                if store is not None:
                    del work.asks[key]
                    work.stores[key] = store
            if any(key in work.asks for key in keys):
                await asyncio.sleep(wait)
                wait = min(wait * 2, 1.0)

    def _count(self, results: Sequence[Result]) -> None:
        applied = results.count(APPLIED)
        others = Counter(result.outcome for result in results if result != APPLIED) if applied < len(results) else {}
        for outcome, count in {Outcome.applied: applied, **others}.items():
            CHANGES_APPLIED.labels(*self._table.labels, outcome).inc(count)

    def _settle(self, work: Work, key: bytes, store: Store, result: Result) -> None:
        match settle(store, result):
            case Settled(entry):
                work.moves.append(Move(key, work.old[key], entry))
            case Unapplied(entry, reason):
                if self._table.mapping.on_failure == "hold":
                    raise Held(entry.token.offset, f"the store refused a row: {reason}")
                work.moves.append(Move(key, work.old[key], entry))
                work.refused[key] = reason
            case Suspicion(entry, stored):
                # What was seen must be visible to the read that settles it, whoever wrote the larger token.
                known = work.old[key] or work.unknown or Entry(NO_TOKEN, None, 0, (), None)
                seen = known._replace(seen=entry.seen, unproven=entry.unproven)
                work.moves.append(Move(key, work.old[key], seen))
                work.suspicions[key] = stored.encode()
            case Ask() as ask:
                work.asks[key] = ask

    async def _record(self, state: PartitionState, work: Work, last_offset: int) -> None:
        snapshot = await self._table.recent_snapshot()
        moves = work.moves
        if snapshot is not None:
            pruned = Pruner(snapshot).prune
            moves = [move if (new := pruned(move[2])) is move[2] else move._replace(new=new) for move in moves]
        records = state.changelog(moves, last_offset, work.suspicions)
        offset = await until_available("changelog", lambda: self._table.versions.append(state.partition, records))
        reached(Step.changelog_acknowledged)
        state.commit(moves, last_offset, offset, suspected=work.suspicions, records=records)
        reached(Step.state_written)


def seconds_since(committed_ms: int) -> float:
    """Age of a commit, now."""
    return max(0.0, time.time() - committed_ms / 1000)
