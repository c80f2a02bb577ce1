"""The Faust app that `faust -A streams.app …` runs and shows: the replica that `HOLDTRUE_REPLICA` names."""

from __future__ import annotations

import os
from pathlib import Path

from streams.agents.app import ReplicaApp
from streams.agents.process import told
from streams.agents.run import worker_app
from streams.errors import UsageError
from streams.plan.check import load_plan
from streams.settings import settings


def _replica() -> str:
    name = os.environ.get("HOLDTRUE_REPLICA")
    if not name:
        raise UsageError("HOLDTRUE_REPLICA is not set.", "Name the replica to run, such as HOLDTRUE_REPLICA=reports.")
    return name


def _app() -> ReplicaApp:
    replica = _replica()
    plan = load_plan(Path(os.environ.get("HOLDTRUE_PLAN") or "consistency.yaml"))
    made = worker_app(plan, replica, os.environ.get("HOLDTRUE_INSTANCE") or "0")
    made.metrics_port = settings().metrics_port
    return made


with told():
    app = _app()
