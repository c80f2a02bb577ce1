"""`holdtrue worker`: run the Faust worker of a replica, of control, or of all, one process each."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.context import context
from streams.errors import UsageError

if TYPE_CHECKING:
    from streams.plan.model import Plan


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(worker)


def worker(
    ctx: typer.Context,
    replica: Annotated[
        str | None, typer.Option("--replica", envvar="HOLDTRUE_REPLICA", show_envvar=True, help="The replica to keep.")
    ] = None,
    control: Annotated[bool, typer.Option("--control", help="Remember drift, runs, repairs, the audit trail.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="One process per replica, and control.")] = False,
    instance: Annotated[
        str,
        typer.Option(
            "--instance", envvar="HOLDTRUE_INSTANCE", show_envvar=True,
            help="This worker's name in its group; the same after a restart, another for each worker.",
        ),
    ] = "0",
    metrics_port: Annotated[
        int, typer.Option("--metrics-port", min=0, max=65535, envvar="HOLDTRUE_METRICS_PORT", show_envvar=True,
                          help="Port of /metrics, /livez and /readyz on the loopback; 0 takes a free one. With --all: "
                               "control's; each replica has the next, in the plan's order.")
    ] = 0,
) -> None:  # fmt: skip
    """Keep replicas in step: apply changes, answer checks, carry out repairs."""
    from streams.plan.check import load_plan

    call = context(ctx)
    plan_path = call.plan_path
    plan = load_plan(plan_path)
    os.environ["HOLDTRUE_PLAN"] = str(plan_path.resolve())
    if control or everything:
        # HOLDTRUE_REPLICA may be set for Faust's own command; what was typed wins.
        replica = None
    if [replica is not None, control, everything].count(True) != 1:
        raise UsageError("A worker needs to know what to run.", "Give one of --replica NAME, --control and --all.")
    if everything:
        from streams.cli.workers import require_startable, run_all

        require_startable(plan, instance)
        raise typer.Exit(run_all(plan, plan_path, instance=instance, metrics_port=metrics_port))
    try:
        _run(plan, replica, instance, metrics_port)
    except KeyboardInterrupt:  # while it still waits for a server; once it runs, Faust ends it
        call.out.note("ended")


def _run(plan: Plan, replica: str | None, instance: str, metrics_port: int) -> None:
    """Until a signal ends it; without a replica, control."""
    from streams.kafka.belonging import refuse_another_plans

    refuse_another_plans(plan)
    if replica is None:
        from streams.agents.control import run_control

        run_control(plan, instance=instance, metrics_port=metrics_port)
    else:
        from streams.agents.run import run_worker

        run_worker(plan, replica, instance=instance, metrics_port=metrics_port)
