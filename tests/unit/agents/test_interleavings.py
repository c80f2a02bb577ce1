"""Interleavings that the simulator found: one each, with its name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams.agents.app import settle_suspicions
from streams.agents.apply import Applier, Work
from streams.agents.checks import Checks, Seen, _without_open_questions
from streams.agents.owner import Owner
from streams.agents.repairs import NOT_FENCED, Fence, Repairs
from streams.agents.table import BEFORE_THE_NEXT
from streams.agents.table import Held as HeldHere
from streams.changes.order import Store
from streams.changes.visibility import Snapshot
from streams.checks.compare import UNDECIDED, Content, Finding, Verdict
from streams.errors import NotReady
from streams.replicas.base import Held, Outcome, Result
from streams.replicas.memory import MemoryTable
from streams.rows.digest import bucket_of
from streams.sot.reader import SotRead
from streams.versions.entry import Entry, Token
from streams.versions.state import Move, PartitionState
from tests.support.works import REPLICATED, SHAPE, work_of
from tests.support.writes import put
from tests.unit.agents.test_others import KEY, town

OLD, NEW, ROGUE = ("1", "old"), ("1", "new"), ("1", "rogue")
ALL = Snapshot(10**6, 10**6, frozenset())
TOKEN = Token(1, 5, 0)


class _Changelog:
    """Takes everything."""

    end = 0

    async def append(self, partition: int, records: list[Any]) -> int:
        self.end += len(records)
        return self.end - 1


class _Owner:
    """An owner whose SOT reads may be slow: `meanwhile` happens after the SOT was read."""

    def __init__(self, folder: Path) -> None:
        self.tp = "changes[0]"
        self.state = PartitionState(folder / "0", 0)
        self.lock = self.state.lock
        self.store = MemoryTable(SHAPE)
        self.source = [OLD]
        self.meanwhile: Callable[[], object] = lambda: None
        self.proven = True
        self.unread = False
        self.settled = lambda keys: None
        self.held: HeldHere | None = None
        self.work = work_of(self.store, self._run, self._read, _Changelog())

    async def _run(self, work: Callable[..., Any], *args: Any) -> Any:
        await asyncio.sleep(0)
        return work(*args)

    async def _read(self, keys: list[bytes], reason: str, *, paid: bool) -> SotRead:
        row = self.source.pop(0) if len(self.source) > 1 else self.source[0]
        self.meanwhile()
        self.meanwhile = lambda: None
        return SotRead(ALL, {b"1": row})

    async def newest_end_offset(self) -> int:
        return 6

    async def is_unread(self) -> bool:
        return self.unread

    async def passed(self, offset: int) -> bool:
        return True

    async def prove_ownership(self) -> bool:
        return self.proven


@pytest.fixture
def owner(tmp_path: Path) -> Any:
    owner = _Owner(tmp_path)
    owner.state.commit([Move(b"1", None, Entry(TOKEN, None, 0, (), b"d" * 16))], 5, 0)
    owner.store.apply([put(SHAPE, OLD, TOKEN)])
    yield owner
    owner.state.close()


def _of(state: PartitionState, work: Any) -> Owner:
    nothing: Any = None
    return Owner(TP("changes", 0), work, nothing, state, nothing, nothing, nothing)


@pytest.fixture
def repairs() -> Repairs:
    nothing: Any = None
    return Repairs(nothing, nothing, nothing, nothing, nothing, nothing, {}, nothing)


async def test_a_zombies_read_is_not_written_over_the_next_owners_repair(owner: _Owner, repairs: Repairs) -> None:
    """We read the SOT and freeze; the next owner repairs the key with what the SOT has by then; we wake up."""
    owner.source = [OLD, NEW]
    owner.meanwhile = lambda: owner.store.apply([put(SHAPE, NEW, Token(1, 5, 1))])
    assert (await repairs._repair(owner, [b"1"], NOT_FENCED))[b"1"].outcome == "repaired"  # type: ignore[arg-type]
    assert owner.store.read([b"1"]) == {b"1": Held(Token(1, 5, 2), NEW)}


async def test_a_token_that_came_after_the_fence_is_not_overruled(owner: _Owner, repairs: Repairs) -> None:
    """A rogue token was seen and ownership proven; then the partition is lost, and its next owner writes."""
    owner.store.plant(b"1", ROGUE)
    fence = Fence(6, {b"1": Token(7, 0, 0)})
    owner.store.apply([put(SHAPE, NEW, Token(1, 9, 0))])
    owner.proven = False
    assert (await repairs._repair(owner, [b"1"], fence))[b"1"].outcome == "failed"  # type: ignore[arg-type]
    assert owner.store.read([b"1"]) == {b"1": Held(Token(1, 9, 0), NEW)}


async def test_a_token_that_came_between_two_tries_is_overruled_behind_a_fence_of_its_own(
    owner: _Owner, repairs: Repairs
) -> None:
    """The first try met nothing that was not ours; then somebody wrote a token from the future."""
    owner.meanwhile = lambda: owner.store.apply([put(SHAPE, ROGUE, Token(7, 0, 0))])
    assert (await repairs._repair(owner, [b"1"], NOT_FENCED))[b"1"].outcome == "repaired"  # type: ignore[arg-type]
    held = owner.store.read([b"1"])[b"1"]
    assert (held.row, held.token and held.token.epoch) == (OLD, 1)


async def test_a_key_is_not_repaired_beside_the_rebuild_of_its_partition(owner: _Owner, repairs: Repairs) -> None:
    """Its token would be above the rebuild's, which may read the row later and write it first (seed 3001241)."""
    before = owner.state.takeover
    owner.state.take_over(6, 1, 1)
    with pytest.raises(NotReady, match="is being rebuilt"):
        await repairs._fence(owner, [b"1"])  # type: ignore[arg-type]
    owner.state.takeover, owner.state.mapping = before, "another"
    with pytest.raises(NotReady, match="mapped columns, or the digest key, are not those"):
        await repairs._fence(owner, [b"1"])  # type: ignore[arg-type]
    owner.state.mapping, owner.unread = "", True
    with pytest.raises(NotReady, match="nothing of a partition is read yet"):
        await repairs._fence(owner, [b"1"])  # type: ignore[arg-type]
    owner.held = HeldHere(BEFORE_THE_NEXT, "a migration")
    with pytest.raises(NotReady, match="it is held: a migration"):
        await repairs._fence(owner, [b"1"])  # type: ignore[arg-type]
    owner.state.take_over(6, 1, 1)
    # Nor where the partition was taken over while the lock was waited for.
    assert (await repairs._repair(owner, [b"1"], NOT_FENCED))[b"1"].outcome == "failed"  # type: ignore[arg-type]
    assert owner.store.read([b"1"]) == {b"1": Held(TOKEN, OLD)}


