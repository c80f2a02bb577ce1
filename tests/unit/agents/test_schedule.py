"""Scheduled runs, those that are gone on with, and the repairs that follow from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents.schedule import BY, BY_PLAN, Ended, Schedule
from streams.cli.program import once
from streams.control.schedule import AGAIN_AFTER, RESUMED_MAX, Due, Tried

RUN = Due("cache", "public.t", "full")
NAME = "run-00000000-0000-4000-8000-000000000001"
PLAN_HASH = "one"
LOOK = ["runs", "list", "--outcome", "unfinished"]
VALIDATE = ["validate", "--replica", "cache", "--table", "public.t", "--depth", "full", "--keep", "--by", BY]
RESUME = ["validate", "--resume", NAME, "--by", BY]
END = ["runs", "end", NAME, "--by", BY]
PLAN = ["repair", "plan", "--file", "--replica", "cache", "--table", "public.t", "--kind", "stale"]
APPLY = ["repair", "apply", "--by", BY, "--reason", BY_PLAN]


class Said(Schedule):
    """Notes the commands that it would run.

    found: what a validation finds; None: it fails. unfinished: what is listed as not over, until one has ended well.
    resumed: how going on with it ends, where not well. is_due: the store may have lost something. left: what an earlier
    run has found, as the database has it.
    """

    def __init__(
        self,
        automatic: Sequence[str] = (),
        found: int | None = 0,
        *,
        unfinished: dict[str, Any] | None = None,
        resumed: int = 0,
        is_due: bool = True,
        left: Sequence[dict[str, Any]] = (),
    ) -> None:
        mapping = SimpleNamespace(
            validation=SimpleNamespace(every=datetime.max - datetime.min, depths=["full"]),
            repair=SimpleNamespace(automatic=automatic, stop_above=10),
        )
        plan: Any = SimpleNamespace(replicas={"cache": SimpleNamespace(tables={"public.t": mapping})}, sha256=PLAN_HASH)
        lost: list[dict[str, Any]] = []
        rows = {"last_runs": [], "lost_stores": lost, "open_since": [], "runs_found": left}
        rows["scheduled"] = [{**RUN._asdict(), "since": datetime.now(UTC)}]
        database: Any = SimpleNamespace(rows=lambda name, values=None: rows[name])
        super().__init__(plan, database)
        if is_due:
            lost.append({"replica": "cache", "lost_at": datetime.now(UTC)})
        self._found = found
        self._listed = [] if unfinished is None else [interrupted() | unfinished]
        self._ends = resumed
        self.ran: list[list[str]] = []

    outcome = "drifted"

    async def _command(self, about: str, words: Sequence[str]) -> Ended:
        once(["--format", "json", *words])
        self.ran.append([word for word in words if not word.endswith(".json")])
        match [*words]:
            case ["runs", "list", *_]:
                return Ended(0, json.dumps({"runs": self._listed}))
            case ["runs", "end", *_]:
                self._listed = []
                return Ended(0, "{}")
            case ["validate", "--resume", *_] if self._ends:
                return Ended(self._ends, "")
        if self._found is None:
            return Ended(1, "")
        self._listed = []
        return Ended(0, json.dumps({"results": [{"drift_found": self._found, "run": NAME, "outcome": self.outcome}]}))


def interrupted() -> dict[str, Any]:
    """A run of control's, as it is listed."""
    return {
        "run": NAME, **RUN._asdict(), "outcome": "interrupted", "started": datetime.now(UTC).isoformat(), "resumed": 0,
        "who": BY, "plan_hash": PLAN_HASH,
    }  # fmt: skip


async def ran(schedule: Said) -> list[list[str]]:
    """The commands of one tick, but for the look at what is not over."""
    schedule.ran.clear()
    await schedule.tick()
    return [words for words in schedule.ran if words != LOOK]


async def test_what_is_found_is_planned_and_applied_as_by_a_person() -> None:
    """Of the kinds that the plan names, and no others; with the reason for the audit trail."""
    assert await ran(Said(["stale", "missing"], 3)) == [VALIDATE, [*PLAN, "--kind", "missing"], APPLY]


