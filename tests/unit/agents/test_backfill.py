"""A backfill of one partition: what is looked up, what is written, what is left alone, and what is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams.agents.backfill import Filling
from streams.agents.repairs import Repairs
from streams.changes.visibility import Snapshot
from streams.replicas.base import Held, Outcome, Result, Write
from streams.replicas.memory import MemoryTable
from streams.rows.canonical import Row, encode
from streams.sot.reader import Between, SotRead
from streams.versions.backfills import Backfill
from streams.versions.entry import Entry, Position, Token
from streams.versions.state import Move, PartitionState
from tests.support.works import SHAPE, work_of

ALL = Snapshot(10**6, 10**6, frozenset())
RUN = "backfill-1"
EVERY = (b"", b"")


class Store(MemoryTable):
    """Counts what it is asked to write; takes no row of some keys."""

    written = 0
    refused: frozenset[bytes] = frozenset()

    def apply(self, writes: Sequence[Write]) -> list[Result]:
        """Guarded."""
        self.written += len(writes)
        taken = [write for write in writes if write.key not in self.refused]
        results = dict(zip((write.key for write in taken), super().apply(taken), strict=True))
        return [results.get(write.key, Result(Outcome.refused, reason="too long")) for write in writes]

    def evict(self, key: bytes) -> None:
        """Lose a row, and its token."""
        self.plant(key, None)
        del self._tokens[key]


class Owning:
    """The owner of partition 0 of 2, which has the even keys; five of them are right. `comes`: what a fence brings."""

    def __init__(self, folder: Path) -> None:
        self.tp = TP("changes", 0)
        self.folder = folder / "0"
        self.state = PartitionState(self.folder, 0)
        self.lock = self.state.lock
        self.store = Store(SHAPE)
        self.sot: dict[bytes, Row] = {}
        self.comes: dict[bytes, str] = {}
        self.is_ours, self.held = True, None
        self.fences = self.appended = 0
        self.said: list[dict[str, Any]] = []
        self.asked: list[bytes] = []
        self.settled = lambda keys: None
        self.work: Any = work_of(self.store, self._run, self._read, self)
        for name, value in (
            ("partitions", 2), ("partitioner", lambda: self), ("filling", asyncio.Lock()), ("sot_keys", self._keys),
            ("keys_within", self._within), ("pass_fence", self._pass_fence), ("repairs", self.work.budget),
        ):  # fmt: skip
            setattr(self.work, name, value)
        nothing: Any = None
        repairs = Repairs(nothing, nothing, nothing, nothing, nothing, nothing, {}, nothing)
        self.filling = Filling(self, repairs, self)  # type: ignore[arg-type]
        for key in (2, 4, 6, 8, 10):
            self.change(key, f"v{key}", key)

    def change(self, key: int, value: str | None, offset: int) -> None:
        """A change of the SOT that is applied."""
        name, row = b"%d" % key, None if value is None else (str(key), value)
        if row is None:
            self.sot.pop(name, None)
        else:
            self.sot[name] = row
        digest = None if row is None else self.work.digester.digest(name, encode(row))
        entry = Entry(Token(1, offset, 0), Position(1, offset), 0, (), digest)
        MemoryTable.apply(self.store, [Write(name, row, encode(row) if row else b"", entry.token)])
        self.state.commit([Move(name, self.state.entry(name), entry)], offset, offset)

    async def filled(self, between: Between = EVERY, run: str = RUN) -> Backfill:
        """Carry one out, to its end."""
        self.state.backfills = self.state.backfills.with_order(run, *between)
        running = asyncio.create_task(self.filling.run())
        async with asyncio.timeout(10):
            while (known := self.state.backfills.of(run)) is None or not known.over:
                if running.done():
                    running.result()
                await asyncio.sleep(0)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        return known

    async def note_backfill(self, run: str, change: Callable[[Backfill], Backfill]) -> None:
        """Durable."""
        self.state.backfills = self.state.backfills.changed(run, change)
        self.state.commit([], self.state.input_offset, self.appended)

    async def until_free(self) -> None:
        """Nobody has it wait."""

    def partition(self, key: bytes) -> int:
        """Of a key."""
        return int(key) % 2

    async def _run(self, work: Callable[..., Any], *args: Any) -> Any:
        return work(*args)

    async def _keys(self, after: bytes | None, limit: int, between: Between) -> list[bytes]:
        keys = await self._within(sorted(self.sot, key=int), between)
        return [key for key in keys if after is None or int(key) > int(after)][:2]

    async def _within(self, keys: Sequence[bytes], between: Between) -> list[bytes]:
        lower, upper = (int(bound) if bound else None for bound in between)
        return [k for k in keys if (lower is None or int(k) >= lower) and (upper is None or int(k) <= upper)]

    async def _read(self, keys: Sequence[bytes], reason: str, *, paid: bool) -> SotRead:
        assert paid, "nobody waits for the budget here"
        self.asked += keys
        return SotRead(ALL, {key: self.sot[key] for key in keys if key in self.sot})

    async def _pass_fence(self) -> None:
        self.fences += 1
        for key, value in self.comes.items():
            self.change(int(key), value, 100 + self.fences)

    async def append(self, partition: int, records: list[Any]) -> int:
        """To the changelog."""
        self.appended += len(records)
        return self.appended

    async def is_unread(self) -> bool:
        """It has read all that came."""
        return False

    async def newest_end_offset(self) -> int:
        """Of the change topic's partition."""
        return self.state.input_offset + 1

    async def passed(self, offset: int) -> bool:
        """All of it is applied."""
        return True

    async def prove_ownership(self) -> bool:
        """Unless a test says otherwise."""
        return self.is_ours

    def send(self, topic: str, key: str, schema: str, record: dict[str, Any]) -> None:
        """A signal."""
        self.said.append(record)

    async def flush(self) -> None:
        """It is there."""


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owning]:
    made = Owning(tmp_path)
    yield made
    made.state.close()


