"""What a SOT snapshot shows, from the 32 bits of a transaction id that Debezium gives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.changes.visibility import Looks, Snapshot
from streams.versions.entry import EVERYTHING_BEFORE

EPOCH = 1 << 32
CEILINGS = st.integers(EPOCH, 5 * EPOCH)


def test_a_snapshot_is_parsed_from_postgres_text() -> None:
    """`pg_current_snapshot()` gives xmin:xmax:xip_list."""
    assert Snapshot.parse("10:20:12,15") == Snapshot(10, 20, frozenset({12, 15}))
    assert Snapshot.parse("10:10:") == Snapshot(10, 10, frozenset())


@pytest.mark.parametrize("text", ["", "10:20", "a:b:c"])
def test_other_text_is_refused(text: str) -> None:
    """A misread snapshot would make reads count that do not."""
    with pytest.raises(ValueError, match=r"."):
        Snapshot.parse(text)


def test_ended_transactions_are_shown_running_and_later_ones_are_not() -> None:
    """Below the floor: ended. From the ceiling on: not begun. Between: unless it is listed as running."""
    snapshot = Snapshot.parse("10:20:12")
    shown = {txid: snapshot.shows(txid) for txid in (9, 10, 11, 12, 19, 20)}
    assert shown == {9: True, 10: True, 11: True, 12: False, 19: True, 20: False}


def test_everything_before_needs_the_floor_to_have_passed() -> None:
    """The bounded form of many transactions is stricter than each of them."""
    snapshot = Snapshot.parse("10:20:12")
    assert snapshot.shows(EVERYTHING_BEFORE | 9)
    assert not snapshot.shows(EVERYTHING_BEFORE | 11)


@given(CEILINGS, st.integers(-(EPOCH // 2) + 1, EPOCH // 2 - 1))
def test_the_lower_32_bits_mean_the_nearest_id(ceiling: int, distance: int) -> None:
    """An id seen within two billion transactions of the snapshot is told right on either side of a wrap-around."""
    wide = ceiling + distance
    snapshot = Snapshot(ceiling, ceiling, frozenset())
    assert snapshot.shows(wide % EPOCH) == (wide < ceiling)


@given(CEILINGS, st.integers(1, 1000))
def test_a_running_id_is_recognised_by_its_lower_bits(ceiling: int, back: int) -> None:
    """The list of running transactions has wide ids, the record has a narrow one."""
    running = ceiling - back
    assert not Snapshot(running, ceiling, frozenset({running})).shows(running % EPOCH)


LOST = 900_000  # an id of a cluster that is no more


def test_an_id_that_is_never_given_again_is_asked_for_until_all_of_the_first_look_is_over() -> None:
    """After a restore its change was committed, or is gone: each later transaction's end proves nothing of it."""
    looks = Looks()
    assert not looks.at(Snapshot(90, 100, frozenset({90}))).shows(LOST)
    assert not looks.at(Snapshot(90, 120, frozenset({90, 110}))).shows(LOST)
    assert looks.at(Snapshot(110, 130, frozenset({110}))).shows(LOST)


def test_a_transaction_that_waits_for_its_standby_is_not_settled_by_the_end_of_others() -> None:
    """Committed in the log and in progress for all others: no look counts while it is."""
    looks = Looks()
    for ceiling in (100, 200, 300):
        assert not looks.at(Snapshot(95, ceiling, frozenset({95}))).shows(95)
    assert looks.at(Snapshot(301, 301, frozenset())).shows(95)


def test_looking_begins_anew_when_ids_go_back() -> None:
    """A ceiling of the old cluster would never be passed in the new one."""
    looks = Looks()
    assert not looks.at(Snapshot(800_000, 800_000, frozenset())).shows(LOST)
    assert not looks.at(Snapshot(90, 100, frozenset({90}))).shows(LOST)
    assert looks.at(Snapshot(100, 101, frozenset())).shows(LOST)
