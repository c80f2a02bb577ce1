"""Why a key is in drift, where it can be told, and what that rests on (design, Drift). Pure.

What is told here is what the sides show. Where they show the same for several causes, the cause names them all, or the
weaker one, and the evidence says what was seen. No evidence has a value of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

from streams.plan.types import KIND_OF, Kind
from streams.rows.canonical import Row

UNKNOWN = "unknown"
ROGUE_WRITE = "rogue write"
ROGUE_DELETE = "rogue delete"
MISSED_CHANGE = "missed change"
FAILOVER = "failover rollback"
LOST_IN_STORE = "rogue delete, eviction or expiry"
REFUSED = "refused by store"
FOREIGN = "foreign token"
OTHER_WRITER = "other writer"
TRUNCATED = "truncated value"
PRECISION = "precision lost"

# Stores that may forget a row by themselves: by eviction, or by an expiry that somebody has set.
FORGETFUL: Final = frozenset({"redis"})
# How far a `real` may be off the number it was made of, generously.
FLOAT_OFF: Final = Decimal("1e-6")


class Cause(NamedTuple):
    """The cause, and in one sentence what was seen of it."""

    cause: str
    evidence: str


class Sides(NamedTuple):
    """A key in drift, as two looks have seen it.

    kind: how it differs. entry_is_right: whether the version table has what the source has. wanted, stored: tokens of
    the version table and of the store, as bytes. row, held: the source's mapped row and the store's, with the types of
    their columns, named as in the replica. store: the replica's kind. same: the content is what it must be.
    others_write: what the replica holds is somebody else's by right, and theirs to explain.
    """

    kind: str
    entry_is_right: bool
    wanted: bytes | None
    stored: bytes | None
    row: Row | None
    held: Row | None
    columns: Sequence[str]
    types: Sequence[str]
    store: str = ""
    same: bool = False
    others_write: bool = False

    @property
    def differing(self) -> tuple[str, ...]:
        """Names of the columns that differ, where both rows are there."""
        return tuple(self.columns[at] for at in self.places)

    @property
    def places(self) -> list[int]:
        """Where they differ."""
        if self.row is None or self.held is None:
            return []
        return [at for at, (a, b) in enumerate(zip(self.row, self.held, strict=False)) if a != b]


def explain(sides: Sides) -> Cause:
    """Why, from what the sides show.

    Where the version table agrees with the source, the stream has delivered and the store was written, unless it
    refused: what differs now was changed behind our back. Where it does not, a change never came through.
    """
    if not sides.entry_is_right:
        return Cause(MISSED_CHANGE, "the version table does not have what the source has: a change never came through")
    if sides.kind == "unapplied":
        return Cause(REFUSED, "the store refused what was written last, and has not taken any since")
    if sides.others_write:
        return Cause(OTHER_WRITER, "somebody else writes this table, and has not brought it to what the source has")
    if sides.same:
        return Cause(FOREIGN, "the row is right, and beside it is a token that no write of ours would get past")
    return _of_token(sides) or (_of_missing(sides) if sides.held is None else _of_content(sides))


def _of_token(sides: Sides) -> Cause | None:
    """What the token beside the row tells, unless it is that of the last write, or there is none."""
    if sides.stored is None or sides.stored == sides.wanted:
        return None
    if sides.wanted is not None and sides.stored < sides.wanted:
        return Cause(
            FAILOVER,
            "the store has an older token than that of the last write, which it had acknowledged: it has taken writes "
            "back, or somebody has put back an older row with its token",
        )
    return Cause(FOREIGN, "the store has a token that its owner does not know, newer than that of the last write")


def _of_missing(sides: Sides) -> Cause:
    left = "the token of the last write is still there" if sides.stored is not None else "its token is gone, too"
    if sides.store in FORGETFUL:
        return Cause(
            LOST_IN_STORE,
            f"the row is gone, and {left}: the store does not tell whether it was evicted, has expired or was deleted",
        )
    return Cause(ROGUE_DELETE, f"the row is gone, and {left}: this store forgets no row by itself")


def _of_content(sides: Sides) -> Cause:
    if sides.stored is None:
        return Cause(ROGUE_WRITE, "the row has no token: nobody of ours wrote it as it is")
    if sides.row is None:
        return Cause(ROGUE_WRITE, "a row is there beside the token of its delete: somebody has put it back")
    names = ", ".join(sides.differing)
    if names and all(_is_less_precise(sides, at) for at in sides.places):
        return Cause(PRECISION, f"the store has fewer digits of the same value in {names}")
    if names and all(_is_cut(sides, at) for at in sides.places):
        return Cause(TRUNCATED, f"the store has only the beginning of the value in {names}")
    what = f"other content in {names}" if names else "other content"
    return Cause(ROGUE_WRITE, f"{what} beside the token of the last write, which it was not written with")


def _is_cut(sides: Sides, at: int) -> bool:
    whole, kept = _values(sides, at)
    is_text = KIND_OF.get(sides.types[at], Kind.text) is Kind.text
    return is_text and whole is not None and kept is not None and len(kept) < len(whole) and whole.startswith(kept)


def _is_less_precise(sides: Sides, at: int) -> bool:
    whole, kept = _values(sides, at)
    if whole is None or kept is None:
        return False
    kind = KIND_OF.get(sides.types[at])
    if kind is Kind.time:
        return _seconds_cut(whole, kept)
    return kind in (Kind.numeric, Kind.float) and _is_rounded(whole, kept)


def _values(sides: Sides, at: int) -> tuple[str | None, str | None]:
    assert sides.row is not None
    assert sides.held is not None
    return sides.row[at], sides.held[at]


def _is_rounded(whole: str, kept: str) -> bool:
    """Whether a number is the other one with fewer digits: behind the point, or as a `real` keeps them."""
    try:
        a, b = Decimal(whole), Decimal(kept)
    except InvalidOperation:
        return False
    if not (a.is_finite() and b.is_finite()):
        return False
    off, scale, less = (
        abs(a - b),
        _scale(b),
        len(b.normalize().as_tuple().digits) < len(a.normalize().as_tuple().digits),
    )
    return (scale < _scale(a) and off < Decimal(1).scaleb(-scale)) or (less and off <= abs(a) * FLOAT_OFF)


def _scale(number: Decimal) -> int:
    """Digits behind the point."""
    exponent = number.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def _seconds_cut(whole: str, kept: str) -> bool:
    """Whether a moment is the other one with fewer digits of a second; the zone, where there is one, is the same."""
    (head, digits, zone), (kept_head, kept_digits, kept_zone) = _seconds(whole), _seconds(kept)
    return (head, zone) == (kept_head, kept_zone) and len(kept_digits) < len(digits) and digits.startswith(kept_digits)


def _seconds(text: str) -> tuple[str, str, str]:
    """What is before the point, the digits of a second, and what follows them."""
    head, _, rest = text.partition(".")
    if not rest:
        at = next((at for at, sign in enumerate(text[10:], 10) if sign in "+-"), len(text))
        return text[:at], "", text[at:]
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return head, digits, rest[len(digits) :]
