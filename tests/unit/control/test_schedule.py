"""The validation schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streams.control.schedule import (
    AGAIN_AFTER,
    RECHECK_AFTER,
    RESUMED_MAX,
    RESUMED_WITHIN,
    Due,
    Found,
    Step,
    Tried,
    Unfinished,
    due,
    is_mended,
    rechecks,
    scheduled,
    step_of,
    unmended,
)
from streams.plan.check import load_plan
from streams.validation import kept

PLAN = load_plan(Path("docs/examples/bank/consistency.yaml"))
STARTED = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
EVERYTHING = set(scheduled(PLAN))
SINCE = dict.fromkeys(EVERYTHING, STARTED)


def test_nothing_is_due_within_the_first_period() -> None:
    """A control worker that starts does not validate everything at once."""
    assert list(due(PLAN, {}, SINCE, STARTED + HOUR - timedelta(seconds=1))) == []


def test_what_is_wanted_since_a_moment_ago_is_not_due() -> None:
    """As a table that has just come into the plan, whose first copy is under way."""
    new = next(iter(EVERYTHING))
    now = STARTED + HOUR
    assert set(due(PLAN, {}, {**SINCE, new: now}, now)) == EVERYTHING - {new}


def test_every_depth_of_every_pair_is_due_after_one_period() -> None:
    """Each depth the plan names has its own run."""
    assert set(due(PLAN, {}, SINCE, STARTED + HOUR)) == EVERYTHING


def test_what_a_store_may_have_lost_is_looked_for_at_once() -> None:
    """Every run of that replica, also one that was never made; and once, until it may have lost more."""
    of_cache = {each for each in EVERYTHING if each.replica == "cache"}
    lost = {"cache": STARTED + timedelta(minutes=10)}
    now = STARTED + timedelta(minutes=11)
    assert set(due(PLAN, {}, SINCE, now, lost)) == of_cache
    assert set(due(PLAN, dict.fromkeys(of_cache, now), SINCE, now, lost)) == set()


def test_a_run_made_meanwhile_is_not_due_again() -> None:
    """Also one that somebody else made, by hand."""
    made = Due("cache", "public.pgbench_tellers", "counts")
    now = STARTED + HOUR
    assert set(due(PLAN, {made: now - timedelta(minutes=5)}, SINCE, now)) == EVERYTHING - {made}


def test_open_drift_is_looked_at_again_some_time_after_it_was_seen() -> None:
    """Not while checks see it anyway, nor oftener than that, nor of a table that is not copied any more."""
    place, gone = ("cache", "public.pgbench_tellers"), ("cache", "public.gone")
    since = {place: STARTED, gone: STARTED, ("nobody", "public.t"): STARTED}
    assert list(rechecks(PLAN, since, {}, STARTED + RECHECK_AFTER - timedelta(seconds=1))) == []
    now = STARTED + RECHECK_AFTER
    assert list(rechecks(PLAN, since, {}, now)) == [place]
    assert list(rechecks(PLAN, since, {place: now}, now + RECHECK_AFTER - timedelta(seconds=1))) == []
    assert list(rechecks(PLAN, since, {place: now}, now + RECHECK_AFTER)) == [place]


def test_what_a_run_has_found_is_repaired_without_being_asked_as_the_plan_says() -> None:
    """Where it names a kind, and not more keys than a repair stops at: a storm is a person's."""
    mapping = next(iter(PLAN.replicas["reports"].tables.values()))
    asked = mapping.model_copy(update={"repair": mapping.repair.model_copy(update={"automatic": (), "stop_above": 10})})
    silent = mapping.model_copy(
        update={"repair": mapping.repair.model_copy(update={"automatic": ("stale",), "stop_above": 10})}
    )
    assert [is_mended(asked, found) for found in (0, 1, 10, 11)] == [False] * 4
    assert [is_mended(silent, found) for found in (0, 1, 10, 11)] == [False, True, True, False]


RUN = Unfinished("run-1", Due("cache", "public.pgbench_tellers", "counts"), STARTED, 0, False, "one")
NOW = STARTED + HOUR
A_SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("found", "tried", "step"),
    [
        (RUN, None, Step.resume),
        (RUN._replace(resumed=RESUMED_MAX - 1), None, Step.resume),
        (RUN._replace(started=NOW - RESUMED_WITHIN), None, Step.resume),
        (RUN, Tried(1, NOW - AGAIN_AFTER), Step.resume),
        # It ends with the control that was killed; or it was tried a moment ago.
        (RUN._replace(alive=True, plan_hash="another"), None, Step.wait),
        (RUN, Tried(1, NOW - AGAIN_AFTER + A_SECOND), Step.wait),
        (RUN._replace(plan_hash="another"), Tried(1, NOW - AGAIN_AFTER + A_SECOND), Step.wait),
        # What it has looked at says nothing any more.
        (RUN._replace(plan_hash="another"), None, Step.anew),
        (RUN._replace(started=NOW - RESUMED_WITHIN - A_SECOND), None, Step.anew),
        # It may be what ends control again and again; or what it needs stays away.
        (RUN._replace(resumed=RESUMED_MAX), None, Step.end),
        (RUN, Tried(RESUMED_MAX, NOW - AGAIN_AFTER), Step.end),
    ],
)
def test_what_becomes_of_a_run_that_is_not_over(found: Unfinished, tried: Tried | None, step: Step) -> None:
    """It is gone on with, so often, within so long, under the plan that it was begun under; else it is told as over."""
    assert step_of(found, "one", tried, None, NOW) is step


def test_a_run_that_began_before_its_store_may_have_lost_writes_is_made_anew() -> None:
    """What it found right may be gone."""
    assert step_of(RUN, "one", None, RUN.started + A_SECOND, NOW) is Step.anew
    assert step_of(RUN, "one", None, RUN.started - A_SECOND, NOW) is Step.resume


def test_runs_are_gone_on_with_for_as_long_as_the_command_takes_them() -> None:
    """Else control would order what is refused."""
    assert kept.GONE_ON_WITHIN == RESUMED_WITHIN


def test_what_was_found_and_not_repaired_is_known() -> None:
    """As is_mended, of the plan's kinds, and not where it was done."""
    place = Due("reports", next(iter(PLAN.replicas["reports"].tables)), "full")
    tables = dict(PLAN.replicas["reports"].tables)
    repair = tables[place.table].repair.model_copy(update={"automatic": ("stale",), "stop_above": 10})
    tables[place.table] = tables[place.table].model_copy(update={"repair": repair})
    reports = PLAN.replicas["reports"].model_copy(update={"tables": tables})
    plan = PLAN.model_copy(update={"replicas": {**PLAN.replicas, "reports": reports}})
    left = Found("run-1", place, 10, ["orphan", "stale"])
    assert list(unmended(plan, [left], ())) == [left]
    assert list(unmended(plan, [left], {"run-1"})) == []
    others = [left._replace(drift_found=11), left._replace(kinds=["orphan"]), left._replace(kinds=[])]
    gone = [left._replace(due=place._replace(table="public.gone")), left._replace(due=place._replace(replica="gone"))]
    assert list(unmended(plan, [*others, *gone], ())) == []
    assert list(unmended(PLAN, [left], ())) == [], "it leaves all repair to a person"
