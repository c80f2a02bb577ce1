"""The rule for repairing one key (design, Ordering 10 and 12). Pure: the owner reads and writes."""

from __future__ import annotations

from typing import NamedTuple

from streams.changes.visibility import Snapshot
from streams.rows.canonical import Row
from streams.versions.entry import NO_TOKEN, Entry, Token

# Above every record of an epoch, and below the first one of the next.
_OFFSET_MAX = (1 << 64) - 1


class Repaired(NamedTuple):
    """What a repair writes: the entry to keep, and the row (None: a tombstone) under its token.

    overrule: the stored token that this write replaces by compare-and-set, although it is larger; None where the
    guard's own order lets the write through.
    """

    entry: Entry
    row: Row | None
    overrule: Token | None = None


def counts(entry: Entry | None, snapshot: Snapshot) -> bool:
    """Whether a SOT read made in `snapshot` may be used: it must see every transaction that was seen for the key."""
    return entry is None or all(snapshot.shows(txid) for txid in entry.unproven)


def is_foreign(entry: Entry | None, stored: Token | None) -> bool:
    """Whether the store holds a token this owner has not written: larger, and of another record."""
    known = entry.token if entry is not None else NO_TOKEN
    return stored is not None and stored > known and stored.record != known.record


def is_due(
    entry: Entry | None, stored: Token | None, content: bytes | None, wanted: bytes | None, before: Token | None
) -> bool:
    """Whether a backfill writes this key: it is not as the SOT has it, and no change is on its way that makes it so.

    content: digest of the store's row. wanted: of the SOT's. before: the entry's token, before a fence was passed, and
    the SOT was read before that: an entry that has moved since is as new as that read, or newer.
    """
    expected = entry.digest if entry is not None else None
    if content != expected or is_foreign(entry, stored):
        return True
    return wanted != expected and token_of(entry) == before


def token_of(entry: Entry | None) -> Token | None:
    """The entry's token; None without one."""
    return entry.token if entry is not None else None


def repaired(
    entry: Entry | None, stored: Token | None, row: Row | None, digest: bytes | None, *, fenced_end: int, epoch: int
) -> Repaired:
    """What to write for a key whose valid SOT read gave `row`.

    fenced_end: end offset of the partition that a fence has passed. A stored token within it may be a zombie's: it is
    followed. Only one that cannot be ours is overruled.
    """
    known = entry or Entry(NO_TOKEN, None, 0, (), None)
    if not is_foreign(entry, stored):
        latest = max(known.token, stored or NO_TOKEN)
        if latest.is_last:
            return Repaired(_entry(known, known.token.refreshed(), digest), row, overrule=latest)
        return Repaired(_entry(known, latest.refreshed(), digest), row)
    assert stored is not None
    if stored.epoch == epoch and stored.offset < fenced_end and not stored.is_last:
        return Repaired(_entry(known, stored.refreshed(), digest), row)
    # Everything before the fence has been applied or suspected here: the read is newer than all of it, and so must its
    # token be. A smaller one would lose, at the next recovery, to what a zombie has left in the changelog.
    end = Token(epoch, fenced_end - 1, 0) if fenced_end > 0 else Token(epoch - 1, _OFFSET_MAX, 0)
    # A token that is of that record was left by a repair whose entry is lost: the same token would have two contents.
    left = stored if stored.record == end.record and not stored.is_last else NO_TOKEN
    passed = max(known.token, end, left)
    return Repaired(_entry(known, passed.refreshed(), digest), row, overrule=stored)


def _entry(known: Entry, token: Token, digest: bytes | None) -> Entry:
    # The read showed every transaction seen so far.
    return known._replace(token=token, unproven=(), digest=digest, refused=False)
