"""Runs that are not over, each in a file of its own: one that was killed is gone on with from where all was decided.

On this machine's disk and not in the control database: what was found so far names keys, which the plan may hide there
(docs/decisions/0022-runs-that-go-on.md).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from streams.errors import HoldtrueError, NotReady, UsageError
from streams.lock import Taken, lock
from streams.plan.model import Plan
from streams.validation.report import Report

# What was looked at longer ago is better looked at again.
GONE_ON_WITHIN: Final = timedelta(days=1)
# Until then somebody may tell what it had found; keys do not lie there for good.
FORGOTTEN_AFTER: Final = timedelta(days=2)
ANEW: Final = "Begin a new run: holdtrue validate; and have this one over: holdtrue runs end RUN"
_SUFFIX: Final = ".run"
_RUN = re.compile(r"run-[0-9a-f-]{36}", re.ASCII).fullmatch


class Kept(msgspec.Struct, frozen=True):
    """What is in a file. plan: hash of the plan's file; mapping: version of the table's mapping; by: who asked."""

    plan: str
    mapping: str
    report: Report
    by: str = ""

    @property
    def age(self) -> timedelta:
        """How long ago the run began."""
        return datetime.now(UTC) - self.report.began


class RunFile:
    """The file of one run; made when there is something to keep. Locked as long as the run's process lives."""

    def __init__(self, plan: Plan, by: str = "") -> None:
        self._plan = plan
        self._by = by
        self._lock: int | None = None
        self.run = ""

    def take(self, run: str) -> Kept:
        """Go on with this run. Raises UsageError where it cannot be gone on with, NotReady while it runs."""
        kept = self.last(run)
        if kept is None:
            raise UsageError(f"What was kept of {run} cannot be read: another version may have written it.", ANEW)
        if kept.plan != self._plan.sha256:
            raise UsageError(f"The plan has changed since {run} began: what it has looked at may not hold.", ANEW)
        if kept.age > GONE_ON_WITHIN:
            raise UsageError(f"The run {run} began more than a day ago.", ANEW)
        self._by = kept.by
        return kept

    def last(self, run: str) -> Kept | None:
        """What was kept of this run last, whether it can be gone on with or not; None where it cannot be read.

        Raises UsageError where nothing was kept, NotReady while it runs.
        """
        if not _RUN(run) or not self._path(run).exists():
            raise UsageError(
                f"There is no interrupted run {run} on this machine.",
                "See holdtrue runs list: a run that has ended is over, and one that had decided nothing is made anew.",
            )
        self._hold(run)
        return _read(self._path(run))

    def keep(self, report: Report, mapping: str) -> None:
        """Put the run's state away; it is on the disk when this returns. Raises HoldtrueError where it cannot be."""
        try:
            self._hold(report.run)
            path = self._path(report.run)
            new = path.with_suffix(".new")
            # Keys are in it, and rows where the plan shows them.
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(msgspec.msgpack.encode(Kept(self._plan.sha256, mapping, report, self._by)))
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        except OSError as error:
            raise HoldtrueError(
                f"The state of the run cannot be kept in {folder(self._plan)}: {error.strerror}.",
                "Make room, or set HOLDTRUE_RUN_DIR to a folder that this user can write to.",
            ) from None

    def forget(self) -> None:
        """The run is over, and told."""
        if self.run:
            for suffix in (_SUFFIX, ".new", ".lock"):
                self._path(self.run).with_suffix(suffix).unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let others take it."""
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None

    def _hold(self, run: str) -> None:
        if self._lock is not None:
            return
        folder(self._plan).mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self._path(run))
        if self._lock is None:
            raise NotReady(f"The run {run} is still going on in another process.", "Wait for it, or end it.")
        self.run = run
        for _ in unfinished(self._plan):
            pass  # those of long ago are deleted: nobody may ever ask for them

    def _path(self, run: str) -> Path:
        return folder(self._plan) / f"{run}{_SUFFIX}"


def folder(plan: Plan) -> Path:
    """Where this plan's runs are."""
    # Imported here: a run that is over soon keeps nothing, and reading the environment costs more than its start.
    from streams.settings import settings

    return settings().run_data_dir / plan.name


def unfinished(plan: Plan) -> Iterator[tuple[Kept, bool]]:
    """The runs of this plan that are not over on this machine, each with whether its process lives.

    Those of long ago are deleted.
    """
    for path in sorted(folder(plan).glob(f"*{_SUFFIX}")):
        lock, kept = _locked(path), _read(path)
        if lock is None:
            if kept is not None:
                yield kept, True
            continue
        try:
            if kept is not None and kept.age <= FORGOTTEN_AFTER:
                yield kept, False
            else:
                path.unlink(missing_ok=True)
                path.with_suffix(".lock").unlink(missing_ok=True)
        finally:
            os.close(lock)


def _read(path: Path) -> Kept | None:
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=Kept)
    except (OSError, msgspec.DecodeError):
        return None


def _locked(path: Path) -> int | None:
    """The lock of a run's file; None while its process lives."""
    try:
        return lock(path.with_suffix(".lock"))
    except Taken:
        return None
