"""An owner and TRUNCATE: what is ordered, what is waited for, and in which order things are done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from faust.types import TP

from streams.agents.decode import Decoded
from streams.agents.inbox import BATCH_RECORDS_MAX, WAITING_RECORDS_MAX
from streams.agents.owner import Owner
from streams.agents.table import BEFORE_THE_NEXT, Held
from streams.changes.decode import TableLevel
from streams.changes.record import Op, Record
from streams.changes.visibility import Snapshot
from streams.checks.watch import Watch
from streams.errors import HoldtrueError
from streams.transport.batches import Batch
from streams.versions.entry import Entry, Position, Token
from streams.versions.state import Move, PartitionState

CHANGES = TP("bank.public.t", 0)
KEY = b"1"


class Raw(NamedTuple):
    """A record of the change topic, as far as an owner looks at it."""

    offset: int
    timestamp: int = 0


class Said:
    """Stands for the applier: remembers what it was asked to do; `truncates` are offsets where it meets a TRUNCATE."""

    def __init__(self, truncates: Sequence[int] = ()) -> None:
        self.done: list[Any] = []
        self.refuses: Held | None = None
        self.holds: list[Held] = []
        self.is_held = asyncio.Event()
        self.in_hand = asyncio.Event()
        self.running: asyncio.Task[None]
        self.waits: asyncio.Event | None = None  # until it is set, a batch stays in hand
        self._truncates = truncates

    async def handle(self, state: PartitionState, records: Sequence[Raw], swept: int) -> Decoded:
        """Every record changes the one key."""
        self.in_hand.set()
        if self.waits is not None:
            await self.waits.wait()
        if self.refuses is not None:
            raise self.refuses
        met = [raw.offset for raw in records if raw.offset in self._truncates and raw.offset > swept]
        last = met[0] - 1 if met else records[-1].offset
        entry = Entry(Token(1, last, 0), Position(1, last), 1, (), b"d" * 16)
        state.commit([Move(KEY, state.entry(KEY), entry)] if last >= records[0].offset else [], last, last)
        self.done.append(("handled", last))
        return Decoded(last, truncate=TableLevel(met[0], 0, 7) if met else None)

    async def sweep(self, state: PartitionState, keys: Sequence[bytes]) -> None:
        """Keys to look up in the SOT."""
        self.done.append(("swept", list(keys)))

    async def note(self, state: PartitionState, passed: int = -1) -> None:
        """Marks made durable."""
        state.commit([], max(passed, state.input_offset), 0)
        if passed >= 0:
            self.done.append(("passed", passed))

    async def held(self, tp: TP, hold: Held, by: str = "") -> None:
        """Said that the partition waits."""
        self.done.append(("held", tp.partition, hold.offset, *filter(None, [by])))
        self.holds.append(hold)
        self.is_held.set()

    async def released(self, tp: TP, reason: str, by: str = "") -> None:
        """Said that it does no longer."""
        self.done.append(("released", tp.partition, reason, by))


class Consumer:
    """The consumer, as far as an owner needs it; remembers what was committed."""

    pauses = 0
    end = 1_000_000
    is_ours = True

    def __init__(self) -> None:
        self.commits = [-1]

    @property
    def committed(self) -> int:
        """What was committed last."""
        return self.commits[-1]

    def pause(self, tp: TP) -> None:
        """Only counted."""
        self.pauses += 1

    def resume(self, tp: TP) -> None:
        """Never needed here."""

    def end_offset(self, tp: TP) -> int:
        """Not asked."""
        return 0

    async def newest_end_offset(self, tp: TP) -> int:
        """Beyond everything, unless a test says otherwise."""
        return self.end

    async def commit(self, tp: TP, last_offset: int) -> bool:
        """Taken from whose the partition is."""
        if self.is_ours:
            self.commits.append(last_offset)
        return self.is_ours


def table() -> Any:
    """What the owners of a table share, as far as it matters here.

    Each look at the SOT finds one transaction more, and its log longer.
    """
    looks = iter(range(1, 10))

    async def snapshot() -> Snapshot:
        look = next(looks)
        return Snapshot(50 + look, 50 + look, frozenset(), 700 + look)

    return SimpleNamespace(
        table="public.t", replica="reports", held=None, unprepared="", labels=("public.t", "reports"),
        snapshot=snapshot, hold_ordered=False,
    )  # fmt: skip


def test_what_a_read_of_the_source_has_told_is_known_of_a_watched_key(tmp_path: Path) -> None:
    """A record that lacks values does not say what its row is by now: who had written it was told of.

    It explains what somebody else writes, and proves nothing of what the stream has delivered.
    """
    owner: Any = object.__new__(Owner)
    owner.state, owner.watch = PartitionState(tmp_path / "0", 0), Watch(lambda: 5.0)
    owner.work = SimpleNamespace(digester=SimpleNamespace(digest=lambda key, line: line))
    owner.watch.begin("run", [(KEY, b"before")])
    entry = Entry(Token(1, 7, 0), Position(1, 7), 1, (), b"r" * 16)
    owner.state.commit([Move(KEY, None, entry)], 7, 7)
    for _ in range(2):
        owner._note({KEY: [Record(7, Op.upsert, ("1", "unavailable"), b"partial", 7, 1, True)]})
    owner.settled([KEY, b"not watched"])
    assert [*owner.watch.known("run", KEY)] == [b"before", b"partial", entry.digest, b"partial", entry.digest]
    assert entry.digest not in owner.watch.seen("run", KEY, 0, 1_000)
    owner.state.close()


@asynccontextmanager
async def running(
    folder: Path, said: Said, consumer: Consumer | None = None, work: Any = None, partition: int = 0
) -> AsyncIterator[Owner]:
    """An owner at work. Every TRUNCATE it meets, and every hold, is noted among what was done."""

    async def ordered(tp: TP, txid: int) -> None:
        said.done.append(("ordered", txid))

    state = PartitionState(folder / str(partition), partition)
    tp = CHANGES._replace(partition=partition)
    owner = Owner(tp, work or table(), said, state, consumer or Consumer(), said, ordered)  # type: ignore[arg-type]
    task = said.running = asyncio.create_task(owner.run())
    try:
        yield owner
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        state.close()


def batch(*offsets: int, start: int | None = None) -> Batch:
    """Records that follow each other; start: what they follow, where something before them is not in the topic."""
    records: Any = [Raw(offset) for offset in offsets]
    return Batch(CHANGES, records, offsets[0] if start is None else start)


@pytest.mark.asyncio
async def test_a_sweep_waits_for_every_record_before_its_floor(tmp_path: Path) -> None:
    """A change from before the TRUNCATE that came after the sweep would bring its row back."""
    said = Said()
    async with running(tmp_path, said) as owner:
        await owner.order_sweep(5)
        owner.offer(batch(0, 1, 2))
        assert await owner.passed(2)
        assert said.done == [("handled", 2)]
        assert owner.state.sweep.pending
        owner.offer(batch(3, 4))
        assert await owner.swept()
        assert said.done == [("handled", 2), ("handled", 4), ("swept", [KEY])]


@pytest.mark.asyncio
async def test_a_sweep_needs_no_further_record(tmp_path: Path) -> None:
    """The floor may have been passed before the order came."""
    said = Said()
    async with running(tmp_path, said) as owner:
        owner.offer(batch(0))
        assert await owner.passed(0)
        await owner.order_sweep(1)
        assert await owner.swept()
        assert said.done[-1] == ("swept", [KEY])


@pytest.mark.asyncio
async def test_the_same_floor_twice_is_swept_twice(tmp_path: Path) -> None:
    """A second TRUNCATE may find no new record in this partition, and yet rows that the first sweep left."""
    said = Said()
    async with running(tmp_path, said) as owner:
        owner.offer(batch(0))
        for _ in range(2):
            await owner.order_sweep(1)
            assert await owner.swept()
        assert said.done == [("handled", 0), ("swept", [KEY]), ("swept", [KEY])]


@pytest.mark.asyncio
async def test_an_order_that_comes_during_a_sweep_is_swept_for(tmp_path: Path) -> None:
    """The keys that are behind the sweep by then were looked up before that TRUNCATE."""
    said, orders = Said(), []

    class Meanwhile(Said):
        async def sweep(self, state: PartitionState, keys: Sequence[bytes]) -> None:
            await said.sweep(state, keys)
            if not orders:
                orders.append(asyncio.create_task(owner.order_sweep(1)))
                while not owner.lock._waiters:  # type: ignore[attr-defined]  # noqa: ASYNC110 - a lock tells nobody
                    await asyncio.sleep(0)

    async with running(tmp_path, Meanwhile()) as owner, asyncio.timeout(10):
        owner.offer(batch(0))
        await owner.order_sweep(1)
        assert await owner.swept()
        assert said.done == [("swept", [KEY])] * 2


@pytest.mark.asyncio
async def test_only_a_commit_that_is_taken_proves_that_a_partition_is_ours(tmp_path: Path) -> None:
    """A zombie's is refused, and with it whatever it was to overrule or to answer (Ordering 12)."""
    consumer = Consumer()
    async with running(tmp_path, Said(), consumer) as owner, asyncio.timeout(10):
        owner.offer(batch(0, 1))
        assert await owner.passed(1)
        assert await owner.prove_ownership()
        assert consumer.committed == 1
        consumer.is_ours = False
        assert not await owner.prove_ownership()


