"""What a version table remembers beside its entries."""

from __future__ import annotations

import struct
from pathlib import Path

from streams.versions.entry import Entry, Epochs, Position, Token
from streams.versions.marks import Hold, Input, Log, Sweep, Takeover
from streams.versions.state import MARK, Move, PartitionState


def entry(offset: int, digest: bytes | None) -> Entry:
    """An entry written by the record at `offset`."""
    return Entry(Token(1, offset, 0), Position(1, offset * 10), 7, (7,), digest)


def test_mapping_and_key_schema_survive_a_restart(tmp_path: Path) -> None:
    """The ground the digests stand on is on disk with them."""
    state = PartitionState(tmp_path / "0", 0)
    state.mapping, state.key_schema = "abc", 21
    state.commit([Move(b"1", None, entry(0, b"d" * 16))], 0, 0)
    state.close()
    again = PartitionState(tmp_path / "0", 0)
    assert (again.mapping, again.key_schema) == ("abc", 21)
    again.close()


def test_mapping_and_key_schema_come_back_from_the_changelog(tmp_path: Path) -> None:
    """A worker that lost its folder still notices that the mapping was changed meanwhile."""
    state = PartitionState(tmp_path / "a", 0)
    state.mapping, state.key_schema = "abc", 21
    records = state.changelog([Move(b"1", None, entry(0, b"d" * 16))], 0)
    state.close()
    recovered = PartitionState(tmp_path / "b", 0)
    assert (recovered.mapping, recovered.key_schema) == ("", -1)
    recovered.recover(records, 3)
    assert (recovered.mapping, recovered.key_schema, recovered.input_offset) == ("abc", 21, 0)
    assert recovered.entry(b"1") == entry(0, b"d" * 16)
    recovered.close()


def test_an_ordered_sweep_survives_a_restart_and_the_loss_of_the_folder(tmp_path: Path) -> None:
    """A TRUNCATE's order is not forgotten before it is done."""
    state = PartitionState(tmp_path / "a", 0)
    state.sweep = state.sweep.with_order(1, 40)
    records = state.changelog([], 7)
    state.commit([], 7, 3, records=records)
    state.close()
    again, recovered = PartitionState(tmp_path / "a", 0), PartitionState(tmp_path / "b", 0)
    recovered.recover(records, 3)
    assert again.sweep == recovered.sweep == Sweep(1, 40, 1, 0)
    assert again.sweep.pending
    again.close()
    recovered.close()


def test_an_older_record_takes_no_sweep_back(tmp_path: Path) -> None:
    """A zombie's last words in the changelog come after those of its successor."""
    state = PartitionState(tmp_path / "0", 0)
    old = state.sweep.with_order(1, 40)._replace(done=1)
    new = old.with_order(1, 40)
    for sweep in (new, old):
        state.recover([(b"msweep", struct.pack(">qqq", *sweep[1:]))], 1)
    assert state.sweep == Sweep(1, 40, 2, 1)
    assert state.sweep.pending
    state.close()


def test_turnover_counts_rows_that_come_and_go_but_not_those_that_change(tmp_path: Path) -> None:
    """A count taken meanwhile may be off by that much, and no more."""
    state = PartitionState(tmp_path / "0", 0)
    first, second = entry(0, b"d" * 16), entry(1, b"e" * 16)
    before = state.turnover
    state.commit([Move(b"1", None, first)], 0, 0)
    state.commit([Move(b"1", first, second)], 1, 1)
    assert (state.live, state.turnover - before) == (1, 1)
    state.commit([Move(b"1", second, entry(2, None))], 2, 2)
    assert (state.live, state.turnover - before) == (0, 2)
    state.close()


def test_turnover_of_two_openings_is_never_taken_for_one(tmp_path: Path) -> None:
    """Three rows came, the worker was restarted, three rows went: that is not nothing."""
    state = PartitionState(tmp_path / "0", 0)
    state.commit([Move(b"%d" % n, None, entry(n, b"d" * 16)) for n in range(3)], 2, 0)
    before = state.turnover
    state.close()
    state = PartitionState(tmp_path / "0", 0)
    state.commit([Move(b"%d" % n, entry(n, b"d" * 16), entry(n + 3, None)) for n in range(3)], 5, 1)
    assert state.turnover - before > 6
    state.close()


def test_records_are_counted_to_the_log_that_was_ordered_from_its_floor_on(tmp_path: Path) -> None:
    """What is before the floor may be of the log before: it is counted to that one."""
    state = PartitionState(tmp_path / "0", 0)
    assert state.epochs(0) == Epochs(1, 1)
    state.log = state.log.followed(7, 40, 12)
    assert (state.epochs(39), state.epochs(40)) == (Epochs(1, 1), Epochs(1, 7))
    assert state.log.followed(7, 20, 12) == state.log.followed(6, 90, 12) == state.log
    assert (state.log.followed(9, 60, 12).at(59), state.log.followed(9, 60, 50).at(59)) == (1, 7)
    state.close()


