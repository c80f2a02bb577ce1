"""The ordering rule, one test per rule of the design's Ordering, and batch-wise equal to one by one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.changes import order
from streams.changes.order import Ask, Decision, Keep, Pruner, Store, answer, decide, prune, unproven_with
from streams.changes.record import Op, Record
from streams.changes.visibility import Snapshot
from streams.versions.entry import ANY, EVERYTHING_BEFORE, Entry, Epochs, Position, Token
from streams.versions.marks import SWEPT, Takeover

EPOCH = 3
EPOCHS = Epochs(EPOCH, EPOCH)
ALL = Snapshot(10**6, 10**6, frozenset())


def digest(line: bytes) -> bytes:
    return line.ljust(16, b".")


def change(offset: int, value: str | None, *, lsn: int, txid: int = 7, partial: bool = False) -> Record:
    if value is None:
        return Record(offset, Op.delete, None, b"", lsn, txid)
    return Record(offset, Op.upsert, (value,), value.encode(), lsn, txid, partial)


def read(offset: int, value: str) -> Record:
    return Record(offset, Op.read, (value,), value.encode(), 0, 0)


def entry(value: str | None = "a", *, offset: int = 10, lsn: int | None = 100, txid: int = 5, epoch: int = EPOCH,
          log: int = EPOCH, unproven: tuple[int, ...] = (),
          refused: bool = False) -> Entry:  # fmt: skip
    position = None if lsn is None else Position(log, lsn)
    content = None if value is None else digest(value.encode())
    return Entry(Token(epoch, offset, 0), position, txid, unproven, content, refused)


def decided(known: Entry | None, *records: Record) -> Decision:
    return decide(known, records, EPOCHS, digest)


def test_rule_3_a_record_at_or_below_the_entry_is_a_replay() -> None:
    """Ordering 3: skipped, whatever it says, and nothing is learned from it."""
    for offset in (9, 10):
        assert decided(entry(), change(offset, "z", lsn=999)) == Keep(None)


def test_rule_3_a_replayed_read_is_a_replay_too() -> None:
    """Ordering 3: what a snapshot read is no newer for being delivered twice."""
    for offset in (9, 10):
        assert decided(entry("a"), read(offset, "b")) == Keep(None)


def test_rule_3_every_other_change_is_seen_and_unproven() -> None:
    """Ordering 3: also a change that is then only kept, or asked; a late one may come between two of another."""
    kept = decided(entry("a"), change(11, "a", lsn=50, txid=8))
    assert isinstance(kept, Keep)
    assert kept.entry is not None
    assert (kept.entry.seen, kept.entry.unproven) == (ANY, (8,))
    asked = decided(entry("a"), change(11, "b", lsn=50, txid=8))
    assert isinstance(asked, Ask)
    assert (asked.entry.seen, asked.entry.unproven) == (ANY, (8,))
    partial = decided(entry("a"), change(11, "b", lsn=101, txid=8, partial=True))
    assert isinstance(partial, Ask)
    assert (partial.entry.seen, partial.entry.unproven) == (8, (8,))


def test_rule_4_a_change_with_a_higher_lsn_is_written() -> None:
    """Ordering 4: content of the record under (epoch, offset, 0)."""
    found = decided(entry(), change(11, "b", lsn=101, txid=8))
    assert found == Store(Entry(Token(EPOCH, 11, 0), Position(EPOCH, 101), 8, (8,), digest(b"b")), ("b",), b"b")
    gone = decided(entry(), change(11, None, lsn=101, txid=8))
    assert gone == Store(Entry(Token(EPOCH, 11, 0), Position(EPOCH, 101), 8, (8,), None), None, b"")


def test_rule_4_a_delete_of_the_transaction_seen_last_is_asked() -> None:
    """Ordering 4: key swaps deliver create, then the old row's delete; the row may be there."""
    found = decided(entry(txid=8), change(11, None, lsn=101, txid=8))
    assert isinstance(found, Ask)
    assert (found.token, found.position) == (Token(EPOCH, 11, 0), Position(EPOCH, 101))


