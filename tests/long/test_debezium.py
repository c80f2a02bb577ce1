"""What the ordering rule relies on, on the real connector: one that does it otherwise fails here (docs/debezium.md)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from streams.local.stack import Stack
from tests.traces import situations
from tests.traces.seen import TOMBSTONE, Seen
from tests.traces.site import Site

pytestmark = [pytest.mark.long, pytest.mark.stack, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def site(shared_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One connector for all; no worker."""
    made = Site(shared_stack, tmp_path_factory.mktemp("site"))
    try:
        made.start()
        yield made
    finally:
        made.close()


def told(records: list[Seen]) -> list[tuple[object, ...]]:
    """Operation and content, without places."""
    return [(each.op, each.row.get("note", each.row.get("n"))) for each in records if each.op != TOMBSTONE]


def counted(records: list[Seen], key: int) -> list[int]:
    """What a row that counts up was, in the order of its partition."""
    return [each.row["n"] for each in situations.of_key(records, key)]


def test_what_is_sent_again_is_the_same_and_leaves_no_gap(site: Site) -> None:
    """After a SIGKILL (Ordering 3, 5): same position, transaction, content; each key goes on from no later place."""
    trace = situations.killed_in_mid_stream(site)
    again = situations.sent_again(trace.records)
    assert again
    assert all(first.partition == second.partition for first, second in again)
    assert all(first.last_commit == second.last_commit for first, second in again)
    end = site.bank.sot.execute("SELECT max(n) FROM line").fetchone()
    assert end is not None
    for key in (1, 100, 300):
        seen = counted(trace.records, key)
        assert all(later <= before + 1 for before, later in pairwise(seen))
        assert sum(later <= before for before, later in pairwise(seen)) <= 1
        assert set(seen) == set(range(1, end[0] + 1))


def test_last_commit_goes_on_after_a_restart(site: Site) -> None:
    """It does not go back and is not null; nothing of holdtrue relies on it (Ordering 15)."""
    commits = [each.last_commit for each in situations.last_commit_after_restarts(site).records]
    assert len(commits) == 8
    assert None not in commits
    assert commits == sorted(commits, key=lambda each: each or 0)


def test_what_a_window_leaves_out_and_what_its_reads_carry(site: Site) -> None:
    """A key that is in the log between the marks is not read; a read has no transaction and no lsn (Ordering 6).

    The position in its `sequence` is after changes that are still to come: it must not be compared with theirs.
    """
    trace = situations.reads_in_a_window(site)
    one, two, three, four = (situations.of_key(trace.records, key) for key in (1, 2, 3, 4))
    assert told(one) == [("u", "before the window")]
    assert told(two) == [("u", "in the window")]
    assert told(three) == [("r", "old"), ("u", "of the long one")]
    assert told(four) == [("r", "old")]
    assert {(each.txid, each.source_lsn) for each in situations.reads(trace.records)} == {(None, None)}
    assert (three[1].lsn or 0) < (three[0].lsn or 0)


def test_a_later_commit_can_have_the_smaller_lsn(site: Site) -> None:
    """Under ordinary unique keys: the order of the topic is that of commits, the lsn's is not (Ordering 5)."""
    deleted, _, created = situations.later_commit_with_the_smaller_lsn(site).records
    assert (deleted.op, created.op) == ("d", "c")
    assert (created.lsn or 0) < (deleted.lsn or 0)
    assert (created.last_commit or 0) > (deleted.last_commit or 0)


def test_keys_that_move_are_deleted_after_they_were_created(site: Site) -> None:
    """Under deferrable keys, in one transaction and with a larger lsn, although the row is there (Ordering 4)."""
    trace = situations.keys_that_move(site)
    assert told(situations.of_key(trace.records, 1)) == [("d", "was 1"), ("c", "was 2")]
    assert told(situations.of_key(trace.records, 2)) == [("c", "was 1"), ("d", "was 2")]
    assert told(situations.of_key(trace.records, 19)) == [("c", "was 18"), ("d", "was 19")]
    assert told(situations.of_key(trace.records, 10)) == [("d", "was 10"), ("c", "again")]
    for key in (2, 19, 20):
        created, deleted = (each for each in situations.of_key(trace.records, key) if each.op != TOMBSTONE)
        assert created.txid == deleted.txid
        assert (created.lsn or 0) < (deleted.lsn or 0)


def test_a_truncate_is_one_record_in_one_partition(site: Site) -> None:
    """Without a key, and with a position between those of the rows before and after it (decision 4)."""
    records = situations.truncated(site).records
    (truncate,) = (each for each in records if each.op == "t")
    assert (truncate.key, truncate.row) == (None, {})
    before = [each for each in records if each.row.get("note") == "before"]
    after = [each for each in records if each.row.get("note") == "after"]
    assert len(before) == len(after) == 6
    assert len({each.partition for each in records}) > 1
    assert max(each.lsn or 0 for each in before) < (truncate.lsn or 0) < min(each.lsn or 0 for each in after)


def test_behind_a_fence_nothing_is_missing(site: Site) -> None:
    """When the slot has confirmed a message, Kafka has every row that was before it (design, Validation)."""
    facts = situations.messages_and_rows(site).facts
    assert facts["rounds in which rows were missing when the slot had confirmed the message"] == 0


def test_a_new_snapshot_goes_on_from_itself(site: Site) -> None:
    """Not from the slot: changes before it come as reads, deletes not at all; a transaction that was open comes.

    Its change can be before the snapshot in the log: a read's position must not be compared with it (Ordering 6).
    """
    trace = situations.snapshot_again(site)
    two, three, four = (situations.of_key(trace.records, key) for key in (2, 3, 4))
    assert told(two) == [("u", -1), ("r", -2), ("u", -3), ("u", -4)]
    assert [each.op for each in three] == ["r", "u"]
    assert three[1].row["n"] == -5
    assert (three[1].lsn or 0) < (three[0].lsn or 0)
    assert four == []


def test_one_position_is_one_change(site: Site) -> None:
    """Of one key: an equal lsn means that it was sent again, and never is another change (Ordering 5)."""
    for table, records in ((each, site.everything(each)) for each in ("line", "chain")):
        changes: dict[tuple[object, ...], object] = {}
        for each in records:
            if each.op in ("c", "u", "d"):
                assert changes.setdefault((each.id, each.lsn), each.change) == each.change, table
