"""`holdtrue worker`: run the Faust worker of one replica."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from streams.cli.context import context


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(worker)


def worker(
    ctx: typer.Context,
    replica: Annotated[
        str, typer.Option("--replica", envvar="HOLDTRUE_REPLICA", show_envvar=True, help="The replica to keep.")
    ],
    instance: Annotated[
        str,
        typer.Option(
            "--instance", envvar="HOLDTRUE_INSTANCE", show_envvar=True,
            help="This worker's name in its group; the same after a restart, another for each worker.",
        ),
    ] = "0",
    metrics_port: Annotated[
        int, typer.Option("--metrics-port", envvar="HOLDTRUE_METRICS_PORT", show_envvar=True,
                          help="Port of /metrics, /livez and /readyz on the loopback; 0 takes a free one.")
    ] = 0,
) -> None:  # fmt: skip
    """Keep one replica in step: apply changes, answer checks, carry out repairs."""
    from streams.agents.run import run_worker
    from streams.plan.check import load_plan

    plan_path = context(ctx).plan_path
    os.environ["HOLDTRUE_PLAN"] = str(plan_path)
    run_worker(load_plan(plan_path), replica, instance=instance, metrics_port=metrics_port)
