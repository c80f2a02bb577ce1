"""`bench apply`: the same change topic into Postgres, by a holdtrue worker and by the JDBC sink, in turns."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import psycopg
from confluent_kafka import KafkaException

from streams.bench import plan as bench_plan
from streams.bench.contenders import PEER, Contender, Holdtrue, JdbcSink, replica
from streams.bench.control import own_control
from streams.bench.errors import BenchError
from streams.bench.report import FIGURES, comparison
from streams.bench.run import Run, measure
from streams.bench.site import Place
from streams.bench.topic import Note, filled
from streams.local.artifacts import load_lock
from streams.local.fetch import Cache
from streams.local.progress import Reporter
from streams.local.stack import Stack
from streams.plan.check import load_plan
from streams.settings import settings


def bench_apply(
    stack: Stack, reporter: Reporter, note: Note, *, rows: int, runs: int, tasks: int, driver: str
) -> dict[str, Any]:
    """Measure both, `runs` times each. Raises BenchError rather than give a figure for wrong content."""
    Cache(settings().cache_dir).ensure(load_lock()["bench"], reporter)
    with running(stack, reporter), scratch(stack, runs) as place, filled(place, rows, note) as marks:
        store_pid = stack.pid("replica")
        assert store_pid is not None
        done: dict[str, list[Run]] = {"holdtrue": [], PEER: []}
        contenders: tuple[Contender, ...] = (Holdtrue(), JdbcSink(tasks, driver))
        for number in range(1, runs + 1):
            for contender in contenders:
                run = measure(contender, place, marks, rows, number, store_pid)
                done[contender.name].append(run)
                note(_line(contender.name, number, run))
    return comparison(rows, done["holdtrue"], done[PEER], PEER)


def _line(name: str, number: int, run: Run) -> str:
    found = {figure: of(run) for figure, of in FIGURES.items()}
    return (
        f"run {number}: {name}: {found['rows_per_second']:,.0f} rows/s "
        f"(snapshot {found['snapshot_rows_per_second']:,.0f}, updates {found['update_rows_per_second']:,.0f}), "
        f"{found['cpu_seconds_per_million_rows']:.1f} CPU s per million rows, {run.memory_bytes_max / 1e6:,.0f} MB"
    )


@contextmanager
def running(stack: Stack, reporter: Reporter) -> Iterator[None]:
    """The stack, up; down again at the end if it was not up before."""
    started = stack.up(reporter)
    try:
        yield
    except (psycopg.Error, KafkaException) as error:
        raise BenchError(
            f"A server failed under the benchmark ({type(error).__name__}).", "Look at it: holdtrue stack"
        ) from error
    finally:
        if started:
            stack.down()


@contextmanager
def scratch(stack: Stack, runs: int, decisions: Mapping[str, Any] = MappingProxyType({})) -> Iterator[Place]:
    """A plan under a name of its own in scratch space, so that an earlier call that was killed disturbs nothing."""
    name = f"bench{uuid4().hex[:8]}"
    folder = Path(tempfile.mkdtemp(prefix="holdtrue-bench-"))
    try:
        with own_control(stack.endpoints(), name) as endpoints:
            os.environ.update(endpoints.environment())
            file = folder / "consistency.yaml"
            replicas = [replica(number) for number in range(1, runs + 1)]
            bench_plan.write(file, bench_plan.document(name, replicas, decisions))
            converter = stack.data / "connect" / "plugins" / "converter"
            yield Place(endpoints, folder, load_plan(file), file, converter, stack.data / "logs")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
