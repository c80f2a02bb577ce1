"""When a copy is in sync again, and when that is news."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from streams.control.lag import Lag
from streams.control.sync import Look, Sync, Why, detail_of, follow, is_news, told
from tests.integration.control.records import NOON

LEVEL = Lag(0.0, 0, "0/AB", True)


def look(
    second: int, seconds: float | None = 0.0, *, lag: Lag = LEVEL, held: bool = False, broken: bool = False,
    rules: str = "r1",
) -> Look:  # fmt: skip
    """A copy with a bound of 2 s, some seconds after noon."""
    return Look(at(second), lag, seconds, 2.0, held, broken, rules)


def at(second: int) -> datetime:
    """Some seconds after noon."""
    return NOON + timedelta(seconds=second)


def news(*looks: Look, before: Sync | None = None) -> list[tuple[str, int, int]]:
    """What is told of these looks: why it was out, since which second, and from when on it was in sync again."""
    found = []
    for each in looks:
        before = follow(before, each)
        if is_news(before, each.at):
            since, within = before.since, before.within_since or at(-1)
            found.append((str(before.out), *(round((moment - NOON).total_seconds()) for moment in (since, within))))
            before = told(before)
    return found


def test_a_copy_that_is_seen_in_sync_for_the_first_time_is_told_of_once() -> None:
    """After 20 s of it; that it goes on being so is no news."""
    assert news(look(0), look(10)) == []
    assert news(*(look(second) for second in range(0, 600, 10))) == [("begun", 0, 0)]


def test_what_was_never_applied_is_not_in_sync() -> None:
    """A topic without a record, or a group that has committed nothing: 0 s behind is no sync."""
    nothing, unread = LEVEL._replace(begun=False), LEVEL._replace(committed=False)
    begun = [
        look(second, lag=lag) for lag, start in ((nothing, 0), (unread, 100)) for second in range(start, start + 60, 10)
    ]
    assert news(*begun) == []
    assert news(*begun, look(200), look(220)) == [("begun", 0, 200)]


@pytest.mark.parametrize(
    ("out", "why"),
    [
        (look(100, 2.1), Why.lag),
        (look(100, held=True), Why.held),
        (look(100, broken=True), Why.continuity),
        (look(100, 9.0, held=True), Why.held),
        (look(100, None, held=True), Why.held),
    ],
)
def test_a_copy_that_was_out_of_sync_is_told_of_when_it_is_back(out: Look, why: Why) -> None:
    """With the reason why it was out, and since when; not before it stayed back for 20 s."""
    first = follow(None, look(0))
    in_sync = told(follow(first, look(20)))
    back = [look(second, 2.0) for second in (110, 120)]
    assert news(out, *back, before=in_sync) == []
    assert news(out, *back, look(130), look(140), before=in_sync) == [(str(why), 100, 110)]


def test_a_copy_under_other_rules_is_told_of_although_it_was_never_behind() -> None:
    """Once it has been in sync under them for 20 s; out of sync they are no reason of their own."""
    in_sync = told(follow(follow(None, look(0)), look(20)))
    new = [look(second, rules="r2") for second in range(100, 200, 10)]
    assert news(*new[:2], before=in_sync) == []
    assert news(*new, before=in_sync) == [("rules", 100, 100)]
    assert news(look(90, held=True), *new, before=in_sync) == [("held", 90, 100)]


def test_a_lag_at_its_bound_is_no_noise() -> None:
    """Looks in and out in turn tell of nothing until it stays in; since when it was out is when it left first."""
    in_sync = told(follow(follow(None, look(0)), look(20)))
    turns = [look(second, 3.0 if second % 20 else 1.0) for second in range(30, 300, 10)]
    assert news(*turns, before=in_sync) == []
    assert news(*turns, look(300), look(310), look(320), before=in_sync) == [("lag", 30, 300)]


def test_the_first_reason_stays() -> None:
    """A held table is soon behind, too: it was out for the hold."""
    in_sync = told(follow(follow(None, look(0)), look(20)))
    assert news(look(100, held=True), look(110, 99.0), look(120), look(140), before=in_sync) == [("held", 100, 120)]


def test_a_lag_that_is_not_known_changes_nothing() -> None:
    """Neither is it out, nor is it counted as in."""
    in_sync = told(follow(follow(None, look(0)), look(20)))
    unknown = [look(second, None) for second in range(100, 200, 10)]
    assert news(*unknown, before=in_sync) == []
    known = follow(in_sync, look(90, 5.0))
    assert [follow(known, each) for each in unknown] == [known] * len(unknown)
    assert follow(None, look(0, None)) == Sync("r1", Why.begun, at(0), None)


def test_the_signal_says_why_since_when_and_how_far() -> None:
    """As text, for the map of the schema."""
    known = follow(None, look(0, 1.25, lag=LEVEL._replace(events=3)))
    assert detail_of(known, look(20, 1.25, lag=LEVEL._replace(events=3))) == {
        "why": "begun", "since": "2026-05-01T12:00:00+00:00", "lag_seconds": "1.250", "lag_events": "3",
        "lag_bound_seconds": "2", "rules": "r1",
    }  # fmt: skip
