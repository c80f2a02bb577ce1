"""What becomes of a batch's writes under the mode of their table: the guard takes them, or what is left of them."""

from __future__ import annotations

from collections.abc import Mapping

from streams.agents.retry import until_available
from streams.agents.table import TableWork
from streams.changes.order import Store
from streams.replicas.base import APPLIED, Held, Result
from streams.rows.canonical import encode
from streams.steps import Step, reached


async def write(work: TableWork, stores: Mapping[bytes, Store], *, of_reads: bool) -> list[Result]:
    """One answer for each, in order. of_reads: they come of nothing but reads of the SOT, whatever their position."""
    if work.mapping.mode == "verify":
        return [APPLIED] * len(stores)  # by somebody else, whom checks look after
    spared = await _right_already(work, stores, of_reads=of_reads) if work.mapping.readers_fill else set()
    writes = [work.write(k, s.row, s.line, s.entry.token) for k, s in stores.items() if k not in spared]
    reached(Step.store_about_to_write)
    results = await until_available(work.replica, lambda: work.threads.run(work.store.apply, writes))
    reached(Step.store_written)
    if not spared:
        return results
    answers = dict(zip((one.key for one in writes), results, strict=True))
    return [answers.get(key, APPLIED) for key in stores]


async def _right_already(work: TableWork, stores: Mapping[bytes, Store], *, of_reads: bool) -> set[bytes]:
    """The keys, of those that only reads tell of, that the cache does not have, or holds as the SOT does.

    A snapshot of the table, or its rebuild, would else empty the cache. What is filled in meanwhile a check finds.
    """
    doubtful = [key for key, store in stores.items() if of_reads or store.entry.position is None]
    if not doubtful:
        return set()
    held = await until_available(work.replica, lambda: work.threads.run(work.store.read, doubtful))
    return {key for key in doubtful if _digest(work, key, held.get(key)) in (None, stores[key].entry.digest)}


def _digest(work: TableWork, key: bytes, held: Held | None) -> bytes | None:
    return None if held is None or held.row is None else work.digester.digest(key, encode(held.row))
