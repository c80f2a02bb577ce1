"""One key's three sides (design, Validation)."""

from __future__ import annotations

import pytest

from streams.checks.compare import (
    ABSENT,
    NOTHING,
    UNDECIDED,
    VERIFIED,
    Content,
    Finding,
    OfOthers,
    Verdict,
    compare,
)
from streams.checks.others import Judgement
from streams.versions.entry import NO_TOKEN, Entry, Token

A, B = b"a" * 16, b"b" * 16
TOKEN = Token(1, 5, 0)


def entry(digest: bytes | None = A) -> Entry:
    return Entry(TOKEN, None, 0, (), digest)


def suspected(kind: str) -> Finding:
    return Finding(Verdict.suspected, kind)


def test_equal_on_three_sides_is_verified() -> None:
    """Also where no side has a row."""
    assert compare(A, entry(), Content(TOKEN, A), fenced=(1, 9), seen=()) == VERIFIED
    assert compare(None, entry(None), Content(TOKEN, None), fenced=(1, 9), seen=()) == VERIFIED
    assert compare(None, None, NOTHING, fenced=(1, 9), seen=()) == VERIFIED


def test_an_entry_that_moved_after_the_fence_is_undecided() -> None:
    """The SOT's read may be older; before the fence it cannot be explained so."""
    assert compare(B, entry(), Content(TOKEN, A), fenced=(1, 5), seen=()) == UNDECIDED
    assert compare(B, entry(), Content(TOKEN, A), fenced=(1, 6), seen=()) == suspected("stale")


def test_a_digest_the_key_has_had_is_verified() -> None:
    """The stream has delivered it, whatever came after."""
    assert compare(B, entry(), Content(TOKEN, A), fenced=(1, 5), seen={B}) == VERIFIED


def test_a_digest_from_before_explains_nothing_where_the_entry_has_not_moved() -> None:
    """A commit that a failover took back: the SOT has again what the key had under an earlier watch."""
    assert compare(B, entry(), Content(TOKEN, A), fenced=(1, 6), seen={A, B}) == suspected("stale")


@pytest.mark.parametrize(
    ("content", "kind"),
    [(NOTHING, "missing"), (Content(TOKEN, B), "mismatch"), (Content(Token(1, 4, 0), B), "stale")],
)
def test_content_that_is_not_the_entrys_is_suspected_whatever_the_sot_says(content: Content, kind: str) -> None:
    """A stored digest proves nothing about content."""
    assert compare(A, entry(), content, fenced=(1, 0), seen={A, B}) == suspected(kind)


def test_where_the_plan_allows_it_a_row_that_is_gone_is_no_drift() -> None:
    """Evicted with its token or without it, or expired: looked at, and not called verified."""
    for content in (NOTHING, Content(TOKEN, None)):
        assert compare(A, entry(), content, fenced=(1, 9), seen=(), absent_allowed=True) == ABSENT
        assert compare(B, entry(), content, fenced=(1, 5), seen={B}, absent_allowed=True) == ABSENT
        assert compare(A, entry(), content, fenced=(1, 9), seen=()) == suspected("missing")


@pytest.mark.parametrize(
    ("sot", "known", "content", "kind"),
    [
        (A, entry(), Content(TOKEN, B), "mismatch"),  # what is there must be right
        (A, entry(), Content(Token(1, 4, 0), B), "stale"),
        (None, entry(None), Content(None, A), "orphan"),  # and what was deleted must not be
        (B, entry(), NOTHING, "missing"),  # a change never came through: gone or not, that is no eviction
        (A, None, NOTHING, "missing"),
        (A, entry()._replace(refused=True), NOTHING, "unapplied"),
    ],
)
def test_allowed_to_be_gone_is_not_allowed_to_be_wrong(
    sot: bytes | None, known: Entry | None, content: Content, kind: str
) -> None:
    """Everything else stays drift."""
    assert compare(sot, known, content, fenced=(1, 9), seen=(), absent_allowed=True) == suspected(kind)
    assert compare(sot, known, content, fenced=(1, 9), seen=()) == suspected(kind)


def test_a_deleted_row_that_is_gone_is_verified() -> None:
    """Nothing else was to be expected of it."""
    assert compare(None, entry(None), NOTHING, fenced=(1, 9), seen=(), absent_allowed=True) == VERIFIED


@pytest.mark.parametrize("content", [NOTHING, Content(TOKEN, B), Content(Token(1, 4, 0), B)])
def test_what_the_store_refused_is_unapplied(content: Content) -> None:
    """Nobody wrote or removed anything: the store never took the row. One that is there after all is right."""
    refused = entry()._replace(refused=True)
    assert compare(A, refused, content, fenced=(1, 9), seen=()) == suspected("unapplied")
    assert compare(A, refused, Content(None, A), fenced=(1, 9), seen=()) == VERIFIED


def test_what_the_source_has_is_no_orphan() -> None:
    """An owner that has not settled yet what it found there, or was told of a delete that is over, knows of no row."""
    left = Token(1, 40, 0)
    for known in (None, entry(None), entry(None)._replace(token=NO_TOKEN)):
        assert compare(A, known, Content(left, B), fenced=(1, 9), seen=()) == suspected("mismatch")
    # A delete since the fence is what the source's row was read before.
    assert compare(A, entry(None), Content(left, B), fenced=(1, 5), seen=()) == suspected("orphan")


def test_a_row_that_must_not_be_there_is_an_orphan() -> None:
    """For the version table, or for the SOT alone."""
    assert compare(None, None, Content(None, A), fenced=(1, 9), seen=()) == suspected("orphan")
    assert compare(None, entry(), Content(TOKEN, A), fenced=(1, 9), seen=()) == suspected("orphan")


def of(judgement: Judgement, *known: bytes) -> OfOthers:
    return OfOthers(judgement, known)


def test_content_that_somebody_else_writes_is_judged_over_time() -> None:
    """One look that differs says nothing; what is right leaves the other edge, from the source to the version table."""
    foreign = Content(None, B)
    assert compare(A, entry(), foreign, fenced=(1, 9), seen=(), others=of(Judgement.open)) == UNDECIDED
    assert compare(A, entry(), foreign, fenced=(1, 9), seen=(), others=of(Judgement.right)) == VERIFIED
    missed = compare(B, entry(), foreign, fenced=(1, 9), seen=(), others=of(Judgement.right))
    assert (missed.verdict, missed.proven) == (Verdict.suspected, False)


@pytest.mark.parametrize(
    ("sot", "content", "known", "kind"),
    [
        (A, Content(None, None), (), "missing"),
        (A, Content(None, B), (), "mismatch"),
        (A, Content(None, B), (B,), "stale"),
        (None, Content(None, B), (B,), "orphan"),
    ],
)
def test_what_is_proven_wrong_needs_no_second_look(
    sot: bytes | None, content: Content, known: tuple[bytes, ...], kind: str
) -> None:
    """It is named by what the key was known to have: somebody else's rows have no token."""
    found = compare(sot, entry(sot), content, fenced=(1, 9), seen=(), others=of(Judgement.wrong, *known))
    assert found == Finding(Verdict.suspected, kind, proven=True)


def test_a_cache_need_not_have_what_it_must_not_have_wrong() -> None:
    """Absent is fine whatever was thought of it."""
    cache = {"fenced": (1, 9), "seen": (), "absent_allowed": True}
    assert compare(A, entry(), NOTHING, others=of(Judgement.right), **cache) == ABSENT  # type: ignore[arg-type]
    assert compare(None, entry(None), NOTHING, others=of(Judgement.right), **cache) == VERIFIED  # type: ignore[arg-type]
