"""What the store's answer means for the entry (design, Ordering 2, 11, 12)."""

from __future__ import annotations

from streams.changes.order import Ask, Store
from streams.replicas.base import Outcome, Result
from streams.replicas.settle import Settled, Suspicion, Unapplied, settle
from streams.versions.entry import Entry, Token

ENTRY = Entry(Token(1, 5, 0), None, 0, (), b"d" * 16)
STORE = Store(ENTRY, ("1", "a"), b"1\ta")


def test_what_is_in_the_store_is_settled() -> None:
    """Written now, or before."""
    for outcome in (Outcome.applied, Outcome.duplicate):
        assert settle(STORE, Result(outcome, Token(1, 5, 0))) == Settled(ENTRY)


def test_a_conflict_is_asked_again_under_the_next_refresh() -> None:
    """Ordering 2: equal token, other content."""
    assert settle(STORE, Result(Outcome.conflict, Token(1, 5, 0))) == Ask(ENTRY, Token(1, 5, 1), None)


def test_stale_by_a_refresh_is_asked_above_it() -> None:
    """Ordering 11."""
    assert settle(STORE, Result(Outcome.stale, Token(1, 5, 3))) == Ask(ENTRY, Token(1, 5, 4), None)


def test_stale_by_a_record_is_a_suspicion() -> None:
    """Ordering 12: we may be the zombie."""
    assert settle(STORE, Result(Outcome.stale, Token(1, 6, 0))) == Suspicion(ENTRY, Token(1, 6, 0))


def test_what_is_refused_stays_what_the_replica_must_hold() -> None:
    """So that checks go on naming the difference, and know that nobody else made it."""
    refused = ENTRY._replace(refused=True)
    assert settle(STORE, Result(Outcome.refused, None, "too long")) == Unapplied(refused, "too long")


def test_a_token_without_a_next_one_is_a_suspicion_also_of_our_own_record() -> None:
    """Nobody has read so often: it is somebody's else, and cannot be followed."""
    stored = Token(STORE.entry.token.epoch, STORE.entry.token.offset, (1 << 32) - 1)
    assert settle(STORE, Result(Outcome.stale, stored)) == Suspicion(STORE.entry, stored)