def test_the_order_of_a_log_survives_a_restart_and_the_loss_of_the_folder(tmp_path: Path) -> None:
    """And no older record of the changelog takes it back."""
    state = PartitionState(tmp_path / "a", 0)
    older = state.changelog([], 0)
    state.log = Log(3, 20, 1)
    old = state.changelog([], 5)
    state.log = Log(4, 10, 3)
    records = state.changelog([], 7)
    state.commit([], 7, 3, records=records)
    state.close()
    again, recovered = PartitionState(tmp_path / "a", 0), PartitionState(tmp_path / "b", 0)
    recovered.recover([*records, *old, *older], 9)
    assert again.log == recovered.log == Log(4, 10, 3)
    again.close()
    recovered.close()


def test_the_input_offset_goes_back_with_a_new_life_of_the_topic_only(tmp_path: Path) -> None:
    """Whatever a zombie of the old topic says later: its offsets are smaller now. A sweep of then waits for nothing."""
    state = PartitionState(tmp_path / "a", 0)
    state.topic, state.sweep = "old", state.sweep.with_order(1, 50)
    state.commit([], 40, 0)
    zombie = state.changelog([], 90)
    state.begin_topic("new")
    assert (state.epoch, state.input_offset, state.topic) == (2, -1, "new")
    assert state.sweep.is_due(2, -1)
    records = state.changelog([], -1)
    state.commit([], -1, 3, records=records)
    state.commit([], 2, 5)
    state.close()
    again, recovered = PartitionState(tmp_path / "a", 0), PartitionState(tmp_path / "b", 0)
    recovered.recover([*zombie, *records, *zombie], 9)
    assert (again.epoch, again.input_offset, again.topic) == (2, 2, "new")
    assert (recovered.epoch, recovered.input_offset, recovered.topic) == (2, -1, "new")
    assert recovered.sweep == state.sweep
    again.close()
    recovered.close()


def test_an_entry_of_a_later_life_than_the_mark_tells_begins_another_one(tmp_path: Path) -> None:
    """The changelog has lost its end: records of the topic would pass for replays of what the entry has seen."""
    state = PartitionState(tmp_path / "0", 0)
    state.recover([(b"e1", entry(36, b"d" * 16)._replace(token=Token(2, 36, 0)).encode())], 0)
    assert (state.epoch, state.input_offset) == (2, -1)
    assert not state.is_of("any")
    state.recover([(b"minput", Input(2, 40, "this").encode())], 1)
    assert (state.input_offset, state.is_of("this"), state.is_of("other")) == (40, True, False)
    state.close()


def test_entries_without_a_mark_are_of_no_topic_that_is_known(tmp_path: Path) -> None:
    """Where the changelog has lost every mark: the topic may be another one by now. A state of before names none."""
    state = PartitionState(tmp_path / "0", 0)
    assert state.is_of("any")
    state.recover([(b"e1", entry(36, b"d" * 16).encode())], 0)
    assert not state.is_of("any")
    state.recover([(b"minput", struct.pack(">q", 40))], 1)
    assert state.is_of("any")
    state.close()


def test_an_input_offset_of_before_epochs_is_understood() -> None:
    """States and changelogs of earlier versions hold the bare number."""
    assert Input.decode(struct.pack(">q", 17)) == Input(1, 17, "")
    assert Input.decode(Input(3, 17, "id").encode()) == Input(3, 17, "id")


def test_a_takeover_survives_a_restart_and_the_loss_of_the_folder(tmp_path: Path) -> None:
    """A rebuild that was begun is ended, by whoever owns the partition then; an older record takes nothing back."""
    state = PartitionState(tmp_path / "a", 0)
    state.take_over(12, 700, 50)
    begun = state.changelog([], 11)
    state.commit([], 11, 3, records=begun)
    pending = state.takeover
    state.takeover = pending._replace(done=1)
    done = state.changelog([], 11)
    state.close()
    again, recovered = PartitionState(tmp_path / "a", 0), PartitionState(tmp_path / "b", 0)
    recovered.recover(begun, 3)
    assert again.takeover == recovered.takeover == pending == Takeover(1, 12, 1, 700, 50)
    assert (again.takeover.pending, again.input_offset, again.is_blank) == (True, 11, False)
    recovered.recover([*done, *begun], 9)
    assert not recovered.takeover.pending
    again.close()
    recovered.close()


def test_a_key_without_an_entry_is_gone_as_of_the_takeover(tmp_path: Path) -> None:
    """What had been known of it is lost; nothing is held against one of which nothing can have been sent."""
    state = PartitionState(tmp_path / "0", 0)
    assert (state.is_blank, state.unknown, state.known(b"1")) == (True, None, None)
    state.take_over(12, 700, 50)
    assert state.known(b"1") == Entry(Token(1, 11, 0), Position(1, 700), 0, (state.takeover.everything,), None)
    state.takeover = state.takeover._replace(done=1)
    assert state.known(b"1") == Entry(Token(1, 11, 0), Position(1, 700), 0, (), None)
    state.commit([Move(b"1", None, entry(20, None))], 20, 0)
    assert state.known(b"1") == entry(20, None)
    state.close()


