"""Whether the source of truth goes on from what it was."""

from __future__ import annotations

import pytest

from streams.drift.cause import FAILOVER, MISSED_CHANGE
from streams.drift.continuity import Break, Part, Source, broken, thinned

BEFORE = Source("7400", 3, 5000, slot=True, published={"public.a": 1, "public.b": 2}, parts={})


@pytest.mark.parametrize(
    "now",
    [BEFORE, BEFORE._replace(lsn=9000), BEFORE._replace(slot=True, lsn=5001)],
)
def test_a_log_that_goes_on_is_no_break(now: Source) -> None:
    """Also one that nobody has written to."""
    assert broken(BEFORE, now) is None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"system": "7401"}, "another cluster"),
        ({"timeline": 4, "lsn": 9000}, "timeline 4"),
        ({"lsn": 4999}, "0/1387, and had reached 0/1388"),
    ],
)
def test_another_log_is_told_by_cluster_timeline_and_end(change: dict[str, object], word: str) -> None:
    """A restore of a disk's image keeps cluster and timeline: only its end shows it."""
    found = broken(BEFORE, BEFORE._replace(**change))  # type: ignore[arg-type]
    assert found is not None
    assert (found.cause, found.new_log) == (FAILOVER, True)
    assert word in found.reason


def test_a_slot_that_is_gone_is_a_break_once() -> None:
    """Changes may be missing, in the same log; that it is still gone is no news, nor is a new one."""
    gone = BEFORE._replace(slot=False)
    found = broken(BEFORE, gone)
    assert found is not None
    assert (found.cause, found.new_log) == (MISSED_CHANGE, False)
    assert broken(gone, gone) is broken(gone, BEFORE) is None


def test_a_slot_that_is_gone_is_told_of_all_tables_whatever_else_has_happened() -> None:
    """A table that left the publication in the same look is one of many of which changes may be missing."""
    parts = {"public.b": {"12": ATTACHED}}
    found = broken(DIVIDED, DIVIDED._replace(slot=False, published={"public.b": 2}, parts=parts))
    assert found is not None
    assert found.tables is None
    assert "slot" in found.reason


@pytest.mark.parametrize(
    ("published", "lost"),
    [
        ({"public.a": 1}, ("public.b",)),
        ({"public.a": 1, "public.b": 3}, ("public.b",)),
        ({}, ("public.a", "public.b")),
    ],
    ids=["left", "made anew", "none"],
)
def test_tables_that_leave_the_publication_or_are_made_anew_are_lost(
    published: dict[str, int], lost: tuple[str, ...]
) -> None:
    """Those alone, once; that they come, or come back, is no loss, nor is anything where nothing reads on."""
    now = BEFORE._replace(published=published)
    found = broken(BEFORE, now)
    assert found is not None
    assert (found.cause, found.new_log, found.tables) == (MISSED_CHANGE, False, lost)
    assert broken(now, now) is None
    assert broken(now._replace(published={}), BEFORE) is None
    assert broken(BEFORE._replace(slot=False), now) is None


ONE, TWO = Part("700", "16400", born=True, logged=True), Part("701", "16500", born=True, logged=True)
DIVIDED = BEFORE._replace(parts={"public.a": {"10": ONE}, "public.b": {}})
ATTACHED = Part("702", "16600", born=False, logged=True)


@pytest.mark.parametrize(
    ("parts", "brought", "fewer"),
    [
        ({"10": ONE}, False, False),
        ({"10": ONE, "11": TWO}, False, False),
        ({"10": ONE, "12": ATTACHED}, True, False),
        ({"10": ONE._replace(since="703", born=False)}, True, True),
        ({"10": ONE._replace(file="16401")}, False, True),
        ({}, False, True),
        ({"11": TWO}, False, True),
    ],
    ids=["same", "created", "attached", "detached and attached", "truncated", "dropped", "one for another"],
)
def test_a_partition_may_bring_rows_or_take_them_away(parts: dict[str, Part], brought: bool, fewer: bool) -> None:
    """What it brings is missed, what may have gone is looked up; told once, and of its table alone."""
    now = DIVIDED._replace(parts={**DIVIDED.parts, "public.a": parts})
    found = broken(DIVIDED, now)
    assert (found and found.tables, thinned(DIVIDED, now)) == (
        ("public.a",) if brought else None,
        ("public.a",) if fewer else (),
    )
    assert (broken(now, now), thinned(now, now)) == (None, ())


def test_a_first_partition_that_is_attached_is_seen() -> None:
    """A partitioned table is known before it has one; one that was not known before has brought nothing."""
    now = DIVIDED._replace(parts={**DIVIDED.parts, "public.b": {"12": ATTACHED}})
    found = broken(DIVIDED, now)
    assert found is not None
    assert (found.cause, found.tables, "attached" in found.reason) == (MISSED_CHANGE, ("public.b",), True)
    assert broken(BEFORE, now) is broken(DIVIDED._replace(slot=False), now) is None
    both = broken(DIVIDED, now._replace(published={"public.b": 2}))
    assert both is not None
    assert both.tables == ("public.a", "public.b")
    assert "not published" in both.reason
    assert "attached" in both.reason


def test_breaks_that_nobody_has_heard_of_are_told_together() -> None:
    """All tables are more than some; some are as many as in both."""
    some, other = Break("c", "r", False, ("a",)), Break("c", "r", False, ("b",))
    every = Break("c", "all", True)
    assert some.after(None) is some
    assert other.after(some).tables == ("a", "b")
    assert every.after(some) is every
    assert some.after(every) is every
    assert (every.touches("z"), some.touches("a"), some.touches("b")) == (True, True, False)