@pytest.mark.asyncio
async def test_a_truncate_is_ordered_before_it_is_passed(tmp_path: Path) -> None:
    """What came before it is done, then every owner is told, and only then does the owner go on behind it."""
    said = Said(truncates=[1])
    async with running(tmp_path, said) as owner:
        owner.offer(batch(0, 1, 2))
        assert await owner.passed(2)
        assert said.done == [("handled", 0), ("ordered", 7), ("handled", 2)]


@pytest.mark.asyncio
async def test_a_sweep_that_was_not_done_is_done_by_the_next_owner(tmp_path: Path) -> None:
    """Without any record: its state says so."""
    said = Said()
    async with running(tmp_path, said) as owner:
        owner.offer(batch(0))
        assert await owner.passed(0)
    state = PartitionState(tmp_path / "0", 0)
    state.sweep = state.sweep.with_order(1, 1)
    state.commit([], 0, 1)
    state.close()
    later = Said()
    async with running(tmp_path, later) as owner:
        assert await owner.swept()
    assert later.done == [("swept", [KEY])]


@pytest.mark.asyncio
async def test_what_is_lost_at_the_end_is_waited_for_by_nobody(tmp_path: Path) -> None:
    """No record may come for long: the owner goes on behind the loss by itself, durably, and commits it."""
    said, consumer = Said(), Consumer()
    async with running(tmp_path, said, consumer) as owner, asyncio.timeout(10):
        owner.offer(batch(0))
        assert await owner.passed(0)
        owner.lose(9)
        await owner.order_sweep(10)
        assert await owner.passed(9)
        assert await owner.swept()
        assert consumer.committed == 9
        assert said.done == [("handled", 0), ("passed", 9), ("swept", [KEY])]


