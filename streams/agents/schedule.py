"""Control keeps the plan's validation schedule: runs that are due are made one after the other, by the command line.

What they find is repaired without being asked where the plan says so, in the same way.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from streams import parent
from streams.checks.request import RUN_SECONDS_MAX
from streams.control.database import Database
from streams.control.schedule import (
    Due,
    Found,
    Step,
    Tried,
    Unfinished,
    due,
    is_mended,
    is_planned,
    rechecks,
    scheduled,
    step_of,
    unmended,
)
from streams.plan.model import Plan

log = logging.getLogger(__name__)

# Who asks for these runs.
BY = "control (schedule)"
BY_PLAN = "automatic, as the plan says"
EXIT_CORRECT, EXIT_CANNOT, EXIT_NOT_VALIDATED = 0, 2, 3
WELL = frozenset((EXIT_CORRECT, EXIT_NOT_VALIDATED))


class Ended(NamedTuple):
    """How a command has ended, and what it has said as JSON."""

    code: int
    said: str

    @property
    def results(self) -> list[dict[str, Any]] | None:
        """Of a run; None where there is none."""
        return json.loads(self.said)["results"] if self.said.strip() else None


class Schedule:
    """One run at a time; what was found is on the topics, as after any run."""

    def __init__(self, plan: Plan, database: Database) -> None:
        self._plan = plan
        self._database = database
        self._first_wanted: dict[tuple[str, str, str], datetime] | None = None
        self._tried: dict[Due, datetime] = {}
        self._rechecked: dict[tuple[str, str], datetime] = {}
        # Whether runs may be there that are not over: those of a control that was ended, or one that was killed.
        self._look_for_unfinished = True
        self._resumed: dict[str, Tried] = {}
        # Runs after which was done what is to be done.
        self._followed: set[str] = set()

    async def tick(self) -> None:
        """Go on with runs that were interrupted, and make those that are due now."""
        lost = {row["replica"]: row["lost_at"] for row in await asyncio.to_thread(self._database.rows, "lost_stores")}
        waiting, anew = await self._go_on(lost)
        rows = await asyncio.to_thread(self._database.rows, "last_runs")
        finished: dict[tuple[str, str, str], datetime] = {_due(row): row["finished"] for row in rows}
        finished |= {key: max(finished.get(key, moment), moment) for key, moment in self._tried.items()}
        wanted = due(self._plan, finished, await self._since(), datetime.now(UTC), lost)
        for run in dict.fromkeys([*anew, *wanted]):
            if run not in waiting:
                await self._run(run)
        await self._mend_what_was_left()
        await self._look_again()

    async def _since(self) -> dict[tuple[str, str, str], datetime]:
        """When each run was first wanted."""
        if self._first_wanted is None:
            wanted = scheduled(self._plan)
            place = {f"{name}s": [getattr(run, name) for run in wanted] for name in Due._fields}
            rows = await asyncio.to_thread(self._database.rows, "scheduled", place)
            self._first_wanted = {_due(row): row["since"] for row in rows}
        return self._first_wanted

    async def _go_on(self, lost: Mapping[str, datetime]) -> tuple[set[Due], list[Due]]:
        """Go on with runs of ours that were interrupted. Those of which none is to be begun now, and those that are."""
        waiting, anew = set[Due](), list[Due]()
        for found in await self._unfinished() if self._look_for_unfinished else ():
            tried, lost_at = self._resumed.get(found.run), lost.get(found.due.replica)
            step: Step | None = step_of(found, self._plan.sha256, tried, lost_at, datetime.now(UTC))
            if step is Step.resume:
                step = await self._resume(found)
            if step in (Step.end, Step.anew) and await self._end(found) and step is Step.anew:
                anew.append(found.due)
            if step is Step.wait:
                self._look_for_unfinished = True
                waiting.add(found.due)
        return waiting, [run for run in anew if is_planned(self._plan, run)]

    async def _unfinished(self) -> list[Unfinished]:
        ended = await self._command("look for interrupted runs", ["runs", "list", "--outcome", "unfinished"])
        if ended.code != EXIT_CORRECT:
            return []
        self._look_for_unfinished = False
        return [
            Unfinished(
                row["run"], _due(row), datetime.fromisoformat(row["started"]), row["resumed"],
                row["outcome"] == "running", row["plan_hash"],
            )
            for row in json.loads(ended.said)["runs"] if row["who"] == BY
        ]  # fmt: skip

    async def _resume(self, found: Unfinished) -> Step | None:
        """Go on with it; what is to be done where that came to nothing."""
        self._try(found)
        log.info("going on with the run %s, which was interrupted", found.run)
        ended = await self._command(_about(found.due), ["validate", "--resume", found.run, "--by", BY])
        if ended.code == EXIT_CANNOT:
            return Step.anew
        if (results := ended.results) is None:
            return Step.wait  # what it needs may be away
        self._tried[found.due] = datetime.now(UTC)
        await self._after(found.due, results)
        return None

    async def _end(self, found: Unfinished) -> bool:
        """Tell that it was not finished; whether that is told."""
        self._try(found)
        about = f"end of the run {found.run}, which is not gone on with"
        return (await self._command(about, ["runs", "end", found.run, "--by", BY])).code == EXIT_CORRECT

    def _try(self, found: Unfinished) -> None:
        times = self._resumed[found.run].times if found.run in self._resumed else 0
        self._resumed[found.run] = Tried(times + 1, datetime.now(UTC))

    async def _run(self, run: Due) -> None:
        """Make one, and what follows from it."""
        self._tried[run] = datetime.now(UTC)
        words = ["validate", "--replica", run.replica, "--table", run.table, "--depth", run.depth, "--keep", "--by", BY]
        if (results := (await self._command(_about(run), words)).results) is not None:
            await self._after(run, results)

    async def _after(self, run: Due, results: Sequence[dict[str, Any]]) -> None:
        """Repair what it has found, where the plan says so; a storm waits for a person."""
        mapping = self._plan.replicas[run.replica].tables[run.table]
        found = sum(result["drift_found"] or 0 for result in results)
        self._followed.update(result["run"] for result in results)
        if any(result["outcome"] == "incomplete" for result in results):
            self._look_for_unfinished = True  # it may not have been told, as where Kafka was away by then
        if is_mended(mapping, found):
            await self._mend(run)
        elif found and mapping.repair.automatic:
            log.error(
                "%d keys of %s in %s are in drift, more than %d: none is repaired without being asked",
                found, run.table, run.replica, mapping.repair.stop_above,
            )  # fmt: skip

    async def _mend_what_was_left(self) -> None:
        """Repair what runs have found whose control was ended before it had."""
        rows = await asyncio.to_thread(self._database.rows, "runs_found", {"who": BY})
        runs = [Found(row["run"], _due(row), row["drift_found"], row["kinds"]) for row in rows]
        for found in list(unmended(self._plan, runs, self._followed)):
            self._followed.add(found.run)
            await self._mend(found.due)

    async def _look_again(self) -> None:
        """At open drift that may have come right by itself."""
        seen = await asyncio.to_thread(self._database.rows, "open_since")
        since = {(row["replica"], row["table"]): row["seen"] for row in seen}
        for replica, table in list(rechecks(self._plan, since, self._rechecked, datetime.now(UTC))):
            self._rechecked[replica, table] = datetime.now(UTC)
            words = ["drift", "recheck", "--replica", replica, "--table", table]
            await self._command(f"second look at drift of {table} in {replica}", words)

    async def _mend(self, run: Due) -> None:
        """Have what is open of the plan's kinds repaired, as a person would: planned into a file, and applied."""
        kinds = self._plan.replicas[run.replica].tables[run.table].repair.automatic
        about = f"repair of {run.table} in {run.replica} without being asked"
        with TemporaryDirectory() as folder:
            file = str(Path(folder, "repair.json"))
            words = ["repair", "plan", "--file", file, "--replica", run.replica, "--table", run.table]
            planned = await self._command(about, [*words, *(word for kind in kinds for word in ("--kind", kind))])
            if planned.code in WELL:
                await self._command(about, ["repair", "apply", file, "--by", BY, "--reason", BY_PLAN])

    async def _command(self, about: str, words: Sequence[str]) -> Ended:
        """How a command ends; that it failed is logged."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "streams.cli.main", "--quiet", "--format", "json", *words, env=parent.environment(),
            stdin=parent.stdin(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            told, said = await asyncio.wait_for(process.communicate(), RUN_SECONDS_MAX)
        except TimeoutError:
            process.kill()
            told, said = b"", f"it did not end in {RUN_SECONDS_MAX:.0f} s".encode()
        finally:
            if process.returncode is None:  # control is asked to end, or it took too long
                with suppress(ProcessLookupError):
                    process.terminate()
            code = await process.wait()
        if code not in WELL:
            self._look_for_unfinished = True
            log.error("the %s failed: %s", about, said.decode().strip()[-500:])
        return Ended(code, told.decode())


def _due(row: Mapping[str, Any]) -> Due:
    return Due(row["replica"], row["table"], row["depth"])


def _about(run: Due) -> str:
    return f"scheduled run of {run.table} in {run.replica}"
