"""Runs a worker process: the event loop, the app, the metrics, and how it ends."""

from __future__ import annotations

from streams.agents.alone import made, worker_folder
from streams.agents.app import ReplicaApp, create_app
from streams.agents.process import run
from streams.errors import UsageError
from streams.plan.model import Plan
from streams.steps import expect_crash


def worker_app(plan: Plan, replica: str, instance: str) -> ReplicaApp:
    """The Faust app of one worker. Raises UsageError for a replica the plan does not have."""
    if replica not in plan.replicas:
        raise UsageError(f"The plan has no replica {replica}.", f"It has: {', '.join(plan.replicas)}.")
    folder = made(worker_folder(plan, replica, instance))
    return create_app(plan, replica, folder=folder, instance=instance)


def run_worker(plan: Plan, replica: str, *, instance: str, metrics_port: int) -> None:
    """Run until a signal ends it. Exits with 1 when the worker crashed, or another one has its name."""

    def create() -> ReplicaApp:
        app = worker_app(plan, replica, instance)
        app.metrics_port = metrics_port
        return app

    expect_crash()
    run(create)
