"""`bench validate`: `holdtrue validate` beside reladiff, on equal tables and on tables that differ in some rows."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from streams.bench import subject
from streams.bench.apply import running, scratch
from streams.bench.contenders import Holdtrue, replica
from streams.bench.errors import BenchError
from streams.bench.process import Process, cpu_seconds, memory_bytes_max
from streams.bench.report import rounded
from streams.bench.run import Watch
from streams.bench.site import Place
from streams.bench.topic import Note, filled
from streams.kafka.registry import Registry
from streams.kafka.subjects import register_all
from streams.local.progress import Reporter
from streams.local.stack import Stack

PEER = "reladiff 0.6.0"
DIFFERING = 100
CURVE_ROWS = (100_000, 1_000_000)
CURVE_DIFFERING = (1, 10, 100, 1_000, 10_000)
_SECONDS_MAX = 600.0
_PROGRAM = (sys.executable, "-c", "from streams.cli.main import run; run()")


@dataclass(frozen=True, slots=True)
class Answer:
    """One call of a contender: how long it took, what it cost, how many differing rows it named."""

    seconds: float
    cpu_seconds: float
    memory_bytes_max: int
    differing: int


@dataclass(frozen=True, slots=True)
class Site:
    """Two equal tables of `rows` rows, and a worker that keeps them so."""

    place: Place
    target: psycopg.Connection[Any]
    table: str
    worker: Process
    rows: int


def bench_validate(
    stack: Stack, reporter: Reporter, note: Note, *, rows: int, runs: int, curve: bool = False
) -> dict[str, Any]:
    """Both on the same two tables, in turns. Raises BenchError when one of them does not find what is there."""
    with running(stack, reporter):
        with site(stack, rows, note) as here:
            equal = _rounds(here, runs, 0, note)
            with differing(here, min(DIFFERING, rows)) as count:
                unequal = _rounds(here, runs, count, note)
        points = [point for size in CURVE_ROWS for point in _points(stack, size, note)] if curve else []
    return _document(rows, runs, equal, unequal) | ({"curve": points} if curve else {})


@contextmanager
def site(stack: Stack, rows: int, note: Note) -> Iterator[Site]:
    """Tables of so many rows, filled through Kafka; removed at the end."""
    with ExitStack() as exits:
        place = exits.enter_context(scratch(stack, 1))
        register_all(place.plan, Registry(place.endpoints.registry_url))
        marks = exits.enter_context(filled(place, rows, note, keep_source=True))
        target = exits.enter_context(subject.connect(place.endpoints.replica_dsn))
        launch = Holdtrue().launch(place, 1)
        subject.create(target, launch.target)
        exits.callback(subject.drop, target, launch.target)
        log = place.logs / "bench-holdtrue.log"
        worker = exits.enter_context(Process("holdtrue", launch.words, log, launch.environment))
        Watch(worker, launch, place, marks, target, rows).times()
        yield Site(place, target, launch.target, worker, rows)


def _points(stack: Stack, rows: int, note: Note) -> Iterator[dict[str, Any]]:
    """How long both take for a table of so many rows, by the number of those that differ."""
    with site(stack, rows, note) as here:
        for count in (0, *CURVE_DIFFERING):
            with differing(here, count):
                found = _rounds(here, 1, count, note)
            mine, theirs = (rounded(found[name][0].seconds) for name in ("holdtrue", PEER))
            yield {"rows": rows, "differing": count, "holdtrue_seconds": mine, "peer_seconds": theirs}


Rounds = Mapping[str, Sequence[Answer]]


def _rounds(here: Site, runs: int, expected: int, note: Note) -> Rounds:
    done: dict[str, list[Answer]] = {"holdtrue": [], PEER: []}
    for number in range(1, runs + 1):
        for name, contender in (("holdtrue", _holdtrue), (PEER, _reladiff)):
            answer = contender(here)
            if answer.differing != expected:
                raise BenchError(
                    f"{name} named {answer.differing} differing rows where there are {expected}: no figure is given.",
                    "Run it again with --format json and look at the answers.",
                )
            done[name].append(answer)
            note(f"run {number}, {expected} of {here.rows:,} rows differ: {name}: {answer.seconds:.2f} s")
    return done


@contextmanager
def differing(here: Site, count: int) -> Iterator[int]:
    """Inside, so many rows all over the replica's table are changed, behind everybody's back."""
    keys = [1 + place * here.rows // count for place in range(count)]
    schema, name = here.table.split(".", 1)
    change = psycopg.sql.SQL("UPDATE {} SET customer = customer + %s WHERE id = ANY(%s)")
    statement = change.format(psycopg.sql.Identifier(schema, name))
    here.target.execute(statement, (1, keys))
    try:
        yield count
    finally:
        here.target.execute(statement, (-1, keys))


def _holdtrue(here: Site) -> Answer:
    place, worker = here.place, here.worker
    options = ("--plan", str(place.plan_file), "--format", "json")
    verb = ("validate", "--table", subject.TABLE, "--replica", replica(1), "--depth", "checksums")
    before = cpu_seconds(worker.pid)
    call = _timed((*_PROGRAM, *options, *verb), place, "holdtrue-validate", (0, 3))
    worker.require_alive()
    results = json.loads(call.output)["results"]
    outcomes = [result["outcome"] for result in results]
    if outcomes not in (["correct"], ["drifted"]):
        raise BenchError(
            f"holdtrue validate answered {', '.join(outcomes)}: {call.errors.strip()[-300:]}", f"See {worker.log}"
        )
    memory = max(call.memory_bytes_max, memory_bytes_max(worker.pid))
    return Answer(call.seconds, call.cpu_seconds + cpu_seconds(worker.pid) - before, memory, results[0]["drift_found"])


def _reladiff(here: Site) -> Answer:
    place = here.place
    settings = place.folder / "reladiff.toml"
    _write_settings(settings, place, here.table)
    program = str(Path(sys.executable).with_name("reladiff"))
    if not Path(program).exists():
        raise BenchError("reladiff is not installed.", "Install it: pip install 'holdtrue[bench]'")
    call = _timed(
        (program, "--conf", str(settings), "--run", "default", "-k", subject.KEY, "-c", "%", "--json"),
        place,
        "reladiff",
        (0,),
    )
    # It logs an error and exits with 0: what it says on stderr decides (each differing row is two lines, - and +).
    if "ERROR" in call.errors or "Traceback" in call.errors:
        raise BenchError("reladiff failed.", "Install it with its Postgres driver: pip install 'holdtrue[bench]'")
    lines = [line for line in call.output.splitlines() if line.startswith("[")]
    return Answer(call.seconds, call.cpu_seconds, call.memory_bytes_max, len(lines) // 2)


def _write_settings(path: Path, place: Place, target: str) -> None:
    """Its DSNs go into a file that only we can read, not onto a command line."""
    sides = ((1, place.endpoints.sot_dsn, subject.TABLE), (2, place.endpoints.replica_dsn, target))
    lines = [f"{n}.database = {json.dumps(dsn)}\n{n}.table = {json.dumps(table)}\n" for n, dsn, table in sides]
    path.touch(mode=0o600)
    path.write_text(f"[run.default]\n{''.join(lines)}")


@dataclass(frozen=True, slots=True)
class _Call:
    seconds: float
    cpu_seconds: float
    memory_bytes_max: int
    output: str
    errors: str


def _timed(words: Sequence[str], place: Place, name: str, codes: Sequence[int]) -> _Call:
    """Run a command to its end; its CPU and memory as the kernel counted them."""
    out, errors = place.folder / f"{name}.out", place.folder / f"{name}.err"
    environment = {**os.environ, **place.endpoints.environment()}
    started = time.monotonic()
    with out.open("wb") as stdout, errors.open("wb") as stderr:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=environment)
        usage = _wait(process, name)
    seconds = time.monotonic() - started
    if process.returncode not in codes:
        tail = errors.read_text(errors="replace").strip().splitlines()[-1:]
        raise BenchError(f"{name} ended with exit code {process.returncode}.", " ".join(tail))
    cpu = usage.ru_utime + usage.ru_stime
    return _Call(seconds, cpu, usage.ru_maxrss * 1024, out.read_text(), errors.read_text(errors="replace"))


def _wait(process: subprocess.Popen[bytes], name: str) -> resource.struct_rusage:
    """Wait for the end of a command; gives what it used, its children included."""
    deadline = time.monotonic() + _SECONDS_MAX
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return usage
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise BenchError(f"{name} did not end within {_SECONDS_MAX:.0f} s.", "See its output.")
        time.sleep(0.005)


def _document(rows: int, runs: int, equal: Rounds, unequal: Rounds) -> dict[str, Any]:
    """The document that `bench validate --format json` prints; `ratio` above 1: holdtrue is faster.

    ratio_of_runs: per pair of neighbouring runs, which noise of the machine disturbs less than medians.
    """
    mine, theirs = (_figures(rows, equal[name], unequal[name]) for name in ("holdtrue", PEER))
    return {
        "rows": rows,
        "runs": runs,
        "holdtrue": mine,
        "peer": {"name": PEER, **theirs},
        "ratio": round(theirs["seconds"] / mine["seconds"], 3),
        "ratio_differing": round(theirs["seconds_differing"] / mine["seconds_differing"], 3),
        "ratio_of_runs": _ratios(equal),
        "ratio_of_runs_differing": _ratios(unequal),
    }


def _ratios(found: Rounds) -> list[float]:
    return [round(b.seconds / a.seconds, 3) for a, b in zip(found["holdtrue"], found[PEER], strict=True)]


def _figures(rows: int, equal: Sequence[Answer], unequal: Sequence[Answer]) -> dict[str, Any]:
    times: dict[str, list[float]] = {
        "seconds": [answer.seconds for answer in equal],
        "seconds_differing": [answer.seconds for answer in unequal],
        "cpu_seconds_per_million_rows": [answer.cpu_seconds / rows * 1e6 for answer in equal],
        "memory_bytes_max": [answer.memory_bytes_max for answer in (*equal, *unequal)],
    }
    return {
        **{name: rounded(median(found)) for name, found in times.items()},
        "spread": {name: [rounded(min(found)), rounded(max(found))] for name, found in times.items()},
    }
