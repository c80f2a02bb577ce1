"""Control keeps the plan's validation schedule: runs that are due are made one after the other, by the command line.

What they find is repaired without being asked where the plan says so, in the same way.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from streams import parent
from streams.checks.request import RUN_SECONDS_MAX
from streams.control.database import Database
from streams.control.schedule import Due, due, is_mended, rechecks
from streams.plan.model import Plan

log = logging.getLogger(__name__)

# Who asks for these runs.
BY = "control (schedule)"
BY_PLAN = "automatic, as the plan says"
EXIT_CORRECT, EXIT_NOT_VALIDATED = 0, 3


class Schedule:
    """One run at a time; what was found is on the topics, as after any run."""

    def __init__(self, plan: Plan, database: Database) -> None:
        self._plan = plan
        self._database = database
        self._started = datetime.now(UTC)
        self._tried: dict[tuple[str, str, str], datetime] = {}
        self._rechecked: dict[tuple[str, str], datetime] = {}

    async def tick(self) -> None:
        """Make the runs that are due now."""
        rows = await asyncio.to_thread(self._database.rows, "last_runs")
        finished = {(row["replica"], row["table"], row["depth"]): row["finished"] for row in rows}
        known = {key: max(finished.get(key, moment), moment) for key, moment in self._tried.items()}
        lost = {row["replica"]: row["lost_at"] for row in await asyncio.to_thread(self._database.rows, "lost_stores")}
        for run in list(due(self._plan, {**finished, **known}, self._started, datetime.now(UTC), lost)):
            self._tried[run] = datetime.now(UTC)
            if (found := await self._run(run)) is not None:
                await self._after(run, found)
        await self._look_again()

    async def _after(self, run: Due, found: int) -> None:
        """Repair what it has found, where the plan says so; a storm waits for a person."""
        mapping = self._plan.replicas[run.replica].tables[run.table]
        if is_mended(mapping, found):
            await self._mend(run, mapping.repair.automatic)
        elif found and mapping.repair.automatic:
            log.error(
                "%d keys of %s in %s are in drift, more than %d: none is repaired without being asked",
                found, run.table, run.replica, mapping.repair.stop_above,
            )  # fmt: skip

    async def _look_again(self) -> None:
        """At open drift that may have come right by itself."""
        seen = await asyncio.to_thread(self._database.rows, "open_since")
        since = {(row["replica"], row["table"]): row["seen"] for row in seen}
        for replica, table in list(rechecks(self._plan, since, self._rechecked, datetime.now(UTC))):
            self._rechecked[replica, table] = datetime.now(UTC)
            words = ["drift", "recheck", "--replica", replica, "--table", table]
            await self._command(f"second look at drift of {table} in {replica}", words)

    async def _run(self, run: Due) -> int | None:
        """Make one; how many keys it has found in drift, None where it did not end well."""
        about = f"scheduled run of {run.table} in {run.replica}"
        words = ["validate", "--replica", run.replica, "--table", run.table, "--depth", run.depth, "--by", BY]
        said = await self._command(about, words)
        return None if said is None else sum(result["drift_found"] or 0 for result in json.loads(said)["results"])

    async def _mend(self, run: Due, kinds: Iterable[str]) -> None:
        """Have what is open of these kinds repaired, as a person would: planned into a file, and applied."""
        about = f"repair of {run.table} in {run.replica} without being asked"
        with TemporaryDirectory() as folder:
            file = str(Path(folder, "repair.json"))
            words = ["repair", "plan", "--file", file, "--replica", run.replica, "--table", run.table]
            if await self._command(about, [*words, *(word for kind in kinds for word in ("--kind", kind))]) is not None:
                await self._command(about, ["repair", "apply", file, "--by", BY, "--reason", BY_PLAN])

    async def _command(self, about: str, words: Sequence[str]) -> str | None:
        """What a command says as JSON; None where it failed, which is logged."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "streams.cli.main", "--quiet", "--format", "json", *words, env=parent.environment(),
            stdin=parent.stdin(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            told, said = await asyncio.wait_for(process.communicate(), RUN_SECONDS_MAX)
        except TimeoutError:
            process.kill()
            await process.wait()
            log.error("the %s did not end in %.0f s", about, RUN_SECONDS_MAX)
            return None
        finally:
            if process.returncode is None:  # control is asked to end
                with suppress(ProcessLookupError):
                    process.terminate()
                await process.wait()
        if process.returncode not in (EXIT_CORRECT, EXIT_NOT_VALIDATED):
            log.error("the %s failed: %s", about, said.decode().strip()[-500:])
            return None
        return told.decode()