def test_rule_4_a_partial_row_is_asked() -> None:
    """An unchanged TOAST value is not in the record: it cannot be written as it is."""
    assert isinstance(decided(entry(), change(11, "b", lsn=101, partial=True)), Ask)
    assert isinstance(decided(None, change(11, "b", lsn=101, partial=True)), Ask)


@pytest.mark.parametrize("value", ["b", None])
def test_rule_5_a_change_whose_lsn_is_not_higher_is_asked_unless_equal(value: str | None) -> None:
    """Ordering 5: it may be sent again, or a later commit with a smaller lsn; for every operation."""
    assert isinstance(decided(entry("a"), change(11, value, lsn=100, txid=8)), Ask)
    same = decided(entry(value), change(11, value, lsn=100, txid=8))
    assert isinstance(same, Keep)


@pytest.mark.parametrize("value", ["a", "b", None])
def test_rule_5_a_change_of_another_log_is_asked_and_placed_where_the_read_was(value: str | None) -> None:
    """Ordering 5: the entry may hold later changes of that log, also where the content is the same."""
    old = entry("a", log=EPOCH - 1, lsn=900)
    asked = decided(old, change(11, value, lsn=5, txid=8))
    assert isinstance(asked, Ask)
    found = answer(asked, ("now",), b"now", replace(ALL, lsn=70), digest)
    assert found is not None
    assert (found.entry.token, found.entry.position) == (Token(EPOCH, 11, 0), Position(EPOCH, 70))


def test_rule_5_nothing_later_in_the_batch_overtakes_the_question_of_another_log() -> None:
    """What is sent again after it may be older than what the entry holds: no lsn is high enough before the read."""
    asked = decided(entry("c", log=EPOCH - 1, lsn=60), change(11, "a", lsn=55), change(12, "b", lsn=58))
    assert isinstance(asked, Ask)
    assert asked.token == Token(EPOCH, 12, 0)


def test_rule_15_a_change_of_another_log_ends_what_is_unproven_of_the_one_before() -> None:
    """Ordering 15: ids of another cluster mean nothing; a change of the key came after whatever they were."""
    asked = decided(entry("a", log=EPOCH - 1, unproven=(900, 901)), change(11, "b", lsn=5, txid=8))
    assert isinstance(asked, Ask)
    assert asked.entry.unproven == (8,)
    assert isinstance(decided(entry("a", unproven=(5,)), change(11, "b", lsn=101, txid=8)), Store)


def test_rule_15_offsets_of_a_later_life_of_the_topic_are_larger() -> None:
    """Ordering 15: the first record of a topic made anew is no replay, and a record of before is one."""
    known = entry("a", epoch=EPOCH - 1, offset=900, log=EPOCH, lsn=100)
    stored = decided(known, change(0, "b", lsn=101))
    assert isinstance(stored, Store)
    assert stored.entry.token == Token(EPOCH, 0, 0)
    assert decided(entry("a", epoch=EPOCH + 1, offset=0), change(900, "z", lsn=999)) == Keep(None)


def test_rule_6_a_read_is_taken_only_where_nothing_is_known() -> None:
    """Ordering 6: no entry: written without a position. Equal: nothing. Different: asked, its content never used."""
    fresh = decided(None, read(11, "a"))
    assert fresh == Store(Entry(Token(EPOCH, 11, 0), None, 0, (), digest(b"a")), ("a",), b"a")
    assert decided(entry("a"), read(11, "a")) == Keep(None)
    asked = decided(entry("a"), read(11, "b"))
    assert isinstance(asked, Ask)
    assert asked.position == Position(EPOCH, 100)
    assert isinstance(decided(entry(None), read(11, "b")), Ask)


def test_a_read_of_a_key_without_an_entry_is_asked_after_a_truncate() -> None:
    """A truncated key that was never heard of leaves no tombstone: the read may be one of before, come late."""
    found = decide(None, [read(4, "late")], EPOCHS, digest, unknown=SWEPT)
    assert isinstance(found, Ask)
    assert (found.token, found.position) == (Token(EPOCH, 4, 0), None)
    assert isinstance(decide(None, [change(4, "new", lsn=9)], EPOCHS, digest, unknown=SWEPT), Store)