async def test_nothing_is_repaired_of_a_table_that_does_not_fit(owner: _Owner, repairs: Repairs) -> None:
    """Its columns are not known: a row that was read would be one of keys alone."""
    owner.work.unprepared = "the SOT has no such table"
    with pytest.raises(NotReady, match="the SOT has no such table"):
        await repairs._fence(owner, [b"1"])  # type: ignore[arg-type]


async def test_settling_of_suspicions_ends_with_its_owner(owner: _Owner, repairs: Repairs) -> None:
    """After a rebalance the same process may own the partition again: two owners must not work on one state."""
    owner.state.commit([], 5, 0, suspected={b"1": Token(7, 0, 0).encode()})
    never = asyncio.Event()
    owner.work.threads.run = lambda *_: never.wait()
    settling = asyncio.create_task(repairs.settle_suspicions(owner))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await repairs.stop()
    await asyncio.wait_for(settling, 1)
    assert owner.state.suspected == {b"1": Token(7, 0, 0).encode()}


async def test_owners_of_one_state_do_not_move_its_entries_between_each_other(owner: _Owner, repairs: Repairs) -> None:
    """A repair of before a rebalance is still reading when the same process owns the partition again and repairs it.

    The one that came first then moved the entry from where it had been: its bucket's digest was wrong from then on.
    """
    before, after = (_of(owner.state, owner.work) for _ in range(2))
    reading, go_on, read = asyncio.Event(), asyncio.Event(), owner.work.read_sot

    async def slow(keys: list[bytes], reason: str, *, paid: bool) -> SotRead:
        owner.work.read_sot = read
        reading.set()
        await go_on.wait()
        return await read(keys, reason, paid=paid)

    owner.work.read_sot = slow
    first = asyncio.create_task(repairs._repair(before, [b"1"], NOT_FENCED))
    await reading.wait()
    second = asyncio.create_task(repairs._repair(after, [b"1"], NOT_FENCED))
    for _ in range(100):
        await asyncio.sleep(0)
    go_on.set()
    assert [done[b"1"].outcome for done in await asyncio.gather(first, second)] == ["repaired", "repaired"]
    entry = owner.state.entry(b"1")
    assert entry is not None
    assert entry.digest is not None
    assert owner.state.bucket_digest(bucket_of(b"1")) == int.from_bytes(entry.digest, "big")


