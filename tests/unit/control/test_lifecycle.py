"""The life of a drift: every pair of states, and what is counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from streams.drift.lifecycle import BEGINNINGS, ENDED, OPEN, Seen, State, Verdict, allowed, follow

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
LEGAL = {
    ("suspected", "open"), ("suspected", "resolved"), ("suspected", "superseded"),
    ("open", "repairing"), ("open", "repaired"), ("open", "resolved"), ("open", "superseded"), ("open", "accepted"),
    ("repairing", "repaired"), ("repairing", "open"), ("repairing", "resolved"), ("repairing", "superseded"),
    ("repaired", "resolved"), ("repaired", "open"), ("repaired", "superseded"),
    ("accepted", "open"), ("accepted", "resolved"), ("accepted", "superseded"),
    ("resolved", "suspected"), ("resolved", "open"), ("superseded", "suspected"), ("superseded", "open"),
}  # fmt: skip
PAIRS = list(product(State, State))


def seen(state: str, minute: int = 0, *, first: int = 0, times: int = 1, lives: int = 1) -> Seen:
    return Seen(State(state), NOON + timedelta(minutes=first), NOON + timedelta(minutes=minute), times, lives)


@pytest.mark.parametrize(("before", "after"), PAIRS, ids=[f"{a}-{b}" for a, b in PAIRS])
def test_each_step_is_taken_or_refused_as_the_design_says(before: State, after: State) -> None:
    """Every pair of states: a legal step is applied, a repetition is one, any other changes nothing."""
    current = seen(before, 1)
    step = follow(current, seen(after, 2))
    if before is after:
        assert step.verdict is Verdict.repeated
    elif (before.value, after.value) not in LEGAL:
        assert step == (current, Verdict.refused)
    else:
        assert step.verdict is (Verdict.began if before in ENDED else Verdict.moved)
        assert step.seen is not None
        assert step.seen.state is after


def test_the_table_of_steps_names_every_state() -> None:
    """No state is a dead end: an ended drift may begin again, every other can end."""
    assert all(any(allowed(state, then) for then in State if then is not state) for state in State)
    assert OPEN.isdisjoint(ENDED)


@pytest.mark.parametrize("state", list(State))
def test_the_first_event_begins_a_life_or_is_adopted_from_a_compacted_topic(state: State) -> None:
    """What begins in the middle of a life is taken, and told apart from a beginning."""
    step = follow(None, seen(state, 3, first=1, times=4))
    assert step.verdict is (Verdict.began if state in BEGINNINGS else Verdict.adopted)
    assert step.seen == seen(state, 3, first=1, times=4)


def test_each_later_sighting_is_counted_and_moves_last_seen() -> None:
    """A sender that sees a drift once says times_seen 1 each time: control counts."""
    current = seen("open", 1)
    for minute in (2, 3):
        step = follow(current, seen("open", minute, first=minute))
        assert step.seen is not None
        current = step.seen
    assert current == seen("open", 3, times=3)


def test_the_same_sighting_again_is_not_counted() -> None:
    """A sighting with the same last_seen, as after a kill of its sender, is one sighting."""
    assert follow(seen("open", 1), seen("open", 1)).seen == seen("open", 1)


def test_an_older_sighting_does_not_move_last_seen_back() -> None:
    """Clocks of two senders differ: the topic's order decides the state, the larger time stays."""
    assert follow(seen("suspected", 5, first=5), seen("open", 2, first=2)).seen == seen("open", 5, first=2)


def test_steps_that_see_nothing_keep_the_count() -> None:
    """Repairing, repaired, resolved and accepted say something of a difference already seen."""
    current = seen("open", 1, times=2)
    for state in ("repairing", "repaired", "resolved"):
        step = follow(current, seen(state, 9))
        assert step.seen is not None
        current = step.seen
    assert current == seen("resolved", 1, times=2)


def test_what_is_seen_once_more_before_its_ordered_repair_is_carried_out_is_repaired_all_the_same() -> None:
    """Who looks all the time need not know of the order yet; it is a sighting, and no step of the repair is refused."""
    current = seen("open", 1)
    for state, minute in (("repairing", 2), ("open", 3), ("repaired", 4), ("resolved", 5)):
        step = follow(current, seen(state, minute))
        assert step.verdict is Verdict.moved
        assert step.seen is not None
        current = step.seen
    assert current == seen("resolved", 3, times=2)


def test_a_sender_that_counted_more_is_believed() -> None:
    """times_seen of a sender that remembers is not lost."""
    assert follow(seen("suspected", 1), seen("open", 2, times=7)).seen == seen("open", 2, times=7)


def test_a_new_life_starts_its_counts_again() -> None:
    """The same key in drift again after it was resolved: same id, next life, its own first and times."""
    step = follow(seen("resolved", 5, times=8), seen("open", 9, first=9, times=1))
    assert step.seen == seen("open", 9, first=9, lives=2)


def test_a_new_life_does_not_take_over_the_first_sight_of_the_old_one() -> None:
    """A sender that never heard of the end sends the old first_seen."""
    step = follow(seen("resolved", 5, times=8), seen("open", 9, first=0, times=9))
    assert step.seen == seen("open", 9, first=9, lives=2)


def accepted(kind: str = "stale", times: int = 1) -> Seen:
    """A drift that somebody has accepted until ten past."""
    return seen("accepted", 1, times=times)._replace(kind=kind, until=NOON + timedelta(minutes=10))


@pytest.mark.parametrize("state", ["suspected", "open"])
def test_what_is_accepted_stays_so_when_it_is_seen_again(state: str) -> None:
    """By a run or a worker that need not know of it; the sighting is counted."""
    step = follow(accepted(), seen(state, 5)._replace(kind="stale"), NOON + timedelta(minutes=5))
    assert step.verdict is Verdict.repeated
    assert step.seen == accepted(times=2)._replace(last=NOON + timedelta(minutes=5))


def test_an_acceptance_ends_at_its_date() -> None:
    """Whoever says so then: control, or the next check."""
    step = follow(accepted(), seen("open", 1)._replace(kind="stale"), NOON + timedelta(minutes=10))
    assert step.verdict is Verdict.moved
    assert step.seen is not None
    assert (step.seen.state, step.seen.until) == (State.open, None)


def test_an_acceptance_is_of_one_kind_of_drift() -> None:
    """A stale row was accepted, not that it is gone; one without an end is ended by the next check."""
    later = seen("open", 5)._replace(kind="missing")
    assert follow(accepted(), later, NOON + timedelta(minutes=5)).verdict is Verdict.moved
    endless = accepted()._replace(until=None)
    assert follow(endless, later._replace(kind="stale"), NOON + timedelta(minutes=5)).verdict is Verdict.moved


def test_accepted_drift_that_is_gone_ends() -> None:
    """A run that finds it right, before the date."""
    step = follow(accepted(), seen("superseded", 5)._replace(kind="stale"), NOON + timedelta(minutes=5))
    assert step.verdict is Verdict.moved
    assert step.seen is not None
    assert (step.seen.state, step.seen.until) == (State.superseded, None)