def test_rule_6_a_change_after_reads_only_is_trusted() -> None:
    """A read leaves no position: the first change in the log's order follows it."""
    assert isinstance(decided(entry("a", lsn=None), change(11, "b", lsn=1, txid=8)), Store)


def test_rule_7_a_batch_writes_its_last_result_only() -> None:
    """Ordering 7: records of one key in offset order, one write."""
    found = decided(
        None, change(11, "a", lsn=1, txid=7), change(12, None, lsn=2, txid=8), change(13, "c", lsn=3, txid=9)
    )
    assert found == Store(Entry(Token(EPOCH, 13, 0), Position(EPOCH, 3), 9, (7, 8, 9), digest(b"c")), ("c",), b"c")


def test_rule_7_an_open_question_is_dropped_by_a_later_ordered_change() -> None:
    """Ordering 7: what the SOT would have said is older than that change."""
    found = decided(entry("a"), change(11, "x", lsn=50, txid=8), change(12, "b", lsn=200, txid=9))
    assert isinstance(found, Store)
    assert found.entry.digest == digest(b"b")


def test_rule_7_an_open_question_stays_open_after_a_doubtful_record() -> None:
    """A second record that cannot be ordered does not answer the first: one question, for the last of them."""
    found = decided(entry("a"), change(11, "x", lsn=50, txid=8), change(12, "a", lsn=60, txid=9))
    assert isinstance(found, Ask)
    assert found.token == Token(EPOCH, 12, 0)


def test_rule_8_a_read_of_the_sot_counts_only_if_it_shows_every_unproven_transaction() -> None:
    """Ordering 8: with a waiting standby the log shows a change before others can read it."""
    ask = decided(entry("a", unproven=(6,)), change(11, "b", lsn=50, txid=8))
    assert isinstance(ask, Ask)
    assert answer(ask, ("b",), b"b", Snapshot(6, 20, frozenset({6})), digest) is None
    assert answer(ask, ("b",), b"b", Snapshot(5, 8, frozenset()), digest) is None
    found = answer(ask, ("c",), b"c", ALL, digest)
    assert found == Store(Entry(Token(EPOCH, 11, 0), Position(EPOCH, 100), ANY, (), digest(b"c")), ("c",), b"c")


def test_rule_8_no_row_in_the_sot_is_a_tombstone() -> None:
    """The answer for a key that is gone, under the same token."""
    ask = decided(entry("a"), change(11, "b", lsn=50, txid=8))
    assert isinstance(ask, Ask)
    found = answer(ask, None, b"", ALL, digest)
    assert found is not None
    assert (found.row, found.entry.digest) == (None, None)


def test_rule_4_a_late_change_does_not_part_a_delete_from_its_transaction() -> None:
    """A swap of keys delivers create and, as the old row's, delete; a stopped task's last record comes in between."""
    swap = [change(11, "new", lsn=101, txid=8), change(13, None, lsn=102, txid=8)]
    late = change(12, None, lsn=50, txid=6)
    assert isinstance(decided(entry(), swap[0], late, swap[1]), Ask)
    created = decided(entry(), swap[0])
    assert isinstance(created, Store)
    for known in (created.entry, created.entry._replace(digest=None)):
        between = decided(known, late)
        assert isinstance(between, Ask | Keep)
        assert between.entry is not None
        assert isinstance(decided(between.entry, swap[1]), Ask)
    again = decided(created.entry, late, change(13, "next", lsn=103, txid=9))
    assert isinstance(again, Store)
    assert isinstance(decided(again.entry, change(14, None, lsn=104, txid=10)), Store)


TAKEN_OVER = Takeover(EPOCH, end=11, log=EPOCH, lsn=100, ceiling=50)
REREAD = Entry(TAKEN_OVER.unknown.token, Position(EPOCH, 100), 0, (), digest(b"b"))


