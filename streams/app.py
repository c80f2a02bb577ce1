"""The Faust app that `faust -A streams.app …` runs and shows: the replica that `HOLDTRUE_REPLICA` names."""

from __future__ import annotations

import os
from pathlib import Path

from streams.agents.run import worker_app
from streams.errors import UsageError
from streams.plan.check import load_plan


def _replica() -> str:
    name = os.environ.get("HOLDTRUE_REPLICA")
    if not name:
        raise UsageError("HOLDTRUE_REPLICA is not set.", "Name the replica to run, such as HOLDTRUE_REPLICA=reports.")
    return name


app = worker_app(
    load_plan(Path(os.environ.get("HOLDTRUE_PLAN", "consistency.yaml"))),
    _replica(),
    os.environ.get("HOLDTRUE_INSTANCE", "0"),
)
app.metrics_port = int(os.environ.get("HOLDTRUE_METRICS_PORT", "0"))