async def test_suspicions_are_settled_by_whoever_owns_the_partition_then(owner: _Owner) -> None:
    """While one owner's are settled, a rebalance ends the others, and the same process owns their partitions again."""
    replica: Any = SimpleNamespace(
        owners=[SimpleNamespace(tp=number, state=SimpleNamespace(suspected={b"1": b""})) for number in range(3)]
    )
    settled: list[Any] = []
    now = {0: replica.owners[0], 1: replica.owners[1]}
    replica.running = now.get

    async def settle(each: Any) -> None:
        settled.append(each)
        now.pop(2, None)
        now[1] = again

    again = SimpleNamespace(tp=1, state=SimpleNamespace(suspected={b"1": b""}))
    await settle_suspicions(replica, SimpleNamespace(settle_suspicions=settle))  # type: ignore[arg-type]
    assert settled == [replica.owners[0], again]


async def test_a_row_that_others_cannot_see_yet_is_not_drift() -> None:
    """The log shows a commit that waits for a standby: the replica has it, a read of the SOT does not."""
    row = Entry(TOKEN, None, 7, (7,), b"d" * 16)
    seen = [Seen(b"1", b"s" * 16, row, Content(TOKEN, row.digest))]
    found = [Finding(Verdict.suspected, "stale")]

    async def waits() -> Snapshot:
        return Snapshot(7, 9, frozenset({7}))

    async def shows() -> Snapshot:
        return ALL

    checks: Any = object.__new__(Checks)
    for snapshot, told in ((waits, [UNDECIDED]), (shows, found)):
        owner = SimpleNamespace(
            work=SimpleNamespace(snapshot=snapshot, mapping=REPLICATED), state=SimpleNamespace(suspected={})
        )
        assert await checks._visible(owner, seen, found) == told


async def test_a_row_that_others_cannot_see_yet_is_not_drift_under_an_unsettled_token_either() -> None:
    """State and changelog are lost, and the SOT shows neither what the store has nor that it is gone (seed 21249)."""
    behind = Entry(TOKEN, None, 0, (7,), None)
    seen = [Seen(b"1", None, behind, Content(Token(2, 1, 0), b"d" * 16))]
    found = [Finding(Verdict.suspected, "orphan")]

    async def waits() -> Snapshot:
        return Snapshot(7, 9, frozenset({7}))

    checks: Any = object.__new__(Checks)
    for suspected, told in (({b"1": b"t"}, [UNDECIDED]), ({}, found)):
        owner = SimpleNamespace(
            work=SimpleNamespace(snapshot=waits, mapping=REPLICATED), state=SimpleNamespace(suspected=suspected)
        )
        assert await checks._visible(owner, seen, found) == told