def test_rule_14_what_is_older_than_the_read_is_asked_however_it_follows() -> None:
    """Ordering 14: late records of a stopped task, 55 and 58, of a key that was read when it held 60."""
    for content in ("a", "b"):
        late = decided(REREAD, change(11, content, lsn=55), change(12, "c", lsn=58))
        assert isinstance(late, Ask)
        assert late.position == REREAD.position
    again = decided(REREAD, change(11, "b", lsn=55))
    assert isinstance(again, Keep)
    assert isinstance(decided(again.entry, change(12, "c", lsn=58)), Ask)
    assert isinstance(decided(REREAD, change(13, "d", lsn=101)), Store)


def test_rule_14_of_an_unknown_key_only_what_came_after_the_takeover_is_trusted() -> None:
    """Ordering 14: it may have been deleted before, and that is known to nobody any more."""
    unknown = TAKEN_OVER.unknown
    for older in (change(11, "a", lsn=100), read(11, "a")):
        found = decide(None, [older], EPOCHS, digest, unknown=unknown)
        assert isinstance(found, Ask)
        assert TAKEN_OVER.everything in found.entry.unproven
    assert decide(None, [change(11, None, lsn=100)], EPOCHS, digest, unknown=unknown) == Keep(None)
    assert isinstance(decide(None, [change(11, "a", lsn=101)], EPOCHS, digest, unknown=unknown), Store)
    assert decide(None, [change(10, "a", lsn=101)], EPOCHS, digest, unknown=unknown) == Keep(None)


def test_rule_14_a_read_counts_when_whatever_was_in_progress_at_the_takeover_is_over() -> None:
    """Ordering 14: what was committed before, and is skipped, may be hidden by a standby that is waited for."""
    ask = decide(None, [change(11, "a", lsn=90, txid=60)], EPOCHS, digest, unknown=TAKEN_OVER.unknown)
    assert isinstance(ask, Ask)
    assert answer(ask, ("a",), b"a", Snapshot(49, 70, frozenset({49})), digest) is None
    assert answer(ask, ("a",), b"a", Snapshot(50, 70, frozenset({50})), digest) is not None


def test_a_refusal_lasts_until_the_next_write() -> None:
    """A change that is only kept leaves the store without the row; one that is written, or asked, is another try."""
    refused = entry("a", refused=True)
    kept = decided(refused, change(11, "a", lsn=50, txid=8))
    assert isinstance(kept, Keep)
    assert kept.entry is not None
    assert kept.entry.refused
    written = decided(refused, change(11, "b", lsn=101), change(12, "c", lsn=102))
    assert isinstance(written, Store)
    ask = decided(refused, change(11, "b", lsn=50, txid=8))
    assert isinstance(ask, Ask)
    answered = answer(ask, ("b",), b"b", ALL, digest)
    assert answered is not None
    assert not written.entry.refused
    assert not answered.entry.refused


def test_unproven_transactions_are_bounded_and_then_stricter() -> None:
    """Too many to keep become their maximum, before which everything must be visible."""
    unproven: tuple[int, ...] = ()
    for txid in range(1, order.UNPROVEN_MAX + 2):
        unproven = unproven_with(unproven, txid)
    assert unproven == (EVERYTHING_BEFORE | (order.UNPROVEN_MAX + 1),)
    assert unproven_with(unproven, 99)[-1] == 99


@given(st.lists(st.integers(1, 30), max_size=8), st.integers(1, 30), st.frozensets(st.integers(1, 30)))
def test_pruning_forgets_exactly_what_the_snapshot_shows(ids: list[int], ceiling: int, running: frozenset[int]) -> None:
    """With and without the batch's memory, in the order of arrival."""
    snapshot = Snapshot(1, ceiling, running)
    known = entry(unproven=tuple(dict.fromkeys(ids)))
    left = tuple(txid for txid in known.unproven if not (txid < ceiling and txid not in running))
    pruner = Pruner(snapshot)
    for _ in range(2):
        assert pruner.prune(known) == prune(known, snapshot) == known._replace(unproven=left)


