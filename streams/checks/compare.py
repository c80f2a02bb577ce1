"""What one key's three sides say: the SOT at a snapshot, the version table, the replica's content.

Both edges are exact (design, Validation). The SOT's snapshot lies between two fences, O1 and O2, so a differing entry
that was already there before O1 cannot be explained by changes on their way. The replica is read under the owner's
lock, so it must hold exactly what the entry says.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import NamedTuple

from streams.checks.others import Judgement
from streams.versions.entry import Entry, Token


class Verdict(StrEnum):
    """What is known of a key after one look."""

    verified = "verified"
    absent = "absent"  # gone from the store, which the plan allows; the version table has what the SOT has
    suspected = "suspected"
    undecided = "undecided"


class Content(NamedTuple):
    """What the replica holds for a key: the token beside the row, and the digest of the row (None: no live row)."""

    token: Token | None
    digest: bytes | None


NOTHING = Content(None, None)


class Finding(NamedTuple):
    """The verdict for one key; `kind` says how replica and SOT differ (design, Drift), "" when they do not.

    proven: it needs no second look that agrees, for it is two looks that say it.
    """

    verdict: Verdict
    kind: str = ""
    proven: bool = False


class OfOthers(NamedTuple):
    """What is thought of content that somebody else writes. known: digests the key is known to have had."""

    judgement: Judgement
    known: Collection[bytes | None] = ()


VERIFIED = Finding(Verdict.verified)
ABSENT = Finding(Verdict.absent)
UNDECIDED = Finding(Verdict.undecided)


def compare(
    sot: bytes | None,
    entry: Entry | None,
    content: Content,
    *,
    fenced: tuple[int, int],
    seen: Collection[bytes | None],
    absent_allowed: bool = False,
    others: OfOthers | None = None,
) -> Finding:
    """What is to be thought of a key.

    sot: digest of the SOT's row at the snapshot, None for no row. fenced: (epoch, O1). seen: digests this key had
    between the fences, as far as it was watched; among them those that were reduced away. absent_allowed: the store may
    lose what was written, so that only what is there must be right. others: where somebody else writes the content, and
    its owner has left nothing there.
    """
    expected = expected_of(entry)
    # Only a change since O1 explains that the SOT was read before it.
    newer = entry is not None and entry.token.record >= fenced
    right = compare_store(entry, content, absent_allowed=absent_allowed)
    if right.verdict is Verdict.suspected:
        # Whatever the SOT says: the replica is not what its owner left there.
        right = _unlike(expected if newer else sot, entry, content, others)
        if right is not VERIFIED:
            return right
    if expected == sot:
        return right
    if newer:
        # What the key was before that explains nothing.
        return right if sot in seen else UNDECIDED
    return Finding(Verdict.suspected, kind_of(sot, entry, content))


def expected_of(entry: Entry | None) -> bytes | None:
    """The digest of what the replica must hold for a key; None where it must hold nothing."""
    return entry.digest if entry is not None else None


def compare_store(entry: Entry | None, content: Content, *, absent_allowed: bool = False) -> Finding:
    """Whether the replica holds what its owner left there. Says nothing of the SOT.

    absent_allowed: as of `compare`.
    """
    expected = expected_of(entry)
    if content.digest == expected:
        return VERIFIED
    if absent_allowed and content.digest is None and entry is not None and not entry.refused:
        return ABSENT
    return Finding(Verdict.suspected, kind_of(expected, entry, content))


def kind_of(wanted: bytes | None, entry: Entry | None, content: Content) -> str:
    """How the replica's content differs from the wanted digest."""
    if entry is not None and entry.refused and content.digest != entry.digest:
        # Nobody has written behind our back: the store never took what its owner wanted to leave there.
        return "unapplied"
    if content.digest is None:
        return "missing"
    if wanted is None:
        return "orphan"
    if entry is not None and content.token is not None and content.token < entry.token:
        return "stale"
    # Our token, or one that is not ours, over content that is not ours: a rogue write, truncation, lost precision.
    return "mismatch" if entry is None or content.digest != entry.digest else "stale"


def _unlike(wanted: bytes | None, entry: Entry | None, content: Content, others: OfOthers | None) -> Finding:
    """What content is that is not its entry's."""
    if others is None:
        return Finding(Verdict.suspected, kind_of(wanted, entry, content))
    match others.judgement:
        case Judgement.right:
            return VERIFIED
        case Judgement.open:
            return UNDECIDED
        case Judgement.wrong:
            return Finding(Verdict.suspected, kind_of_others(wanted, content, others.known), proven=True)


def kind_of_others(wanted: bytes | None, content: Content, known: Collection[bytes | None]) -> str:
    """Somebody else's rows carry no token that would say how old they are."""
    if content.digest is None:
        return "missing"
    if wanted is None:
        return "orphan"
    return "stale" if content.digest in known else "mismatch"