@pytest.mark.asyncio
async def test_a_loss_is_not_passed_before_what_came_before_it(tmp_path: Path) -> None:
    """A kill would skip records that are fetched and not applied; what comes behind the loss passes it on its own."""
    said = Said()
    async with running(tmp_path, said) as owner, asyncio.timeout(10):
        last = BATCH_RECORDS_MAX
        owner.offer(batch(*range(last + 1)))
        owner.lose(last + 9)
        assert await owner.passed(last + 9)
        assert said.done == [("handled", last - 1), ("handled", last), ("passed", last + 9)]
        owner.offer(batch(last + 10))
        owner.lose(last + 20)
        owner.offer(batch(last + 21))
        assert await owner.passed(last + 21)
        assert said.done[3:] == [("handled", last + 21)]


@pytest.mark.asyncio
async def test_a_loss_does_not_reach_into_the_next_life_of_a_topic(tmp_path: Path) -> None:
    """Its offsets begin again: what was lost of the one before says nothing of them."""
    said = Said()
    async with running(tmp_path, said) as owner, asyncio.timeout(10):
        owner.offer(batch(0))
        owner.lose(9)
        assert await owner.passed(9)
        owner.state.begin_topic("new")
        owner.offer(batch(0))
        assert await owner.passed(0)
        await owner.order_sweep(1)
        assert await owner.swept()
        assert said.done == [("handled", 0), ("passed", 9), ("handled", 0), ("swept", [KEY])]
        assert owner.state.input_offset == 0