def test_a_floor_counts_in_its_own_life_of_the_topic(tmp_path: Path) -> None:
    """A topic made anew has fewer records: a sweep of before would wait for them, and checks with it."""
    old = Sweep().with_order(1, 50)
    assert not old.is_due(1, 48)
    assert old.is_due(1, 49)
    assert old.is_due(2, -1)
    new = old.with_order(2, 3)
    assert not new.is_due(2, 1)
    assert new.is_due(2, 2)
    assert new.merged(old) == old.merged(new) == new


def test_a_hold_outlives_the_loss_of_the_folder_and_no_zombie_takes_it_or_its_end_back(tmp_path: Path) -> None:
    """Whoever recovers from the changelog waits, or goes on, as the last order said; a zombie's marks are older."""
    first = Hold().with_order("ada", "a migration")
    marks = [first, first.ended(), first.ended().with_order("bob", "another\none")]
    for newest in range(3):
        for zombie in range(newest + 1):
            state = PartitionState(tmp_path / f"{newest}.{zombie}", 0)
            state.recover([(MARK + b"hold", marks[each].encode()) for each in (newest, zombie)], 1)
            assert state.hold == marks[newest]
            state.close()


def test_a_hold_beside_another_one_names_both_and_one_that_comes_again_nothing_new() -> None:
    """A person's release would end what nobody has seen, such as the plan's own hold after a loss."""
    first = Hold().with_order("ada", "a migration")
    assert first.with_order("ada", "a migration") == first
    both = first.with_order("worker", "records are gone")
    assert (both.ordered, both.by, both.reason) == (2, "worker", "records are gone; and, by ada: a migration")
    for again in (("worker", "records are gone"), ("ada", "a migration")):
        assert both.with_order(*again) == both
    assert both.with_order("worker", "records").ordered == 3
    assert not both.ended().pending
    assert both.ended().with_order("bob", "another").reason == "another"


def test_what_persons_have_ordered_outlasts_what_processes_have_seen() -> None:
    """Each restart beside a loss saw it again: a person's reason was cut away by four of them."""
    hold = Hold().with_order("ada", "do not release before nine")
    for number in range(50):
        hold = hold.with_order("worker", f"{number} are gone" + "x" * 5_000)
    assert len(hold.said) == 8
    assert hold.said[0] == ("ada", "do not release before nine")
    assert max(len(why) for _, why in hold.said) == 500


def test_a_storm_is_known_to_whoever_goes_on(tmp_path: Path) -> None:
    """In the folder and in the changelog; the latest of several."""
    state = PartitionState(tmp_path / "0", 0)
    assert MARK + b"storm" not in dict(state.changelog([], 3))
    state.storm = 1_700_000_000_000
    records = state.changelog([], 3)
    state.commit([], 3, 0, records=records)
    state.close()
    opened = PartitionState(tmp_path / "0", 0)
    assert opened.storm == 1_700_000_000_000
    opened.storm += 5
    opened.recover([record for record in records if record[0] == MARK + b"storm"], 1)
    assert opened.storm == 1_700_000_000_005
    opened.close()
    elsewhere = PartitionState(tmp_path / "1", 0)
    elsewhere.recover(records, 1)
    assert elsewhere.storm == 1_700_000_000_000
    elsewhere.close()


def test_that_keys_are_only_counted_is_known_to_whoever_goes_on(tmp_path: Path) -> None:
    """In the folder and in the changelog; also that it is over. What came last counts, whoever tells it last."""
    state = PartitionState(tmp_path / "0", 0)
    assert MARK + b"flood" not in dict(state.changelog([], 3))
    state.flood = 1_700_000_000_000
    began = state.changelog([], 3)
    state.commit([], 3, 0, records=began)
    state.close()
    opened = PartitionState(tmp_path / "0", 0)
    assert opened.flood == 1_700_000_000_000
    opened.flood = -1_700_000_000_005
    ended = opened.changelog([], 3)
    opened.recover([record for record in began if record[0] == MARK + b"flood"], 1)
    assert opened.flood == -1_700_000_000_005
    opened.close()
    elsewhere = PartitionState(tmp_path / "1", 0)
    elsewhere.recover([*began, *ended], 1)
    assert elsewhere.flood == -1_700_000_000_005
    elsewhere.close()


def test_a_hold_is_in_every_write_of_the_state(tmp_path: Path) -> None:
    """In the folder and in the changelog."""
    state = PartitionState(tmp_path / "0", 0)
    assert MARK + b"hold" not in dict(state.changelog([], 3))
    state.hold = state.hold.with_order("ada", "a migration")
    records = state.changelog([], 3)
    state.commit([], 3, 0, records=records)
    state.close()
    opened = PartitionState(tmp_path / "0", 0)
    assert opened.hold == Hold(1, 0, (("ada", "a migration"),)) == Hold.decode(dict(records)[MARK + b"hold"] or b"")
    opened.close()
