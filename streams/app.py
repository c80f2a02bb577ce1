"""The Faust app that `faust -A streams.app …` runs and shows: the replica that `HOLDTRUE_REPLICA` names."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from streams.agents.app import ReplicaApp
from streams.agents.run import worker_app
from streams.errors import HoldtrueError, UsageError
from streams.plan.check import load_plan
from streams.settings import settings


def _replica() -> str:
    name = os.environ.get("HOLDTRUE_REPLICA")
    if not name:
        raise UsageError("HOLDTRUE_REPLICA is not set.", "Name the replica to run, such as HOLDTRUE_REPLICA=reports.")
    return name


def _app() -> ReplicaApp:
    """The app, or the end of this process as `holdtrue worker` would end: Faust would show a traceback."""
    try:
        replica = _replica()
        plan = load_plan(Path(os.environ.get("HOLDTRUE_PLAN") or "consistency.yaml"))
        made = worker_app(plan, replica, os.environ.get("HOLDTRUE_INSTANCE") or "0")
        made.metrics_port = settings().metrics_port
    except HoldtrueError as error:
        sys.stderr.write(error.told)
        sys.exit(error.exit_code)
    return made


app = _app()
