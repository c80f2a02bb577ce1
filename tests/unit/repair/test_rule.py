"""The rule for repairing one key (design, Ordering 10 and 12)."""

from __future__ import annotations

import pytest

from streams.changes.visibility import Snapshot
from streams.repair.rule import counts, is_due, is_foreign, repaired
from streams.versions.entry import Entry, Token

ROW, DIGEST = ("1", "a"), b"d" * 16


def entry(offset: int, refresh: int = 0, unproven: tuple[int, ...] = ()) -> Entry:
    return Entry(Token(1, offset, refresh), None, 0, unproven, DIGEST)


def test_a_repair_is_the_next_refresh_of_what_is_there() -> None:
    """Of the entry's token, or of the store's where that is a later refresh of the same record."""
    assert repaired(entry(5), Token(1, 5, 3), ROW, DIGEST, fenced_end=-1, epoch=1).entry.token == Token(1, 5, 4)
    assert repaired(entry(5), None, ROW, DIGEST, fenced_end=-1, epoch=1).entry.token == Token(1, 5, 1)


def test_what_is_repaired_is_no_longer_refused() -> None:
    """The store has taken it."""
    refused = entry(5)._replace(refused=True)
    assert not repaired(refused, Token(1, 4, 0), ROW, DIGEST, fenced_end=-1, epoch=1).entry.refused


def test_a_stored_token_within_the_fence_is_followed() -> None:
    """It may be a zombie's, and then it is of a record that has been applied here."""
    fix = repaired(entry(5), Token(1, 7, 2), ROW, DIGEST, fenced_end=8, epoch=1)
    assert (fix.entry.token, fix.overrule) == (Token(1, 7, 3), None)


def test_an_overrule_outbids_whatever_the_fence_has_passed() -> None:
    """Else an entry that a zombie left in the changelog would win at the next recovery."""
    for stored in (Token(1, 8, 0), Token(1, 9, 0), Token(2, 0, 0)):
        fix = repaired(None, stored, ROW, DIGEST, fenced_end=8, epoch=1)
        assert (fix.entry.token, fix.overrule) == (Token(1, 7, 1), stored)


def test_a_read_counts_if_it_shows_every_unproven_transaction() -> None:
    """As for questions (Ordering 8)."""
    assert not counts(entry(5, unproven=(7,)), Snapshot(5, 9, frozenset({7})))
    assert counts(entry(5, unproven=(7,)), Snapshot(5, 9, frozenset()))
    assert counts(None, Snapshot(0, 0, frozenset()))


def test_another_refresh_of_our_record_is_not_foreign() -> None:
    """Only a larger token of another record is."""
    assert not is_foreign(entry(5), Token(1, 5, 9))
    assert not is_foreign(entry(5), Token(1, 4, 0))
    assert is_foreign(entry(5), Token(1, 6, 0))
    assert is_foreign(None, Token(1, 0, 0))


def test_an_overrule_in_an_empty_topic_stays_below_its_first_record() -> None:
    """Else the first record would be taken for a replay."""
    fix = repaired(None, Token(5, 0, 0), ROW, DIGEST, fenced_end=0, epoch=2)
    assert Token(1, 10**12, 0) < fix.entry.token < Token(2, 0, 0)
    assert Token.decode(fix.entry.token.encode()) == fix.entry.token


def test_a_token_is_never_replaced_by_itself() -> None:
    """An earlier life of this owner overruled in the empty topic, and its state and changelog are lost."""
    before = repaired(None, Token(7, 0, 0), ROW, DIGEST, fenced_end=0, epoch=2).entry.token
    again = repaired(None, before, ROW, DIGEST, fenced_end=0, epoch=2).entry.token
    assert before < again < Token(2, 0, 0)


def test_a_token_of_the_topic_that_was_before_is_overruled_behind_the_fence() -> None:
    """A zombie of the old topic wrote it: what the new one has delivered since is newer."""
    fix = repaired(entry(5), Token(1, 900, 0), ROW, DIGEST, fenced_end=8, epoch=2)
    assert (fix.entry.token, fix.overrule) == (Token(2, 7, 1), Token(1, 900, 0))


LAST = (1 << 32) - 1


@pytest.mark.parametrize("offset", [5, 8, 11])
def test_a_token_without_a_next_one_is_not_ours_and_is_overruled(offset: int) -> None:
    """Of our own record, of the fence's last one, or between: so often nobody has read. It must end no worker."""
    entry = Entry(Token(1, 5, 0), None, 0, (), b"d" * 16)
    stored = Token(1, offset, LAST)
    fixed = repaired(entry, stored, None, None, fenced_end=12, epoch=1)
    assert fixed.overrule == stored
    assert not fixed.entry.token.is_last
    assert fixed.entry.token != stored
    assert len(fixed.entry.token.encode()) == 16


OTHER = b"e" * 16


@pytest.mark.parametrize(
    ("content", "wanted", "before", "due"),
    [
        (DIGEST, DIGEST, Token(1, 5, 0), False),  # right
        (OTHER, DIGEST, Token(1, 5, 0), True),  # the store is not as it was left
        (None, DIGEST, Token(1, 4, 0), True),  # nor then, whatever has come
        (DIGEST, OTHER, Token(1, 5, 0), True),  # a change was lost: the fence has brought none
        (DIGEST, None, Token(1, 5, 0), True),  # or a delete
        (DIGEST, OTHER, Token(1, 4, 0), False),  # the fence has brought one; a later one will come as well
    ],
)
def test_a_backfill_writes_what_no_change_will_make_right(
    content: bytes | None, wanted: bytes | None, before: Token, due: bool
) -> None:
    """And nothing else: a right replica is left alone, and what is on its way is the stream's."""
    assert is_due(entry(5), Token(1, 5, 0), content, wanted, before) is due


def test_a_backfill_writes_over_a_token_that_is_not_ours() -> None:
    """Whatever its row: the next change would be refused."""
    assert is_due(entry(5), Token(1, 9, 0), DIGEST, DIGEST, Token(1, 5, 0))
