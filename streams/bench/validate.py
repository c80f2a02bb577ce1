"""`bench validate`: `holdtrue validate` beside reladiff, on equal tables and on tables that differ in some rows."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
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
_SECONDS_MAX = 600.0
_PROGRAM = (sys.executable, "-c", "from streams.cli.main import run; run()")


@dataclass(frozen=True, slots=True)
class Answer:
    """One call of a contender: how long it took, what it cost, how many differing rows it named."""

    seconds: float
    cpu_seconds: float
    memory_bytes_max: int
    differing: int


def bench_validate(stack: Stack, reporter: Reporter, note: Note, *, rows: int, runs: int) -> dict[str, Any]:
    """Both on the same two tables, in turns. Raises BenchError when one of them does not find what is there."""
    with ExitStack() as exits:
        exits.enter_context(running(stack, reporter))
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
        equal = _rounds(place, launch.target, worker, runs, 0, note)
        _make_differ(target, launch.target, rows)
        differing = _rounds(place, launch.target, worker, runs, min(DIFFERING, rows), note)
    return _document(rows, runs, equal, differing)


Rounds = Mapping[str, Sequence[Answer]]


def _rounds(place: Place, target: str, worker: Process, runs: int, expected: int, note: Note) -> Rounds:
    done: dict[str, list[Answer]] = {"holdtrue": [], PEER: []}
    for number in range(1, runs + 1):
        for name, answer in (("holdtrue", _holdtrue(place, worker)), (PEER, _reladiff(place, target))):
            if answer.differing != expected:
                raise BenchError(
                    f"{name} named {answer.differing} differing rows where there are {expected}: no figure is given.",
                    "Run it again with --format json and look at the answers.",
                )
            done[name].append(answer)
            note(f"run {number}, {expected} rows differ: {name}: {answer.seconds:.2f} s")
    return done


def _make_differ(target: psycopg.Connection[Any], table: str, rows: int) -> None:
    """Change rows all over the replica's table behind everybody's back."""
    count = min(DIFFERING, rows)
    keys = [1 + place * rows // count for place in range(count)]
    schema, name = table.split(".", 1)
    statement = psycopg.sql.SQL("UPDATE {} SET customer = customer + 1 WHERE id = ANY(%s)")
    target.execute(statement.format(psycopg.sql.Identifier(schema, name)), (keys,))


def _holdtrue(place: Place, worker: Process) -> Answer:
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


def _reladiff(place: Place, target: str) -> Answer:
    settings = place.folder / "reladiff.toml"
    _write_settings(settings, place, target)
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


def _document(rows: int, runs: int, equal: Rounds, differing: Rounds) -> dict[str, Any]:
    """The document that `bench validate --format json` prints; `ratio` above 1: holdtrue is faster."""
    mine, theirs = (_figures(rows, equal[name], differing[name]) for name in ("holdtrue", PEER))
    return {
        "rows": rows,
        "runs": runs,
        "holdtrue": mine,
        "peer": {"name": PEER, **theirs},
        "ratio": round(theirs["seconds"] / mine["seconds"], 3),
        "ratio_differing": round(theirs["seconds_differing"] / mine["seconds_differing"], 3),
    }


def _figures(rows: int, equal: Sequence[Answer], differing: Sequence[Answer]) -> dict[str, Any]:
    times: dict[str, list[float]] = {
        "seconds": [answer.seconds for answer in equal],
        "seconds_differing": [answer.seconds for answer in differing],
        "cpu_seconds_per_million_rows": [answer.cpu_seconds / rows * 1e6 for answer in equal],
        "memory_bytes_max": [answer.memory_bytes_max for answer in (*equal, *differing)],
    }
    return {
        **{name: rounded(median(found)) for name, found in times.items()},
        "spread": {name: [rounded(min(found)), rounded(max(found))] for name, found in times.items()},
    }
