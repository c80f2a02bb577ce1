"""What every Faust app of ours is: batches in, offsets committed by the work itself, no web, crash only."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import sys
from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import faust
from faust.app.base import BootStrategy
from faust.types import TP

from streams.agents.process import Process
from streams.errors import HoldtrueError
from streams.health import serve, url
from streams.plan.model import Plan
from streams.settings import settings
from streams.transport.batches import BatchSchema
from streams.transport.consumer import BatchTransport
from streams.transport.membership import failure
from streams.transport.table import CHANGELOG_BATCH_BYTES

log = logging.getLogger(__name__)

# Fetches that may wait for an agent before the consumer is held back.
WAITING_BATCHES_MAX = 16
MEMBERSHIP_EVERY_SECONDS = 1.0


class _NoWeb(BootStrategy):  # type: ignore[misc]  # faust ships no types
    """Faust's HTTP views show table data without authentication; metrics have a server of their own."""

    enable_web = False


class SeveralTopics(faust.Topic):  # type: ignore[misc]
    """A topic object over the topics of all tables; Faust's commands show it by all their names."""

    def get_topic_name(self) -> str:
        """The names, for people."""
        return ", ".join(self.topics)


def member(group: str, instance: str, topics: Iterable[str]) -> str:
    """The name of a static member of the group: the same after a restart, and another one for other topics.

    A static member that comes back within its session is given what it had, whatever it now subscribes to: Kafka
    compares the names of the assignment's protocols only. A table that was added would never be read.
    """
    subscription = hashlib.sha256("\n".join(sorted(topics)).encode()).hexdigest()[:8]
    return f"{group}.{instance}.{subscription}"


class App(faust.App):  # type: ignore[misc]
    """A Faust app whose consumer hands over batches, and whose offsets are committed by those who did the work."""

    BootStrategy = _NoWeb
    metrics_port = 0
    folder: Path

    @classmethod
    def of(
        cls, plan: Plan, name: str, topics: Iterable[str], *, folder: Path, instance: str, fetch_bytes_max: int
    ) -> Self:
        """The app that is `name` in the plan's groups, for what these topics tell. Connects to nothing yet."""
        app = cls(
            plan.group(name),
            broker=[f"kafka://{server}" for server in plan.kafka.bootstrap.resolve().split(",")],
            datadir=str(folder / "faust"),
            store="memory://",
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            processing_guarantee="at_least_once",
            consumer_auto_offset_reset="earliest",
            consumer_group_instance_id=member(plan.group(name), instance, topics),
            consumer_max_fetch_size=fetch_bytes_max,
            producer_max_batch_size=CHANGELOG_BATCH_BYTES,
            producer_linger=0,
            stream_buffer_maxsize=WAITING_BATCHES_MAX,
            stream_wait_empty=False,
            stream_recovery_delay=0.0,
            broker_session_timeout=30.0,
            Topic=SeveralTopics,
            Worker=Process,
        )
        app.folder = folder
        return app

    def prepare_folder(self) -> None:
        """Have local state right before it is opened, and before the group is joined; blocks. Raises HoldtrueError."""

    def batches_of(self, *topics: str) -> Any:
        """A topic object that gives the fetches of these topics to an agent."""
        return self.topic(*topics, schema=BatchSchema(), acks=False, key_type=bytes, value_type=bytes)

    @abstractmethod
    def prepare(self) -> None:
        """Have ready what must be there before anything is consumed; blocks. Raises HoldtrueError."""

    @abstractmethod
    def live(self) -> str | None:
        """Why this process should be started again; None when it moves, or has nothing to do."""

    @abstractmethod
    def ready(self) -> str | None:
        """Why this process does not do its work yet; None when it does."""

    @abstractmethod
    def is_ordered(self, tp: TP) -> bool:
        """Whether every record of a partition counts, so that a gap is a loss."""

    @abstractmethod
    async def on_gap(self, tp: TP, wanted: int, first: int) -> None:
        """Records from `wanted` up to `first` of an ordered partition are gone."""

    @abstractmethod
    async def on_begun_anew(self, tp: TP, wanted: int) -> None:
        """An ordered partition is read from before `wanted`, although it was read up to there: was it made anew?"""

    @abstractmethod
    def start_offset(self, tp: TP, committed: int | None) -> int | None:
        """Where to start reading a partition; None leaves it to what the group committed."""

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)

    async def on_first_start(self) -> None:
        """Have the stores ready and the metrics served before anything is consumed."""
        await super().on_first_start()
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._open)
        except HoldtrueError as error:
            await self.crash(error)
        self.add_future(self._watch_membership())

    async def _watch_membership(self) -> None:
        while not self.should_stop:
            if (failed := failure(self.consumer)) is not None:
                await self.crash(_left_out(self.conf.id, failed))
            await self.sleep(MEMBERSHIP_EVERY_SECONDS)

    def _open(self) -> None:
        self.prepare()
        host = settings().metrics_host
        port = serve(self.metrics_port, live=self.live, ready=self.ready, host=host)
        sys.stderr.write(f"{self.conf.id}: metrics on {url(host, port)}\n")

    async def crash(self, reason: BaseException) -> None:
        """End the process at once: what an error nobody foresaw left half-done is replayed, as after a kill.

        Faust's own way out can wait for ever on the part that failed; a supervisor starts the worker again.
        """
        if isinstance(reason, HoldtrueError):
            sys.stderr.write(reason.told)
        else:
            log.critical("the worker of %s ends: %r", self.conf.id, reason, exc_info=reason)
        logging.shutdown()
        os._exit(1)


def _left_out(group: str, failed: BaseException) -> HoldtrueError:
    return HoldtrueError(
        f"This process is out of its group {group} for good: {failed!r}.",
        "Start it again (a supervisor does). Where that does not help: no two processes of the group may have the same "
        "--instance, on whatever machine, and all must read the same plan.",
    )