@pytest.mark.parametrize(("automatic", "found"), [([], 3), (["stale"], 0), (["stale"], 11), (["stale"], None)])
async def test_nothing_is_repaired_that_the_plan_leaves_to_a_person(automatic: list[str], found: int | None) -> None:
    """Where it says so, where more is in drift than it allows, and where the run has failed."""
    assert await ran(Said(automatic, found)) == [VALIDATE]


async def test_an_interrupted_run_is_gone_on_with_before_any_is_begun() -> None:
    """In place of another of its kind, although that is due; and what it finds is repaired as after any run. Once."""
    schedule = Said(["stale"], 3, unfinished={})
    assert await ran(schedule) == [RESUME, PLAN, APPLY]
    assert await ran(schedule) == []
    assert schedule.ran == [], "nothing is looked for while nothing can be there"


@pytest.mark.parametrize("other", [{"who": "somebody"}, {"who": None}])
async def test_a_persons_run_is_left_to_that_person(other: dict[str, Any]) -> None:
    """Who may go on with it, or not."""
    assert await ran(Said(unfinished=other)) == [VALIDATE]


async def test_a_run_whose_process_lives_is_waited_for() -> None:
    """It ends with the control that was killed, and is gone on with then; two would do the same side by side."""
    schedule = Said(unfinished={"outcome": "running"})
    assert await ran(schedule) == []
    schedule._listed = [interrupted()]
    assert await ran(schedule) == [RESUME]


async def test_what_cannot_be_gone_on_with_is_told_and_made_anew() -> None:
    """At once: what was there before it is older than the plan allows."""
    assert await ran(Said(unfinished={"plan_hash": "another"}, is_due=False)) == [END, VALIDATE]
    assert await ran(Said(unfinished={}, resumed=2, is_due=False)) == [RESUME, END, VALIDATE]
    gone = {"plan_hash": "another", "table": "public.gone"}
    assert await ran(Said(unfinished=gone, is_due=False)) == [END], "the plan does not name it any more"


@pytest.mark.parametrize("code", [1, 3])
async def test_what_it_needs_may_be_away(code: int) -> None:
    """Then it is tried again, not at once, nor for ever; and none of its kind is begun beside it."""
    schedule = Said(unfinished={}, resumed=code)
    assert await ran(schedule) == [RESUME]
    for times in range(1, RESUMED_MAX):
        assert await ran(schedule) == []
        schedule._resumed[NAME] = Tried(times, datetime.now(UTC) - AGAIN_AFTER)
        assert await ran(schedule) == [RESUME]
    schedule._resumed[NAME] = Tried(RESUMED_MAX, datetime.now(UTC) - AGAIN_AFTER)
    assert await ran(schedule) == [END, VALIDATE], "the next one, which is due"


async def test_a_run_that_ended_badly_is_looked_for() -> None:
    """As one that the system has killed for its memory."""
    schedule = Said(found=None)
    assert await ran(schedule) == [VALIDATE]
    schedule._listed, schedule._found, schedule._look_for_unfinished = [interrupted()], 0, True
    assert await ran(schedule) == [RESUME]


async def test_a_run_that_was_not_told_is_looked_for() -> None:
    """It is kept until it was told, and ends as incomplete where nobody could be told."""
    schedule = Said()
    schedule.outcome = "incomplete"
    assert await ran(schedule) == [VALIDATE]
    schedule._listed = [interrupted()]
    assert await ran(schedule) == [RESUME]


async def test_what_a_killed_control_has_left_to_repair_is_repaired_once() -> None:
    """It had found it, and was ended before the repair, or in it."""
    found = {"run": NAME, **RUN._asdict(), "drift_found": 3, "kinds": ["stale", "orphan"]}
    schedule = Said(["stale"], is_due=False, left=[found])
    assert await ran(schedule) == [PLAN, APPLY]
    assert await ran(schedule) == []
    late = datetime.now(UTC) - timedelta(days=2)
    assert await ran(Said(unfinished={"started": late.isoformat()}, is_due=False, left=[found])) == [END, VALIDATE]
