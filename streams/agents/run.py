"""Runs a worker process: the event loop, the app, the metrics, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import faust
import uvloop

from streams.agents.alone import alone, made
from streams.agents.app import ReplicaApp, create_app
from streams.errors import UsageError
from streams.plan.model import Plan
from streams.settings import settings

log = logging.getLogger(__name__)


def worker_folder(plan: Plan, replica: str, instance: str) -> Path:
    """Where a worker keeps its local state. It can be deleted while the worker is down: it is recovered from Kafka."""
    return settings().worker_data_dir / plan.name / replica / instance


def worker_app(plan: Plan, replica: str, instance: str) -> ReplicaApp:
    """The Faust app of one worker. Raises UsageError for a replica the plan does not have."""
    if replica not in plan.replicas:
        raise UsageError(f"The plan has no replica {replica}.", f"It has: {', '.join(plan.replicas)}.")
    folder = made(worker_folder(plan, replica, instance))
    return create_app(plan, replica, folder=folder, instance=instance)


def run_worker(plan: Plan, replica: str, *, instance: str, metrics_port: int) -> None:
    """Run until a signal ends it. Exits with 1 when the worker crashed. Raises InstanceTaken."""
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    app = worker_app(plan, replica, instance)
    app.metrics_port = metrics_port
    worker = faust.Worker(app, loop=loop, loglevel="info", redirect_stdouts=False)
    with alone(worker_folder(plan, replica, instance)):
        worker.execute_from_commandline()
