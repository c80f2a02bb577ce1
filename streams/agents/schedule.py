"""Control keeps the plan's validation schedule: runs that are due are made one after the other, by the command line."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime

from streams import parent
from streams.checks.request import RUN_SECONDS_MAX
from streams.control.database import Database
from streams.control.schedule import due, rechecks
from streams.plan.model import Plan

log = logging.getLogger(__name__)

# Who asks for these runs.
BY = "control (schedule)"
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
            words = ["validate", "--replica", run.replica, "--table", run.table, "--depth", run.depth, "--by", BY]
            await self._run(words, run.replica, run.table)
        seen = await asyncio.to_thread(self._database.rows, "open_since")
        since = {(row["replica"], row["table"]): row["seen"] for row in seen}
        for replica, table in list(rechecks(self._plan, since, self._rechecked, datetime.now(UTC))):
            self._rechecked[replica, table] = datetime.now(UTC)
            await self._run(["drift", "recheck", "--replica", replica, "--table", table], replica, table)

    async def _run(self, verb: list[str], replica: str, table: str) -> None:
        words = ["--quiet", *verb]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "streams.cli.main", *words, env=parent.environment(),
            stdin=parent.stdin(), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            _, said = await asyncio.wait_for(process.communicate(), RUN_SECONDS_MAX)
        except TimeoutError:
            process.kill()
            await process.wait()
            log.error("the scheduled run of %s in %s did not end in %.0f s", table, replica, RUN_SECONDS_MAX)
            return
        finally:
            if process.returncode is None:  # control is asked to end
                with suppress(ProcessLookupError):
                    process.terminate()
                await process.wait()
        if process.returncode not in (EXIT_CORRECT, EXIT_NOT_VALIDATED):
            log.error("the scheduled run of %s in %s failed: %s", table, replica, said.decode().strip()[-500:])