async def both_held(folder: Path, refuses: Held) -> tuple[Said, Said]:
    """A record of partition 2 holds the table, and with it partition 0: what each of them said."""
    work, first, second = table(), Said(), Said()
    first.refuses = refuses
    async with (
        running(folder, first, work=work, partition=2) as odd,
        running(folder, second, work=work, partition=0) as other,
    ):
        odd.offer(batch(12, start=0))
        await asyncio.wait_for(first.is_held.wait(), 10)
        other.offer(batch(40, 41, start=0))
        await asyncio.wait_for(second.is_held.wait(), 10)
    return first, second


@pytest.mark.asyncio
async def test_a_hold_names_in_each_partition_a_record_of_its_own(tmp_path: Path) -> None:
    """Another partition's offset would have people delete records that nothing is wrong with."""
    first, second = await both_held(tmp_path, Held(12, "odd"))
    assert first.done == [("held", 2, 12)]
    assert second.done == [("held", 0, 40)]
    assert [hold.held_by for hold in (*first.holds, *second.holds)] == [2, 2]
    assert first.holds[0].reason == "odd"
    assert second.holds[0].reason == "stops only because partition 2 is held at offset 12: odd"


@pytest.mark.asyncio
async def test_a_hold_for_no_record_is_as_much_any_partition_s(tmp_path: Path) -> None:
    """Such as a store that refuses the table: nothing would be better without one of the records."""
    first, second = await both_held(tmp_path, Held(BEFORE_THE_NEXT, "odd"))
    assert (first.done, second.done) == ([("held", 2, 12)], [("held", 0, 40)])
    assert [(hold.reason, hold.held_by) for hold in (*first.holds, *second.holds)] == [("odd", None)] * 2


@pytest.mark.asyncio
async def test_what_else_a_partition_does_is_held_for_its_own_record(tmp_path: Path) -> None:
    """A rebuild beside the stream says nothing new of it: the place that is shown stays that of the record."""
    work, said = table(), Said()
    said.refuses = Held(12, "odd")
    async with running(tmp_path, said, work=work, partition=2) as owner:
        owner.offer(batch(12, start=0))
        await asyncio.wait_for(said.is_held.wait(), 10)
        again = work.held.to(2)
    assert (again.offset, again.reason, again.held_by) == (12, "odd", 2)


@pytest.mark.asyncio
async def test_a_hold_without_a_record_stops_before_the_next_one(tmp_path: Path) -> None:
    """It ends, like any other, when the group has committed past it."""
    said = Said()
    async with running(tmp_path, said) as owner:
        owner.offer(batch(0, 1, 2))
        assert await owner.passed(2)
        said.refuses = Held(BEFORE_THE_NEXT, "odd")
        owner.offer(batch(3))
        await asyncio.wait_for(said.is_held.wait(), 10)
        assert await owner.passed(2)
        assert not await owner.passed(3)
    assert said.done[-1] == ("held", 0, 3)


