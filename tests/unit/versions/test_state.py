"""The version table of one partition: one write per batch, recovery, bucket digests, marks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.rows.digest import BUCKETS, bucket_of
from streams.versions.disk import StateBroken
from streams.versions.entry import Entry, Token
from streams.versions.state import ENTRY, SUSPICION, ChangelogRecord, Move, PartitionState

Open = Callable[[], PartitionState]


def entry(offset: int, content: bytes | None = b"a", refresh: int = 0) -> Entry:
    digest = None if content is None else content.ljust(16, b".")
    return Entry(Token(1, offset, refresh), None, 0, (), digest)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens the same folder again, as a restarted worker does."""
    states: list[PartitionState] = []

    def reopen() -> PartitionState:
        while states:
            states.pop().close()
        states.append(PartitionState(tmp_path / "p" / "0", 0))
        return states[-1]

    yield reopen
    while states:
        states.pop().close()


def commit(state: PartitionState, entries: dict[bytes, Entry], offset: int) -> list[ChangelogRecord]:
    moves = [Move(key, state.entry(key), new) for key, new in entries.items()]
    records = state.changelog(moves, offset)
    # The changelog took them right behind what is known of it.
    state.commit(moves, offset, state.changelog_offset + len(records), records=records)
    return records


def recomputed(state: PartitionState) -> list[int]:
    """The bucket digests as the entries say they must be."""
    totals = [0] * BUCKETS
    for key, found in state.scan():
        totals[bucket_of(key)] += int.from_bytes(found.digest or b"", "big")
    return [total % (1 << 128) for total in totals]


def held(state: PartitionState) -> tuple[object, ...]:
    return (dict(state.scan()), state.input_offset, state.live, [state.bucket_digest(each) for each in range(BUCKETS)])


def test_what_was_committed_is_there_after_a_restart(opened: Open) -> None:
    """Entries, buckets, live count and both offsets come back together."""
    state = opened()
    commit(state, {b"1": entry(5), b"2": entry(6, None)}, 6)
    before = (*held(state), state.changelog_offset)
    again = opened()
    assert (*held(again), again.changelog_offset) == before
    assert again.entries([b"2", b"9", b"1"]) == [entry(6, None), None, entry(5)]


def test_an_empty_folder_starts_before_the_first_record(opened: Open) -> None:
    """Offset 0 is still to be read."""
    state = opened()
    assert (state.input_offset, state.changelog_offset, state.live, state.epoch) == (-1, -1, 0, 1)


