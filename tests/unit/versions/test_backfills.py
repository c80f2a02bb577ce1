"""Backfills that a partition was ordered: remembered across all losses, carried out in order, taken back by nobody."""

from __future__ import annotations

from pathlib import Path

from streams.versions.backfills import AFTER_ALL, KNOWN_MAX, Backfill, Backfills
from streams.versions.state import PartitionState


def ordered(*runs: str) -> Backfills:
    """After these orders."""
    backfills = Backfills()
    for run in runs:
        backfills = backfills.with_order(run, b"1", b"\xc3\xa9")
    return backfills


def further(backfills: Backfills, run: str, **more: object) -> Backfills:
    """After one of them has come further."""
    return backfills.changed(run, lambda now: now._replace(**more))  # type: ignore[arg-type]


def test_orders_wait_for_each_other_in_the_order_in_which_they_came() -> None:
    """One that comes again, as after a crash, changes nothing: not while it waits, nor when it is over."""
    backfills = ordered("a", "b", "a")
    assert [each.run for each in backfills.waiting] == ["a", "b"]
    backfills = further(backfills, "a", over=1)
    assert [each.run for each in backfills.with_order("a", b"", b"").waiting] == ["b"]


def test_only_the_last_ones_are_remembered() -> None:
    """A mark is in every record of the changelog."""
    backfills = ordered(*"abcdefghijkl")
    assert [each.run for each in backfills.known] == [*"abcdefghijkl"[-KNOWN_MAX:]]
    assert backfills.of("a") is None
    assert backfills.known[-1].number == 12


def test_an_order_outlives_a_restart_and_the_loss_of_the_folder(tmp_path: Path) -> None:
    """With how far it was."""
    state = PartitionState(tmp_path / "a", 0)
    state.backfills = further(ordered("a", "b"), "a", reached=b"5\x00", looked=7, written=2, why="é")
    records = state.changelog([], 7)
    state.commit([], 7, 3, records=records)
    state.close()
    again, recovered = PartitionState(tmp_path / "a", 0), PartitionState(tmp_path / "b", 0)
    recovered.recover(records, 3)
    first = Backfill(1, "a", b"1", b"\xc3\xa9", 0, b"5\x00", 7, 2, 0, 0, "é")
    assert again.backfills == recovered.backfills == Backfills((first, Backfill(2, "b", b"1", b"\xc3\xa9")))
    again.close()
    recovered.close()


def test_no_zombie_takes_an_order_its_end_or_its_way_back(tmp_path: Path) -> None:
    """Its records come after those of its successor, or before: what is known is the same."""
    zombies = further(ordered("a"), "a", reached=b"3", looked=3)
    owners = further(further(ordered("a", "b"), "a", over=1, reached=AFTER_ALL, looked=9), "b", looked=1)
    for words in ((owners, zombies), (zombies, owners)):
        state = PartitionState(tmp_path / f"{words[0] is owners}", 0)
        state.recover([(b"mbackfills", each.encode()) for each in words], 1)
        assert state.backfills == owners
        state.close()


def test_orders_of_two_that_thought_they_were_the_owner_are_both_carried_out() -> None:
    """Each knew of one that the other had not read yet."""
    one, other = ordered("a"), ordered("b")
    assert one.merged(other) == other.merged(one)
    assert {each.run for each in one.merged(other).waiting} == {"a", "b"}
