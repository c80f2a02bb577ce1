"""Histories: random batches against the in-memory store, and two workers that write the same keys at the same time."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.errors import StoreUnavailable
from streams.replicas.base import Held, ReplicaTable, Write
from streams.replicas.memory import MemoryTable
from tests.contract.harness import Harness, MakeTable
from tests.support.shapes import make_shape
from tests.support.writes import bury, put, token

SHAPE = make_shape({"id": "int4", "note": "text"}, ["id"])
ATTEMPTS_MAX = 20

step = st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(0, 1), st.sampled_from([None, "a", "b"]))
batch = st.lists(step, max_size=4, unique_by=lambda made: made[0])


def write_of(key: int, offset: int, refresh: int, note: str | None) -> Write:
    mark = token(offset, refresh)
    return bury(str(key).encode(), mark) if note is None else put(SHAPE, (str(key), note), mark)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(batch, max_size=6))
def test_every_history_ends_as_in_memory(make_table: MakeTable, batches: list[list[tuple[int, int, int, str]]]) -> None:
    """Same answers, same content, batch after batch."""
    table, model = make_table(SHAPE), MemoryTable(SHAPE)
    for steps in batches:
        writes = [write_of(*made) for made in steps]
        assert table.apply(writes) == model.apply(writes)
    keys = [str(key).encode() for key in range(1, 5)]
    assert table.read(keys) == model.read(keys)
    assert table.count() == model.count()


def send(table: ReplicaTable, writes: list[Write]) -> None:
    """Apply a batch as a worker does: again, when the store could not serve (a deadlock, a cancelled transaction)."""
    for _ in range(ATTEMPTS_MAX):
        try:
            table.apply(writes)
        except StoreUnavailable:
            continue
        return
    raise AssertionError("the store stayed unavailable")


def batches_of(chance: random.Random, offsets: list[int]) -> list[list[Write]]:
    """Batches in random key order, a third of the writes deletes; each offset is used once, by one worker."""
    made = []
    while offsets:
        keys = chance.sample(range(1, 7), k=chance.randint(1, 6))
        taken = [offsets.pop() for _ in keys[: len(offsets)]]
        kept = zip(keys, taken, strict=False)
        made.append(
            [write_of(key, offset, 0, chance.choice([None, f"n{offset}", f"m{offset}"])) for key, offset in kept]
        )
    return made


@pytest.mark.parametrize("seed", range(8))
def test_of_two_workers_the_larger_token_wins_in_content_too(harness: Harness, seed: int) -> None:
    """A zombie and an owner interleave at random, deletes included: the largest token of a key decides its content."""
    chance = random.Random(seed)
    table = harness.make_table(SHAPE)
    other = harness.again(table)
    offsets = chance.sample(range(1, 400), k=240)
    plans = [batches_of(chance, offsets[:120]), batches_of(chance, offsets[120:])]
    start = Barrier(2)

    def work(handle: ReplicaTable, plan: list[list[Write]]) -> None:
        start.wait(timeout=30)
        for writes in plan:
            send(handle, writes)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(work, table, plans[0]), pool.submit(work, other, plans[1])]:
            done.result(timeout=120)
    newest: dict[bytes, Write] = {}
    for write in (write for plan in plans for writes in plan for write in writes):
        if write.key not in newest or newest[write.key].token < write.token:
            newest[write.key] = write
    assert table.read(list(newest)) == {key: Held(write.token, write.row) for key, write in newest.items()}
    assert table.count() == sum(write.row is not None for write in newest.values())
    other.close()