def test_a_key_whose_store_is_right_under_an_unsettled_token_is_not_drift() -> None:
    """State and changelog are lost: our own earlier token is a stranger's, the store is right, and the owner behind."""
    right = Seen(b"1", None, Entry(TOKEN, None, 0, (), b"d" * 16), Content(Token(1, 32, 0), None))
    wrong = right._replace(key=b"2", content=Content(Token(1, 32, 0), b"x" * 16))
    found = [Finding(Verdict.suspected, "missing"), Finding(Verdict.suspected, "mismatch")]
    owner: Any = SimpleNamespace(state=SimpleNamespace(suspected={b"1": b"t", b"2": b"t"}))
    assert _without_open_questions(owner, [right, wrong], found) == [UNDECIDED, found[1]]
    owner.state.suspected = {}
    assert _without_open_questions(owner, [right, wrong], found) == found


def test_a_row_that_a_cache_does_not_have_is_not_drift_under_an_unsettled_token() -> None:
    """Somebody's token keeps our deletes away, and the owner behind: absent is right meanwhile."""
    seen = Seen(b"1", b"s" * 16, Entry(TOKEN, None, 0, (), b"d" * 16), Content(Token(7, 0, 0), None))
    found = [Finding(Verdict.suspected, "missing")]
    for allowed, told in ((True, [UNDECIDED]), (False, found)):
        work = SimpleNamespace(absent_allowed=allowed)
        owner: Any = SimpleNamespace(state=SimpleNamespace(suspected={b"1": b"t"}), work=work)
        assert _without_open_questions(owner, [seen], found) == told


def test_what_others_wrote_to_the_changelog_meanwhile_is_read_at_the_next_recovery(tmp_path: Path) -> None:
    """We are frozen, the next owner writes to the changelog, we wake up and write behind it."""
    state = PartitionState(tmp_path / "0", 0)
    move = Move(b"1", None, Entry(TOKEN, None, 0, (), b"d" * 16))
    ours = state.changelog([move], 5)
    state.commit([move], 5, len(ours) - 1, records=ours)
    known = state.changelog_offset
    assert known == len(ours) - 1
    state.commit([move], 5, known + 10 + len(ours), records=ours)
    assert state.changelog_offset == known
    state.recover([], known + 20)
    state.commit([move], 5, known + 20 + len(ours), records=ours)
    assert state.changelog_offset == known + 20 + len(ours)
    state.close()


async def test_what_came_between_two_looks_of_a_repair_is_not_settled_by_the_first(
    owner: _Owner, repairs: Repairs
) -> None:
    """A hidden commit of the key arrives after the first look: the end of what was in progress then proves nothing."""
    owner.source = [OLD]
    looks = [Snapshot(90, 100, frozenset({90})), Snapshot(100, 130, frozenset({120})), ALL]
    entry = Entry(TOKEN, None, 90, (90,), b"d" * 16)
    owner.state.commit([Move(b"1", owner.state.entry(b"1"), entry)], 5, 1)

    async def read(keys: list[bytes], reason: str, *, paid: bool) -> SotRead:
        shown = looks.pop(0)
        if not looks:
            return SotRead(shown, {b"1": NEW})
        moved = entry._replace(seen=120, unproven=(90, 120))
        owner.state.commit([Move(b"1", owner.state.entry(b"1"), moved)], 5, 2)
        return SotRead(shown, {b"1": OLD})

    owner.work.read_sot = read
    assert (await repairs._repair(owner, [b"1"], NOT_FENCED))[b"1"].outcome == "repaired"  # type: ignore[arg-type]
    assert owner.store.read([b"1"])[b"1"].row == NEW


