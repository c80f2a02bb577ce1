"""The reverse sweep: what the replica lists goes to the owners that this worker has, and what is nobody's is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents import reverse
from streams.agents.reverse import ReverseSweep
from streams.agents.table import Threads
from streams.errors import StoreUnavailable


class Store:
    """Lists portions of keys; one that is an error breaks off there."""

    def __init__(self, *portions: list[bytes | None] | Exception) -> None:
        self.portions = portions
        self.closed = 0

    def keys(self, chunk: int) -> Iterator[list[bytes | None]]:
        """As listed."""
        try:
            for portion in self.portions:
                if isinstance(portion, Exception):
                    raise portion
                yield portion
        finally:
            self.closed += 1


class Listed:
    """Stands for the continuous check of a partition."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.full = 0  # so many looks find no room

    @property
    def is_full(self) -> bool:
        """Whether there is no room."""
        self.full -= 1
        return self.full >= 0

    def listed(self, keys: Sequence[bytes]) -> None:
        """The replica holds these."""
        assert self.full < 0
        self.keys += keys


async def _run(call: Any, *args: Any) -> Any:
    return call(*args)


async def _swept(store: Store, told: list[Any], rounds: int, monkeypatch: pytest.MonkeyPatch) -> dict[int, Listed]:
    partitioner = SimpleNamespace(partition=lambda key: int(key) % 2)
    work: Any = SimpleNamespace(
        replica="r", table="t", labels=("t", "r"), store=store, threads=SimpleNamespace(run=_run),
        partitioner=lambda: partitioner,
    )  # fmt: skip

    async def flush() -> None:
        if len(told) >= rounds:
            raise asyncio.CancelledError

    events: Any = SimpleNamespace(send=lambda *event: told.append(event[3]), flush=flush)
    monkeypatch.setattr(reverse, "rest", lambda worked: 0.0)
    mine = {0: Listed()}
    sweep = ReverseSweep(work, events, 0.0, lambda: mine)  # type: ignore[arg-type, return-value]
    with suppress(asyncio.CancelledError):
        await asyncio.wait_for(sweep.run(), 10)
    return mine


async def test_owners_of_this_worker_hear_of_their_keys_and_nobodys_are_told_once_until_they_are_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`x` can be no key of the table; a store may list rows that have none at all."""
    store, told = Store([b"1", b"2"], [b"x", None, b"4"]), list[Any]()
    mine = await _swept(store, told, 1, monkeypatch)
    assert mine[0].keys == [b"2", b"4"]
    assert (told[0]["state"], told[0]["kind"]) == ("open", "orphan")
    assert told[0]["reason"].startswith("2 rows")
    store.portions = ([b"1"],)
    assert store.closed == 1


async def test_a_list_that_breaks_off_is_closed_and_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it gave until then was looked at."""
    broken = StoreUnavailable("away", "")
    store, told = Store([b"2"], broken), list[Any]()
    task = asyncio.create_task(_swept(store, told, 1, monkeypatch))
    while store.closed < 2:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)
    store.portions = ([None],)
    mine = await task
    assert set(mine[0].keys) == {b"2"}
    assert told[0]["state"] == "open"


class Slow(Store):
    """Has a portion in hand for as long as nobody lets it go on; its close may fail."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.error = error
        self.reading, self.go_on = threading.Event(), threading.Event()

    def keys(self, chunk: int) -> Iterator[list[bytes | None]]:
        """One portion, when it may."""
        try:
            self.reading.set()
            assert self.go_on.wait(10)
            yield []
        finally:
            self.closed += 1
            if self.error is not None:
                raise self.error


@pytest.mark.parametrize("error", [None, StoreUnavailable("away", "")], ids=["as usual", "its store is away"])
async def test_a_sweep_that_is_ended_with_a_portion_in_hand_ends_and_says_nothing(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    """What it raised instead of its end would end the process by a crash, or keep it waiting."""
    store = Slow(error)
    with ThreadPoolExecutor(2) as executor:
        work: Any = SimpleNamespace(store=store, threads=Threads(executor), replica="r", table="t", labels=("t", "r"))
        nobody: Any = SimpleNamespace()
        sweep = asyncio.create_task(ReverseSweep(work, nobody, 0.0, dict).run())
        await asyncio.to_thread(store.reading.wait, 10)
        sweep.cancel()
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.1, store.go_on.set)
        done, _ = await asyncio.wait([sweep], timeout=10)
    assert done == {sweep}
    assert sweep.cancelled()
    assert store.closed == 1


async def test_what_is_listed_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that was dropped would be found by the next sweep only, and missing in a number that is told as whole."""
    monkeypatch.setattr(reverse, "FULL_SECONDS", 0.0)
    owner = Listed()
    owner.full = 3
    partitioner = SimpleNamespace(partition=lambda key: 0)
    work: Any = SimpleNamespace(threads=SimpleNamespace(run=_run), partitioner=lambda: partitioner)
    nothing: Any = None
    await ReverseSweep(work, nothing, 0.0, lambda: {0: owner})._look_up([b"1"])  # type: ignore[dict-item]
    assert owner.keys == [b"1"]
