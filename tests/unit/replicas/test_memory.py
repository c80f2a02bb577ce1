"""The in-memory store beyond the contract: it is safe for threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from streams.replicas.base import Outcome
from streams.replicas.memory import MemoryTable
from tests.support.shapes import make_shape
from tests.support.writes import put, token

SHAPE = make_shape({"id": "int4", "note": "text"}, ["id"])


def test_each_token_is_applied_once_and_the_largest_stays() -> None:
    """Many threads, one key: whatever the order, nothing older follows something newer."""
    table = MemoryTable(SHAPE)
    writes = [put(SHAPE, ("1", f"n{offset}"), token(offset)) for offset in range(200)]
    with ThreadPoolExecutor(8) as pool:
        results = [result for (result,) in pool.map(lambda write: table.apply([write]), writes)]
    assert {result.outcome for result in results} <= {Outcome.applied, Outcome.stale}
    assert table.read([b"1"])[b"1"].row == ("1", "n199")
