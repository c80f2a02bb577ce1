"""Scheduled runs, and the repairs that follow from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents.schedule import BY, BY_PLAN, Schedule
from streams.cli.program import once
from streams.control.schedule import Due

RUN = Due("cache", "public.t", "full")


class Said(Schedule):
    """Notes the commands that it would run. found: what a validation says; None: it failed."""

    def __init__(self, automatic: Sequence[str], found: int | None) -> None:
        mapping = SimpleNamespace(
            validation=SimpleNamespace(every=datetime.max - datetime.min, depths=["full"]),
            repair=SimpleNamespace(automatic=automatic, stop_above=10),
        )
        plan: Any = SimpleNamespace(replicas={"cache": SimpleNamespace(tables={"public.t": mapping})})
        # The store may have lost something: its run is due.
        rows = {"last_runs": [], "lost_stores": [{"replica": "cache", "lost_at": datetime.now(UTC).replace(year=9999)}]}
        rows["open_since"] = []
        database: Any = SimpleNamespace(rows=lambda name: rows[name])
        super().__init__(plan, database)
        self._found = found
        self.ran: list[list[str]] = []

    async def _command(self, about: str, words: Sequence[str]) -> str | None:
        once(["--format", "json", *words])
        self.ran.append([word for word in words if not word.endswith(".json")])
        return None if self._found is None else json.dumps({"results": [{"drift_found": self._found}]})


VALIDATE = ["validate", "--replica", "cache", "--table", "public.t", "--depth", "full", "--by", BY]
PLAN = ["repair", "plan", "--file", "--replica", "cache", "--table", "public.t"]


async def test_what_is_found_is_planned_and_applied_as_by_a_person() -> None:
    """Of the kinds that the plan names, and no others; with the reason for the audit trail."""
    schedule = Said(["missing", "stale"], 3)
    await schedule.tick()
    kinds = ["--kind", "missing", "--kind", "stale"]
    apply = ["repair", "apply", "--by", BY, "--reason", BY_PLAN]
    assert schedule.ran == [VALIDATE, [*PLAN, *kinds], apply]


@pytest.mark.parametrize(("automatic", "found"), [([], 3), (["stale"], 0), (["stale"], 11), (["stale"], None)])
async def test_nothing_is_repaired_that_the_plan_leaves_to_a_person(automatic: list[str], found: int | None) -> None:
    """Where it says so, where more is in drift than it allows, and where the run has failed."""
    schedule = Said(automatic, found)
    await schedule.tick()
    assert schedule.ran == [VALIDATE]
