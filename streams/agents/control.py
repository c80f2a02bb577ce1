"""The Faust app of control: one agent per topic it remembers, batches like a replica's, offsets committed by us."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from faust.types import TP

from streams.agents.alone import made, worker_folder
from streams.agents.base import App
from streams.agents.process import run
from streams.agents.remember import Control
from streams.control.materialise import taken_topics
from streams.errors import UsageError
from streams.plan.model import Plan

# The name of control in place of a replica's, in its group and folder.
NAME = "control"
# Events are small; a fetch of 1 MiB is some thousands of them.
FETCH_BYTES_MAX = 1 << 20
PUBLISH_EVERY_SECONDS = 1.0
MEASURE_EVERY_SECONDS = 10.0
SCHEDULE_EVERY_SECONDS = 10.0
KEEP_EVERY_SECONDS = 5.0


class ControlApp(App):
    """The app of control: it starts where the control database is."""

    control: Control

    def prepare(self) -> None:
        """Bring the control database up to date."""
        self.control.prepare()

    def live(self) -> str | None:
        """Whether what comes is taken in."""
        return self.control.live()

    def ready(self) -> str | None:
        """Whether the database serves and partitions are assigned."""
        return self.control.ready()

    def is_ordered(self, tp: TP) -> bool:
        """Events that were gone before control read them are in its database already, or not worth a drift."""
        return False

    async def on_gap(self, tp: TP, wanted: int, first: int) -> None:
        """Never asked: no partition is ordered."""

    async def on_begun_anew(self, tp: TP, wanted: int) -> None:
        """Never asked: no partition is ordered."""

    def start_offset(self, tp: TP, committed: int | None) -> int | None:
        """What the group committed only says what was taken in once; the database says what is in it."""
        return self.control.start_offset(tp)


def control_app(plan: Plan, *, instance: str, folder: Path) -> ControlApp:
    """The app. Connects to nothing yet. Raises UsageError for a plan with a replica of the same name."""
    if NAME in plan.replicas:
        raise UsageError(f"A replica cannot be named {NAME}.", "Rename it in the plan: control has a group of its own.")
    topics = taken_topics(plan)
    app = ControlApp.of(plan, NAME, topics, folder=folder, instance=instance, fetch_bytes_max=FETCH_BYTES_MAX)
    app.control = Control(app, plan, instance=instance)
    _agents(app, plan)
    _timers(app)
    return app


def _agents(app: ControlApp, plan: Plan) -> None:
    """The agents that `faust agents` lists: one per topic, named after it."""
    for name in taken_topics(plan):
        app.agent(app.batches_of(name), name=name.removeprefix(plan.own_topic("")))(_taker(app))


def _taker(app: ControlApp) -> Any:
    async def take(batches: Any) -> None:
        """Take the topic into the control database."""
        async for batch in batches:
            try:
                await app.control.take(batch)
            except Exception as error:  # Faust would acknowledge the batch and go on with the next
                await app.crash(error)

    return take


def _timers(app: ControlApp) -> None:
    @app.timer(PUBLISH_EVERY_SECONDS, name="publish")  # type: ignore[untyped-decorator]
    async def publish() -> None:
        await app.control.publish()

    @app.timer(SCHEDULE_EVERY_SECONDS, name="schedule")  # type: ignore[untyped-decorator]
    async def schedule() -> None:
        await app.control.validate_due()

    @app.timer(MEASURE_EVERY_SECONDS, name="measure", on_leader=False)  # type: ignore[untyped-decorator]
    async def measure() -> None:
        await app.control.measure()

    @app.timer(KEEP_EVERY_SECONDS, name="keep-connector")  # type: ignore[untyped-decorator]
    async def keep_connector() -> None:
        await app.control.keep_connector()


def run_control(plan: Plan, *, instance: str, metrics_port: int) -> None:
    """Run until a signal ends it. Exits with 1 when it crashed, or another one has its name."""
    folder = made(worker_folder(plan, NAME, instance))

    def create() -> ControlApp:
        app = control_app(plan, instance=instance, folder=folder)
        app.metrics_port = metrics_port
        return app

    run(create)
