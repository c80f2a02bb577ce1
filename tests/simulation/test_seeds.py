"""Histories from seeds: none breaks a promise, and each is the same whenever it is lived through."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.history import (
    BACKFILLS_FROM,
    BREAKS_FROM,
    FLOODS_FROM,
    HOLDS_FROM,
    INVALIDATE_FROM,
    LOSSES_FROM,
    SCRUBS_FROM,
    TRUNCATES_FROM,
    VERIFY_FROM,
)
from tests.simulation.run import explain, of_seed, run_seeds, simulate, story

SEEDS, AT_ONCE = 500, 50
# More of those that are checked all the time.
TAUGHT = (50, 200, 250)
TRUNCATE_SEEDS, BREAK_SEEDS, LOSS_SEEDS, HOLD_SEEDS, FLOOD_SEEDS = 150, 150, 50, 100, 25
# Of replicas that others write: longer histories, so fewer of them.
FEW = 30


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_histories_keep_every_promise(first: int) -> None:
    """Each of 50 seeds: 200 events or more, 3 keys or more, a fault or more. A failing one is told in few words."""
    counts, failing = run_seeds(range(first, first + AT_ONCE))
    assert failing is None, explain(failing).story
    assert counts["histories"] == AT_ONCE


@pytest.mark.parametrize("first", range(TRUNCATES_FROM, TRUNCATES_FROM + TRUNCATE_SEEDS, AT_ONCE))
def test_histories_with_truncates_keep_every_promise(first: int) -> None:
    """Before, in and after other transactions, through crashes, zombies, late records and lagging visibility."""
    counts, failing = run_seeds(range(first, first + AT_ONCE))
    assert failing is None, explain(failing).story
    assert counts["truncate"] >= AT_ONCE


@pytest.mark.parametrize("first", range(BREAKS_FROM, BREAKS_FROM + BREAK_SEEDS, AT_ONCE))
def test_histories_whose_numbers_begin_anew_keep_every_promise(first: int) -> None:
    """Failovers, restores into another cluster, topics made anew; control's orders come late, twice, or in halves."""
    counts, failing = run_seeds(range(first, first + AT_ONCE))
    assert failing is None, explain(failing).story
    assert min(counts["restore"], counts["topic made anew"], counts["log ordered"]) >= AT_ONCE / 2


@pytest.mark.parametrize("first", range(LOSSES_FROM, LOSSES_FROM + LOSS_SEEDS, AT_ONCE))
def test_histories_whose_past_is_lost_keep_every_promise(first: int) -> None:
    """The topic loses its beginning, disks and changelogs are lost, too: partitions are rebuilt, through all else."""
    counts, failing = run_seeds(range(first, first + AT_ONCE))
    assert failing is None, explain(failing).story
    assert min(counts["retention"], counts["all is lost"], counts["rebuild-done"]) >= AT_ONCE


@pytest.mark.parametrize("first", range(HOLDS_FROM, HOLDS_FROM + HOLD_SEEDS, AT_ONCE))
def test_histories_of_tables_that_are_held_keep_every_promise(first: int) -> None:
    """By order, and wherever changes may be missing; across kills and rebalances. Once released, all comes right."""
    counts, failing = run_seeds(range(first, first + AT_ONCE))
    assert failing is None, explain(failing).story
    assert min(counts["hold"], counts["release"]) >= AT_ONCE


@pytest.mark.parametrize(
    "first", [SCRUBS_FROM, *(pytest.param(SCRUBS_FROM + at, marks=pytest.mark.long) for at in TAUGHT)]
)
def test_histories_that_are_checked_all_the_time_keep_every_promise(first: int) -> None:
    """No key is told that nothing has befallen; at rest, whatever is not what its owner left there is told."""
    counts, failing = run_seeds(range(first, first + AT_ONCE))
    assert failing is None, explain(failing).story
    assert counts["drift told"] >= AT_ONCE


def test_histories_with_floods_keep_every_promise() -> None:
    """Each key that is wrong is named or counted, and none twice, at every moment; across a kill of who has told it."""
    counts, failing = run_seeds(range(FLOODS_FROM, FLOODS_FROM + FLOOD_SEEDS))
    assert failing is None, explain(failing).story
    assert min(counts["number told"], counts["keys only counted"]) >= FLOOD_SEEDS


@pytest.mark.parametrize("first", [BACKFILLS_FROM, pytest.param(BACKFILLS_FROM + AT_ONCE, marks=pytest.mark.long)])
def test_histories_with_backfills_keep_every_promise(first: int) -> None:
    """Each is carried out in the end, through kills, zombies, rebuilds and holds; what is right is left alone."""
    counts, failing = run_seeds(range(first, first + AT_ONCE))
    assert failing is None, explain(failing).story
    assert min(counts["backfill"], counts["backfill-done"]) >= AT_ONCE


@pytest.mark.parametrize(
    "first", [VERIFY_FROM, *(pytest.param(VERIFY_FROM + n * FEW, marks=pytest.mark.long) for n in (1, 2))]
)
def test_histories_of_a_replica_that_somebody_else_writes_keep_every_promise(first: int) -> None:
    """What was right within the lag is not told, what differs at rest is; nothing is written without an order."""
    counts, failing = run_seeds(range(first, first + FEW))
    assert failing is None, explain(failing).story
    assert min(counts["writer is late"], counts["writer invents"], counts["drift told"]) >= FEW


@pytest.mark.parametrize(
    "first", [INVALIDATE_FROM, *(pytest.param(INVALIDATE_FROM + n * FEW, marks=pytest.mark.long) for n in (1, 2))]
)
def test_histories_of_a_cache_that_readers_fill_keep_every_promise(first: int) -> None:
    """Only a row that was old when it was filled in is left there, until it is told; absence never is."""
    counts, failing = run_seeds(range(first, first + FEW))
    assert failing is None, explain(failing).story
    assert min(counts["slow fill"], counts["guarded fill"], counts["expiry"], counts["drift told"]) >= FEW


def test_a_seed_is_one_history() -> None:
    """Nothing outside the seed decides: not the clock, not the hashes of this process."""
    code = "from tests.simulation.run import *; print([story(simulate(of_seed(s))[0]) for s in (1, 2, 3)])"
    told = [_told(code, salt) for salt in "12"]
    assert told[0] == told[1]
    assert story(simulate(of_seed(1))[0]) == story(simulate(of_seed(1))[0])


def _told(code: str, salt: str) -> bytes:
    environment = {**os.environ, "PYTHONHASHSEED": salt}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout
