"""What the store's answer to a guarded write means for the entry (design, Ordering 2, 11, 12)."""

from __future__ import annotations

from typing import NamedTuple

from streams.changes.order import Ask, Store
from streams.replicas.base import Outcome, Result
from streams.versions.entry import Entry, Token


class Settled(NamedTuple):
    """The store holds the row; the entry may be kept."""

    entry: Entry


class Unapplied(NamedTuple):
    """The store cannot hold this row. The entry says what it must hold and that it was refused: checks name both."""

    entry: Entry
    reason: str


class Suspicion(NamedTuple):
    """The store holds a token that is larger than ours and not of our record, or none of anybody's: perhaps we are the
    zombie.

    Nothing is done until a fence is passed and ownership is proven (Ordering 12).
    """

    entry: Entry
    stored: Token


def settle(store: Store, result: Result) -> Settled | Unapplied | Suspicion | Ask:
    """What follows from the guard's answer; an `Ask` is another SOT read under a larger refresh."""
    if result.outcome in (Outcome.applied, Outcome.duplicate):
        return Settled(store.entry)
    if result.outcome is Outcome.refused:
        return Unapplied(store.entry._replace(refused=True), result.reason)
    stored = result.stored or store.entry.token
    if stored.record == store.entry.token.record and not stored.is_last:
        return Ask(store.entry, stored.refreshed(), store.entry.position)
    return Suspicion(store.entry, stored)