VALUES = st.sampled_from(["a", "b", None])
TXIDS = st.integers(0, 3)
CHANGES = st.builds(
    lambda value, lsn, txid, partial: change(0, value, lsn=lsn, txid=txid, partial=partial and value is not None),
    VALUES, st.integers(95, 105), TXIDS, st.sampled_from([False, False, False, True]),
)  # fmt: skip
RECORDS = st.one_of(CHANGES, CHANGES, st.builds(lambda value: read(0, value), st.sampled_from(["a", "b"])))
ENTRIES = st.none() | st.builds(
    entry, VALUES, offset=st.integers(0, 12), lsn=st.none() | st.integers(95, 105), txid=TXIDS | st.just(ANY),
    epoch=st.sampled_from([EPOCH, EPOCH, EPOCH - 1]), log=st.sampled_from([EPOCH, EPOCH, EPOCH - 1]),
    unproven=st.sampled_from([(), (1,), (1, 2)]),
    refused=st.booleans(),
)  # fmt: skip
UNKNOWN = st.sampled_from([None, SWEPT, TAKEN_OVER.unknown, TAKEN_OVER._replace(done=1).unknown])


@given(ENTRIES, RECORDS, st.integers(8, 14), st.sampled_from([0, EPOCH, EPOCH + 1]), UNKNOWN)
def test_the_short_way_says_what_the_whole_rule_says(
    known: Entry | None, record: Record, at: int, epoch: int, unknown: Entry | None
) -> None:
    """Where a single record takes the short way, the whole rule would have decided exactly the same."""
    single = record._replace(offset=at)
    epochs = Epochs(epoch, EPOCH)
    short = order._next_in_order(known, single, epochs, digest, unknown)
    assert short is None or short == order._decide_in_full(known, [single], epochs, digest, unknown)


def test_the_short_way_is_taken() -> None:
    """The next change of a known key, and the first record of an unknown one: else it would save nothing."""
    for known, record in ((entry(), change(11, "b", lsn=101)), (None, read(11, "a")), (None, change(11, "a", lsn=1))):
        assert order._next_in_order(known, record, EPOCHS, digest) is not None


@dataclass
class _Model:
    """One key, record by record: the SOT's content is always `truth`, and questions are answered at once."""

    truth: str | None
    entry: Entry | None
    written: list[str | None] = field(default_factory=list)

    def take(self, *records: Record) -> None:
        """One batch."""
        decision = decide(self.entry, records, EPOCHS, digest)
        if isinstance(decision, Ask):
            row = None if self.truth is None else (self.truth,)
            answered = answer(decision, row, (self.truth or "").encode(), ALL, digest)
            assert answered is not None
            decision = answered
        if isinstance(decision, Store):
            self.entry = decision.entry
            self.written.append(None if decision.row is None else decision.row[0])
        elif decision.entry is not None:
            self.entry = decision.entry


@given(ENTRIES, st.lists(RECORDS, min_size=1, max_size=6), VALUES)
def test_a_batch_decides_what_its_records_decide_one_by_one(
    known: Entry | None, records: list[Record], truth: str | None
) -> None:
    """Reduction changes no outcome: both ways end with the same content, unless one of them asked the SOT later.

    A question answered between two records may turn a doubtful later record into an equal one; both then hold the
    SOT's content. So: same digest, or the batch holds the truth.
    """
    numbered = [record._replace(offset=20 + place) for place, record in enumerate(records)]
    whole, single = _Model(truth, known), _Model(truth, known)
    whole.take(*numbered)
    for record in numbered:
        single.take(record)
    content = None if truth is None else digest(truth.encode())
    ends = {model.entry.digest if model.entry else None for model in (whole, single)}
    assert len(ends) == 1 or content in ends
    assert (whole.entry is None) == (single.entry is None)
    if whole.entry is not None and single.entry is not None:
        # What counts as late depends on where a question was answered; in doubt a delete is asked.
        assert ANY in (whole.entry.seen, single.entry.seen) or whole.entry.seen == single.entry.seen
        assert len(whole.written) <= 1