@pytest.mark.asyncio
async def test_a_table_that_is_held_names_the_record_behind_the_batch_in_hand(tmp_path: Path) -> None:
    """A hold before a record that is then applied would be taken for one that is over."""
    said = Said()
    said.waits = asyncio.Event()
    async with running(tmp_path, said) as owner:
        owner.offer(batch(0, 1))
        await asyncio.wait_for(said.in_hand.wait(), 10)
        await owner.hold_table("odd")
        assert said.done == [("held", 0, 0)]
        said.is_held.clear()
        said.waits.set()
        await asyncio.wait_for(said.is_held.wait(), 10)
    assert said.done[1:] == [("handled", 1), ("held", 0, 2)]


@pytest.mark.asyncio
async def test_a_table_that_does_not_fit_is_held_and_nothing_of_it_rebuilt(tmp_path: Path) -> None:
    """What is read by a shape that knows only the key would be written as the row."""
    work, said = table(), Said()
    work.unprepared = "no such table"
    async with running(tmp_path, said, work=work) as owner:
        owner.state.take_over(5, 1, 1)
        owner._taken_over.set()
        await asyncio.wait_for(owner.rebuild(), 1)
        owner.offer(batch(0, 1))
        await asyncio.wait_for(said.is_held.wait(), 1)
    assert said.done == [("held", 0, 0)]
    assert said.holds[0].reason == "no such table"


async def test_a_partition_that_was_resumed_is_paused_again(tmp_path: Path) -> None:
    """Faust resumes, after a rebalance, what its owner had paused at its start: nothing else would bound what waits."""
    work, consumer = table(), Consumer()
    work.held = Held(0, "odd")
    async with running(tmp_path, Said(), consumer, work) as owner:
        for start in range(0, 3 * WAITING_RECORDS_MAX, WAITING_RECORDS_MAX):
            owner.offer(batch(*range(start, start + WAITING_RECORDS_MAX)))
    assert consumer.pauses >= 3


@pytest.mark.asyncio
async def test_a_floor_of_a_topic_that_is_no_more_is_not_waited_for(tmp_path: Path) -> None:
    """The order of a TRUNCATE is taken in after the topic was made anew: checks would wait until it had as many."""
    said, consumer = Said(), Consumer()
    consumer.end = 2
    async with running(tmp_path, said, consumer) as owner, asyncio.timeout(10):
        await owner.order_sweep(40)
        owner.offer(batch(0, 1))
        assert await owner.swept()
        assert said.done == [("handled", 1), ("swept", [KEY])]


@pytest.mark.asyncio
async def test_records_that_are_lost_on_their_way_to_the_owner_end_the_worker(tmp_path: Path) -> None:
    """What came before them is applied, and nothing behind them: a hole that is passed over is seen by nobody."""
    said = Said()

    async def torn() -> None:
        async with running(tmp_path, said) as owner:
            owner.offer(batch(0, 1, 2))
            owner.offer(batch(7, 8))
            await asyncio.wait({said.running}, timeout=10)

    with pytest.raises(HoldtrueError, match=r"Offsets 3 to 6 of bank.public.t\[0\]"):
        await torn()
    assert said.done == [("handled", 2)]


@pytest.mark.asyncio
async def test_records_that_never_were_or_are_told_to_be_lost_leave_no_hole(tmp_path: Path) -> None:
    """Marks of transactions take offsets, too; what came again was there before."""
    said = Said()
    async with running(tmp_path, said) as owner:
        owner.offer(batch(0, 2))
        owner.offer(batch(4, 5, start=3))
        owner.offer(batch(4, 5, 6))
        owner.lose(19)
        owner.offer(batch(20, start=20))
        assert await owner.passed(20)
    assert said.done[-1] == ("handled", 20)