async def test_what_a_suspicious_change_has_shown_stays_to_be_proven() -> None:
    """The store refuses it for a larger token; the read that settles this must not be older than the change."""
    old = Entry(TOKEN, None, 0, (), b"d" * 16)
    work = Work({b"1": old, b"2": None})
    for key in work.old:
        store = Store(Entry(Token(1, 9, 0), None, 120, (120,), b"e" * 16), NEW, b"1\tnew")
        applier: Any = object.__new__(Applier)
        applier._settle(work, key, store, Result(Outcome.stale, Token(2, 0, 0)))
    kept = {move.key: move.new for move in work.moves}
    assert kept[b"1"] == old._replace(seen=120, unproven=(120,))
    assert (kept[b"2"].token, kept[b"2"].unproven, kept[b"2"].digest) == (Token(0, 0, 0), (120,), None)
    assert work.suspicions.keys() == {b"1", b"2"}


async def test_what_the_owner_before_has_applied_and_not_recorded_is_not_drift(tmp_path: Path) -> None:
    """It had written the row before last of a key whose row of now is as the entry says; those records come still."""
    with town(tmp_path, "replicate") as made:
        made.store.apply([put(SHAPE, NEW, Token(1, 7, 0))])
        made.end = 9
        await made.scrub._glance([KEY])
        await made.scrub._judge([KEY])
        await made.scrub._judge([KEY])
        assert made.told == []
        made.applies(OLD, 8)
        await made.scrub._judge([KEY])
        await made.scrub._judge([KEY])
        assert made.told == [("open", "stale")]


async def test_a_token_ahead_that_no_record_is_of_is_told_at_once(tmp_path: Path) -> None:
    """Somebody else has written it."""
    with town(tmp_path, "replicate") as made:
        made.store.apply([put(SHAPE, ROGUE, Token(1, 7, 0))])
        made.end = 7
        await made.scrub._glance([KEY])
        await made.scrub._judge([KEY])
        assert made.told == [("open", "mismatch")]


async def test_what_differs_while_a_change_of_it_is_on_its_way_is_not_drift(tmp_path: Path) -> None:
    """The source is not as the entry says: who has written the row of the store nobody can tell yet."""
    with town(tmp_path, "replicate") as made:
        made.source = NEW
        made.store.plant(KEY, NEW)
        await made.scrub._glance([KEY])
        await made.scrub._judge([KEY])
        await made.scrub._judge([KEY])
        assert made.told == []
        made.source = OLD
        await made.scrub._judge([KEY])
        assert made.told == [("open", "mismatch")]


async def test_what_two_looks_have_not_seen_alike_is_not_drift_yet(tmp_path: Path) -> None:
    """A glance comes between two batches; what it saw is compared with what is seen under the lock."""
    with town(tmp_path, "replicate") as made:
        assert await made.looks(NEW, ROGUE) == []
        await made.scrub._judge([KEY])
        assert made.told == [("open", "mismatch")]


async def test_what_a_zombie_sees_is_not_told(tmp_path: Path) -> None:
    """The replica is its successor's by then."""
    with town(tmp_path, "replicate") as made:
        made.is_owner = False
        assert await made.looks(ROGUE, ROGUE) == []
        made.is_owner = True
        assert await made.looks(ROGUE, ROGUE) == [("open", "mismatch")]


async def test_the_second_look_waits_while_changes_are_written(tmp_path: Path) -> None:
    """Between the store and the state there is what no entry explains."""
    with town(tmp_path, "replicate") as made:
        made.store.plant(KEY, NEW)
        await made.scrub._glance([KEY])
        async with made.lock:
            judging = asyncio.create_task(made.scrub._judge([KEY]))
            for _ in range(100):
                await asyncio.sleep(0)
            assert not judging.done()
            assert made.told == []
            made.applies(NEW, 2)
        await judging
        assert made.told == []
