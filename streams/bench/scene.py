"""A table that a worker keeps in step, control beside it: the scene of `bench detect` and `bench repair`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import psycopg

from streams.bench import subject
from streams.bench.apply import running, scratch
from streams.bench.contenders import Holdtrue, replica
from streams.bench.errors import BenchError
from streams.bench.plan import schema
from streams.bench.process import Process
from streams.bench.site import Place
from streams.bench.topic import ChangeTopic, Group, Note, clear, require_alone, start_source, stop_source
from streams.kafka.admin import Topics
from streams.kafka.registry import Registry
from streams.kafka.subjects import register_all
from streams.kafka.topics import topics_of
from streams.local.ports import free_port
from streams.local.progress import Reporter
from streams.local.stack import Stack
from streams.plan.names import replica_log_name
from streams.replicas.postgres_slot import drop_log
from streams.sot.fence import Fence

PROGRAM: Final = (sys.executable, "-c", "from streams.cli.main import run; run()")
REPLICA: Final = replica(1)
TARGET: Final = f"{schema(REPLICA)}.{subject.NAME}"
TOKEN_SCHEMA: Final = schema(REPLICA)
POLL_SECONDS: Final = 0.1
# Slower than this into the replica is a fault, not a result.
_ROWS_PER_SECOND_MIN: Final = 500
_START_SECONDS: Final = 120.0
_DROP_SECONDS: Final = 10.0
_CHANGED_AT_ONCE: Final = 5_000
# How long everything that the SOT has committed may take into the replica.
REACH_SECONDS: Final = 180.0


@dataclass(frozen=True, slots=True)
class Scene:
    """What runs. sot, target: connections of the benchmark's own."""

    place: Place
    worker: Process
    control: Process
    metrics_port: int
    sot: psycopg.Connection[Any]
    target: psycopg.Connection[Any]
    note: Note

    def require_alive(self) -> None:
        """Raises BenchError when a process has ended."""
        self.worker.require_alive()
        self.control.require_alive()

    def words(self, *verb: str) -> tuple[str, ...]:
        """The command line of a verb under this plan."""
        return (*PROGRAM, "--plan", str(self.place.plan_file), "--format", "json", *verb)

    def reached(self) -> str:
        """Put a fence into the SOT's log and wait until all before it is applied and committed; its position."""
        place, plan = self.place, self.place.plan
        fence = Fence(place.endpoints.sot_dsn, plan.source.slot, "holdtrue bench")
        position = fence.passed(time.monotonic() + REACH_SECONDS)
        topic, group = plan.change_topic(subject.TABLE), Group(place.endpoints.kafka, plan.group(REPLICA))
        with ChangeTopic(place.endpoints.kafka, topic) as records:
            ends = records.ends()
        self.when(partial(_has_committed, group, topic, ends), REACH_SECONDS, "apply what the SOT has committed")
        return position

    def when(self, there: Any, seconds_max: float, what: str) -> None:
        """Wait for it. Raises BenchError when it takes longer, or a process ends meanwhile."""
        deadline = time.monotonic() + seconds_max
        while not there():
            self.require_alive()
            if time.monotonic() > deadline:
                raise BenchError(f"The worker did not {what} within {seconds_max:.0f} s.", f"See {self.worker.log}")
            time.sleep(POLL_SECONDS)


def _has_committed(group: Group, topic: str, ends: Mapping[int, int]) -> bool:
    committed = group.committed(topic)
    return all(committed.get(partition, 0) >= end for partition, end in ends.items())


@contextmanager
def kept_in_step(
    stack: Stack, reporter: Reporter, note: Note, rows: int, cold: range, decisions: Mapping[str, Any]
) -> Iterator[Scene]:
    """`rows` rows in SOT and replica, equal; those of `cold` at revision 1, the others as they were loaded.

    Everything that was made or started for it is gone afterwards.
    """
    with ExitStack() as exits:
        exits.enter_context(running(stack, reporter))
        place = exits.enter_context(scratch(stack, 1, decisions))
        endpoints = place.endpoints
        sot = exits.enter_context(subject.connect(endpoints.sot_dsn))
        target = exits.enter_context(subject.connect(endpoints.replica_dsn))
        require_alone(sot)
        exits.callback(clear, place)
        exits.callback(subject.drop, target, TARGET)
        if decisions["validation"].get("replica_log"):
            exits.callback(_drop_log, place)
        _fill(place, sot, target, rows, note)
        port = free_port()
        control = exits.enter_context(_process(place, "control", ("--control",)))
        worker = exits.enter_context(_process(place, "worker", ("--replica", REPLICA, "--metrics-port", str(port))))
        exits.callback(stop_source, place)
        start_source(place)
        scene = Scene(place, worker, control, port, sot, target, note)
        _catch_up(scene, rows, cold)
        yield scene


def _drop_log(place: Place) -> None:
    """Remove slot and publication of the replica's log: its reader has ended, which the server notices soon."""
    deadline = time.monotonic() + _DROP_SECONDS
    name = replica_log_name(place.plan.name, REPLICA)
    while not drop_log(place.endpoints.replica_dsn, name) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _fill(place: Place, sot: Any, target: Any, rows: int, note: Note) -> None:
    Topics(place.endpoints.kafka).apply(topics_of(place.plan))
    register_all(place.plan, Registry(place.endpoints.registry_url))
    note(f"loading {rows:,} rows into the SOT")
    subject.create(sot, subject.TABLE)
    subject.load(sot, rows)
    subject.create(target, TARGET)


def _process(place: Place, name: str, words: Sequence[str]) -> Process:
    launch = Holdtrue().launch(place, 1)
    command = (*PROGRAM, "--plan", str(place.plan_file), "worker", *words)
    return Process(f"The {name}", command, place.logs / f"bench-{name}.log", launch.environment)


def _catch_up(scene: Scene, rows: int, cold: range) -> None:
    scene.note("waiting for the snapshot in the replica")
    seconds = _START_SECONDS + rows / _ROWS_PER_SECOND_MIN
    scene.when(lambda: subject.content(scene.target, TARGET)[0] >= rows, seconds, "apply the snapshot")
    for first in range(0, len(cold), _CHANGED_AT_ONCE):
        subject.change(scene.sot, list(cold[first : first + _CHANGED_AT_ONCE]), 1)
    scene.reached()
