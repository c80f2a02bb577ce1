"""The validation schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from streams.control.schedule import RECHECK_AFTER, Due, due, is_mended, rechecks
from streams.plan.check import load_plan

PLAN = load_plan(Path("docs/examples/bank/consistency.yaml"))
STARTED = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
EVERYTHING = {
    Due(replica, table, depth)
    for replica, declared in PLAN.replicas.items()
    for table, mapping in declared.tables.items()
    for depth in mapping.validation.depths
}


def test_nothing_is_due_within_the_first_period() -> None:
    """A control worker that starts does not validate everything at once."""
    assert list(due(PLAN, {}, STARTED, STARTED + HOUR - timedelta(seconds=1))) == []


def test_every_depth_of_every_pair_is_due_after_one_period() -> None:
    """Each depth the plan names has its own run."""
    assert set(due(PLAN, {}, STARTED, STARTED + HOUR)) == EVERYTHING


def test_what_a_store_may_have_lost_is_looked_for_at_once() -> None:
    """Every run of that replica, also one that was never made; and once, until it may have lost more."""
    of_cache = {each for each in EVERYTHING if each.replica == "cache"}
    lost = {"cache": STARTED + timedelta(minutes=10)}
    now = STARTED + timedelta(minutes=11)
    assert set(due(PLAN, {}, STARTED, now, lost)) == of_cache
    assert set(due(PLAN, dict.fromkeys(of_cache, now), STARTED, now, lost)) == set()


def test_a_run_made_meanwhile_is_not_due_again() -> None:
    """Also one that somebody else made, by hand."""
    made = Due("cache", "public.pgbench_tellers", "counts")
    now = STARTED + HOUR
    assert set(due(PLAN, {made: now - timedelta(minutes=5)}, STARTED, now)) == EVERYTHING - {made}


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