def counts(done: Backfill) -> tuple[int, int, int, int]:
    return done.looked, done.written, done.removed, done.failed


async def test_what_is_right_is_looked_up_once_and_not_written(owner: Owning) -> None:
    """A backfill of a right replica writes nothing, waits for no fence, and says so."""
    done = await owner.filled()
    assert counts(done) == (5, 0, 0, 0)
    assert sorted(owner.asked, key=int) == [b"2", b"4", b"6", b"8", b"10"]
    assert (owner.store.written, owner.fences) == (0, 0)
    said = owner.said[0]
    assert (said["type"], said["detail"]["backfill"], said["detail"]["looked"]) == ("backfill-ended", RUN, "5")


async def test_a_store_that_has_lost_its_rows_is_filled_by_what_the_version_table_knows(owner: Owning) -> None:
    """Under tokens that are above those which were lost, and below that of any change to come."""
    for key in (2, 4, 6, 8, 10):
        owner.store.evict(b"%d" % key)
    assert counts(await owner.filled()) == (5, 5, 0, 0)
    for key in (2, 4, 6, 8, 10):
        name = b"%d" % key
        assert owner.store.read([name])[name] == Held(Token(1, key, 1), owner.sot[name])


async def test_whatever_differs_on_any_side_is_made_right(owner: Owning) -> None:
    """A rogue row, a row that nobody sent, a delete that nobody sent, an orphan that no entry knows."""
    owner.store.plant(b"2", ("2", "rogue"))
    owner.sot[b"12"] = ("12", "never sent")
    del owner.sot[b"4"]
    owner.store.plant(b"14", ("14", "orphan"))
    owner.store.plant(b"15", ("15", "of the other partition"))
    assert counts(await owner.filled()) == (7, 2, 2, 0)
    keys = [b"%d" % key for key in (2, 4, 12, 14)]
    assert [owner.store.read([key]).get(key, Held(None, None)).row for key in keys] == [
        ("2", "v2"), None, ("12", "never sent"), None,
    ]  # fmt: skip
    assert owner.store.read([b"15"])[b"15"].row is not None


async def test_what_is_on_its_way_is_left_to_the_stream(owner: Owning) -> None:
    """Behind a fence, the change that the SOT has shown is applied: it is not written twice."""
    owner.sot[b"2"], owner.sot[b"12"] = ("2", "new"), ("12", "new")
    owner.comes = {b"2": "new", b"12": "new"}
    assert counts(await owner.filled()) == (5, 0, 0, 0)
    assert owner.fences > 0
    assert owner.store.written == 0


async def test_a_change_that_is_lost_is_not_waited_for(owner: Owning) -> None:
    """No fence brings it."""
    owner.sot[b"2"] = ("2", "new")
    assert counts(await owner.filled()) == (5, 1, 0, 0)
    assert owner.fences == 1


