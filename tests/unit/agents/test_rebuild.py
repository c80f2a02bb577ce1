"""Rebuilding a partition of which nothing is known: what is looked up, what is left alone, and what is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents.apply import Applier
from streams.agents.rebuild import Rebuild
from streams.changes.visibility import Snapshot
from streams.errors import StoreUnavailable
from streams.kafka.partitions import NotSent
from streams.replicas.base import Held, Outcome, Result, Write
from streams.replicas.memory import MemoryTable
from streams.rows.canonical import Row
from streams.rows.digest import Digester
from streams.sot.reader import SotRead
from streams.versions.entry import Entry, Position, Token
from streams.versions.state import Move, PartitionState
from tests.support.shapes import make_shape
from tests.support.works import REPLICATED
from tests.support.writes import put

SHAPE = make_shape({"id": "int8", "value": "text"}, ["id"])
# Everything before offset 12 is gone; the SOT's log was at 70 after that, and is at 90 when keys are looked up.
TOKEN = Token(1, 11, 0)
PLACE = Position(1, 90)


class Town:
    """A blank partition that is taken over; even keys are in it. `sot`: its rows; transactions below 50 are over."""

    def __init__(self, folder: Path) -> None:
        self.state = PartitionState(folder / "0", 0)
        self.state.take_over(12, 70, 50)
        self.state.commit([], 11, 0)
        self.store = MemoryTable(SHAPE)
        self.sot: dict[bytes, Row] = {}
        self.over = 50
        self.asked: list[list[bytes]] = []
        self.waited: list[int] = []
        self.appended = 0
        self.unapplied: dict[bytes, str] = {}
        self.work: Any = SimpleNamespace(
            replica="r", table="t", held=None, labels=("t", "r"), partitions=2, store=self.store,
            rebuilding=asyncio.Lock(), digester=Digester(SHAPE.mapping_version), versions=self,
            threads=SimpleNamespace(run=self.run),
            mapping=REPLICATED, write=Write, read_sot=self.read, sot_keys=self.keys,
            until_visible=self.visible, recent_snapshot=self.nothing, partitioner=lambda: self,
        )  # fmt: skip

    async def rebuild(self) -> None:
        """From beginning to end."""
        applier = Applier(self.work, self)  # type: ignore[arg-type]
        await Rebuild(self.work, self.state, applier, asyncio.Lock(), self.released).run()

    async def released(self) -> None:
        """Nobody has it wait, unless a test says otherwise."""

    async def publish_rows(self, refused: dict[bytes, str]) -> None:
        """What the store refused."""
        self.unapplied |= refused

    def partition(self, key: bytes) -> int:
        """Of a key."""
        return int(key) % 2

    async def run(self, work: Callable[..., Any], *args: Any) -> Any:
        """In place of a thread."""
        return work(*args)

    async def keys(self, after: bytes | None, limit: int) -> list[bytes]:
        """Those of the SOT, two at a time."""
        return [key for key in sorted(self.sot) if after is None or key > after][:2]

    async def read(self, keys: list[bytes], reason: str) -> SotRead:
        """Rows of the SOT."""
        self.asked.append(keys)
        return SotRead(Snapshot(60, 60, frozenset(), 90), {key: self.sot[key] for key in keys if key in self.sot})

    async def visible(self, txid: int) -> None:
        """Nothing may have been asked before."""
        assert not self.asked
        self.waited.append(txid)

    async def nothing(self) -> None:
        """No snapshot is known."""

    async def append(self, partition: int, records: list[Any]) -> int:
        """The changelog takes everything."""
        self.appended += len(records)
        return self.appended - 1


@pytest.fixture
def town(tmp_path: Path) -> Any:
    made = Town(tmp_path)
    yield made
    made.state.close()


def row(key: int, value: str) -> dict[bytes, Row]:
    return {b"%d" % key: (str(key), value)}


async def test_what_the_sot_has_is_written_as_of_the_takeover_and_placed_at_the_read(town: Town) -> None:
    """In place of an older row, and of an equal one, too: a zombie could still write over its smaller token."""
    town.sot = {**row(2, "a"), **row(3, "of the other partition"), **row(4, "b"), **row(6, "c")}
    town.store.apply([put(SHAPE, ("4", "old"), Token(1, 3, 0)), put(SHAPE, ("6", "c"), Token(1, 5, 0))])
    await town.rebuild()
    for key in (b"2", b"4", b"6"):
        assert town.store.read([key]) == {key: Held(TOKEN, town.sot[key])}
        entry = town.state.entry(key)
        assert entry is not None
        assert entry[:4] == (TOKEN, PLACE, 0, ())
    assert town.state.entry(b"3") is None
    assert not town.state.takeover.pending


async def test_what_only_the_store_has_is_removed(town: Town) -> None:
    """Its tombstone guards, as every other one does; a key that is none of this table is somebody else's."""
    town.store.apply([put(SHAPE, ("8", "gone from the source"), Token(1, 4, 0))])
    town.store.plant(b"letters", ("letters", "by hand"))
    await town.rebuild()
    assert town.store.read([b"8"]) == {b"8": Held(TOKEN, None)}
    gone = town.state.entry(b"8")
    assert gone is not None
    assert gone.digest is None


async def test_a_key_that_is_known_again_is_not_looked_up(town: Town) -> None:
    """By a change since the takeover, or by a rebuild that was killed: who begins again goes on where that was."""
    town.sot = {**row(2, "a"), **row(4, "b")}
    known = Entry(Token(1, 14, 0), Position(1, 80), 7, (7,), b"d" * 16)
    town.state.commit([Move(b"2", None, known)], 14, 0)
    await town.rebuild()
    assert town.asked == [[b"4"]]
    assert town.state.entry(b"2") == known
    town.asked.clear()
    await town.rebuild()
    assert town.asked == []


async def test_a_list_that_breaks_off_begins_again(town: Town) -> None:
    """The registry does not know the topic's keys yet; the store is away. Nobody else is held up by it."""
    town.sot = row(2, "a")
    known = iter([NotSent("t"), town])
    town.work.partitioner = lambda: next(known, town)
    listed = iter([StoreUnavailable("away")])
    keys = town.store.keys

    def breaking(chunk: int) -> Any:
        for error in listed:
            raise error
        return keys(chunk)

    town.store.keys = breaking  # type: ignore[method-assign]
    await town.rebuild()
    assert town.asked == [[b"2"]]
    assert not town.state.takeover.pending


async def test_nothing_is_read_before_what_was_in_progress_at_the_takeover_is_over(town: Town) -> None:
    """What was committed before it is skipped, and may not be visible yet: a standby is waited for."""
    town.sot = row(2, "a")
    await town.rebuild()
    assert town.waited == [town.state.takeover.everything]


async def test_a_row_that_the_store_refuses_is_said_and_the_others_are_written(town: Town) -> None:
    """No record of it has arrived that could be kept as a dead letter; drift it is all the same."""
    town.sot = {**row(2, "a"), **row(4, "too large")}
    apply = town.store.apply

    def refusing(writes: Sequence[Write]) -> list[Result]:
        results = apply([write for write in writes if write.key != b"4"])
        return [
            results.pop(0) if write.key != b"4" else Result(Outcome.refused, reason="too large") for write in writes
        ]

    town.store.apply = refusing  # type: ignore[method-assign]
    await town.rebuild()
    assert town.unapplied == {b"4": "too large"}
    assert town.store.read([b"2", b"4"]) == {b"2": Held(TOKEN, town.sot[b"2"])}
    entry = town.state.entry(b"4")
    assert entry is not None
    assert entry.refused