def test_a_batch_that_fails_to_be_written_leaves_nothing(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries and input offset are one write: after a crash before it, none of them is there."""
    state = opened()
    commit(state, {b"1": entry(5)}, 5)
    before = held(opened())
    state = opened()
    monkeypatch.setattr(PartitionState, "_write", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        commit(state, {b"1": entry(9, b"z"), b"3": entry(9)}, 9)
    monkeypatch.undo()
    assert held(opened()) == before


def test_the_input_offset_never_moves_back(opened: Open) -> None:
    """Ordering 13: neither by a commit nor by recovery."""
    state = opened()
    commit(state, {b"1": entry(9)}, 9)
    records = commit(state, {b"1": entry(10)}, 4)
    before = state.changelog_offset
    assert state.input_offset == 9
    state.recover(records, 0)
    assert (state.input_offset, state.changelog_offset) == (9, before)
    assert opened().input_offset == 9


def test_recovery_keeps_a_keys_larger_token(opened: Open) -> None:
    """Ordering 13: a zombie's late record in the changelog is passed over, within a batch and across batches."""
    state = opened()
    newer, older = Move(b"1", None, entry(9, b"new")), Move(b"1", None, entry(8, b"old"))
    state.recover([*state.changelog([newer], 9), *state.changelog([older], 8)], 3)
    assert state.entry(b"1") == newer.new
    state.recover(state.changelog([older], 8), 5)
    assert state.entry(b"1") == newer.new
    assert recomputed(state) == held(state)[3]


def test_recovery_passes_over_records_that_are_not_its_own(opened: Open) -> None:
    """Tombstones of compaction and unknown keys change nothing."""
    state = opened()
    state.recover([(b"e1", None), (b"?", b"x")], 7)
    assert (dict(state.scan()), state.changelog_offset) == ({}, 7)


def test_a_key_that_moves_is_no_longer_suspected(opened: Open) -> None:
    """Ordering 12: a durable suspicion ends with the key's next settled write."""
    state = opened()
    state.commit([], 3, 3, suspected={b"1": b"t" * 16, b"2": b"u" * 16})
    assert opened().suspected == {b"1": b"t" * 16, b"2": b"u" * 16}
    state = opened()
    commit(state, {b"1": entry(5)}, 5)
    assert state.suspected == opened().suspected == {b"2": b"u" * 16}


def test_a_key_of_which_only_something_was_seen_stays_suspected(opened: Open) -> None:
    """A change that is known to be old writes nothing: nothing is settled by it."""
    state = opened()
    commit(state, {b"1": entry(5)}, 5)
    state.commit([], 6, 6, suspected={b"1": b"t" * 16})
    commit(state, {b"1": entry(5)._replace(seen=99, unproven=(99,))}, 7)
    assert state.suspected == opened().suspected == {b"1": b"t" * 16}


def test_a_suspicion_is_recovered_elsewhere(opened: Open, tmp_path: Path) -> None:
    """Ordering 12: who takes the partition over settles what is open, and nothing that is settled."""
    state = opened()
    records = state.changelog([], 3, {b"1": b"t" * 16, b"2": b"u" * 16})
    state.commit([], 3, len(records) - 1, suspected={b"1": b"t" * 16, b"2": b"u" * 16}, records=records)
    records += commit(state, {b"1": entry(5)}, 5)
    other = PartitionState(tmp_path / "elsewhere", 0)
    try:
        other.recover(records, len(records) - 1)
        assert other.suspected == state.suspected == {b"2": b"u" * 16}
    finally:
        other.close()


def test_a_zombies_suspicion_of_what_the_owner_has_written_is_dropped(opened: Open) -> None:
    """The store's token was a stranger's to the zombie only, whichever of the two records comes first."""
    doubt = (SUSPICION + b"1", Token(1, 7, 0).encode())
    ours = (ENTRY + b"1", entry(7).encode())
    for number, records in enumerate(([doubt, ours], [ours, doubt])):
        state = opened()
        state.recover([doubt], 2 * number)
        assert set(state.suspected) == ({b"1"} if number == 0 else set())
        state.recover(records, 2 * number + 1)
        assert state.suspected == opened().suspected == {}


def test_commit_without_records_encodes_the_moves_itself(opened: Open) -> None:
    """The records only spare a second encoding."""
    state = opened()
    state.commit([Move(b"1", None, entry(5))], 5, 5)
    assert opened().entry(b"1") == entry(5)


def test_a_scan_is_bounded_and_in_the_order_of_bytes(opened: Open) -> None:
    """[lower, upper), and nothing of the marks and buckets beside the entries."""
    state = opened()
    commit(state, {key: entry(1) for key in (b"b", b"a", b"c", b"\xff")}, 1)
    assert [key for key, _ in state.scan()] == [b"a", b"b", b"c", b"\xff"]
    assert [key for key, _ in state.scan(b"b", b"c")] == [b"b"]


def test_a_second_opener_is_told_why(opened: Open, tmp_path: Path) -> None:
    """Two workers with one folder would destroy it."""
    opened()
    with pytest.raises(StateBroken, match="cannot be opened"):
        PartitionState(tmp_path / "p" / "0", 0)


BATCHES = st.lists(
    st.dictionaries(
        st.sampled_from([b"1", b"2", b"3", b"4"]), st.none() | st.binary(min_size=16, max_size=16), min_size=1
    ),
    min_size=1, max_size=5,
)  # fmt: skip


@given(BATCHES)
def test_bucket_digests_and_recovery_agree_with_the_entries(
    tmp_path_factory: pytest.TempPathFactory, batches: list[dict[bytes, bytes | None]]
) -> None:
    """After any batches, buckets and live count are what a full scan computes; a recovered copy holds the same."""
    folder = tmp_path_factory.mktemp("state")
    state, copy = PartitionState(folder / "a", 0), PartitionState(folder / "b", 0)
    try:
        for offset, batch in enumerate(batches):
            copy.recover(commit(state, {key: entry(offset, content) for key, content in batch.items()}, offset), offset)
        assert [state.bucket_digest(each) for each in range(BUCKETS)] == recomputed(state)
        assert state.live == sum(found.digest is not None for _, found in state.scan())
        assert held(copy) == held(state)
    finally:
        state.close()
        copy.close()