async def test_a_range_is_all_that_is_touched(owner: Owning) -> None:
    """By value, its ends included."""
    for key in (2, 4, 6, 8, 10):
        owner.store.evict(b"%d" % key)
    owner.store.plant(b"14", ("14", "orphan"))
    assert counts(await owner.filled((b"4", b"8"))) == (3, 3, 0, 0)
    assert owner.store.read([b"2", b"10", b"14"]).keys() == {b"14"}
    assert counts(await owner.filled((b"10", b""), "backfill-2")) == (2, 1, 1, 0)


async def test_it_goes_on_where_it_was(owner: Owning) -> None:
    """Whoever carries it on looks up nothing again of what was looked up, and counts nothing twice."""
    backfills = owner.state.backfills.with_order(RUN, *EVERY)
    owner.state.backfills = backfills.changed(RUN, lambda now: now._replace(reached=b"4\x00", looked=3, written=1))
    owner.store.evict(b"8")
    assert counts(await owner.filled()) == (5, 2, 0, 0)  # 2, 10 and 4 come first: keys are in the order of their bytes
    assert sorted(set(owner.asked)) == [b"6", b"8"]


async def test_a_row_that_the_store_refuses_is_counted_and_stops_nothing(
    owner: Owning, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some tries; the run that follows says what it is."""
    monkeypatch.setattr("streams.agents.backfill.AGAIN_SECONDS", 0)
    owner.store.refused = frozenset({b"2"})
    for key in (2, 4):
        owner.store.evict(b"%d" % key)
    assert counts(await owner.filled()) == (5, 1, 0, 1)


async def test_what_readers_fill_in_is_only_deleted_where_it_is_wrong(owner: Owning) -> None:
    """Under `mode: invalidate`: rows that are not there are right, and are neither deleted again nor counted."""
    owner.work.mapping = SimpleNamespace(**{**vars(owner.work.mapping), "readers_fill": True})
    owner.work.write = lambda key, row, line, token: Write(key, None, b"", token)
    for key in (4, 6, 8):
        owner.store.evict(b"%d" % key)
    owner.store.plant(b"2", ("2", "rogue"))
    owner.sot[b"8"], owner.comes[b"8"] = ("8", "not applied yet"), "not applied yet"
    assert counts(await owner.filled()) == (5, 0, 1, 0)
    assert owner.store.written == 1
    assert owner.store.read([b"2"]).get(b"2", Held(None, None)).row is None


async def test_what_is_absent_beside_the_token_of_its_delete_is_right_in_a_cache(owner: Owning) -> None:
    """Each change leaves such a token: a backfill deleted the row once more, and counted it (seed 8000091)."""
    owner.work.mapping = SimpleNamespace(**{**vars(owner.work.mapping), "readers_fill": True})
    owner.work.write = lambda key, row, line, token: Write(key, None, b"", token)
    for key in (2, 4):
        owner.store.plant(b"%d" % key, None)
        assert owner.store.read([b"%d" % key])[b"%d" % key].token is not None
    owner.sot[b"4"] = ("4", "a change that was lost")
    assert counts(await owner.filled()) == (5, 0, 1, 0)
    assert owner.store.written == 1
    assert (owner.asked.count(b"2"), owner.asked.count(b"4")) == (1, 2)


async def test_a_change_on_its_way_to_a_row_that_a_cache_does_not_have_is_left_to_the_stream(owner: Owning) -> None:
    """It comes with the fence, and deletes the row; nothing is left to do."""
    owner.work.mapping = SimpleNamespace(**{**vars(owner.work.mapping), "readers_fill": True})
    owner.store.plant(b"6", None)
    owner.sot[b"6"] = ("6", "new")

    async def comes() -> None:
        owner.change(6, "new", 100)
        owner.store.plant(b"6", None)

    owner.work.pass_fence = comes
    assert counts(await owner.filled()) == (5, 0, 0, 0)
    assert owner.store.written == 0


async def test_who_has_lost_the_partition_notes_nothing(owner: Owning) -> None:
    """What a zombie has looked at is for its successor to look at."""
    owner.is_ours = False
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await owner.filled()
    assert owner.state.backfills.of(RUN) == Backfill(1, RUN)
    assert owner.said == []
