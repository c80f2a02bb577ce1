"""A contender's process is measured with its children, and never outlives its run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.bench.errors import BenchError
from streams.bench.process import Process, cpu_seconds, memory_bytes_max

BUSY_CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"


def wait_for(there: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_cpu_time_of_children_counts(tmp_path: Path) -> None:
    """A launcher that only waits is as busy as what it started, and takes it along when it is ended."""
    with Process("x", [sys.executable, "-c", BUSY_CHILD], tmp_path / "log", {}) as process:
        wait_for(lambda: cpu_seconds(process.pid) > 0.3)
        assert memory_bytes_max(process.pid) > 5_000_000
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert children
    wait_for(lambda: not any(_runs(int(child)) for child in children))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_process_that_ended_is_named_with_its_log(tmp_path: Path) -> None:
    """A crash ends the benchmark at once instead of running into its time limit."""
    with Process("the peer", [sys.executable, "-c", "raise SystemExit(7)"], tmp_path / "log", {}) as process:
        wait_for(lambda: _ended(process))
        with pytest.raises(BenchError, match=r"the peer ended with exit code 7"):
            process.require_alive()


def test_leaving_the_run_ends_the_process(tmp_path: Path) -> None:
    """Also when the run failed."""
    with Process("x", [sys.executable, "-c", "while True: pass"], tmp_path / "log", {}) as process:
        process.require_alive()
    with pytest.raises(BenchError):
        process.require_alive()


def _ended(process: Process) -> bool:
    try:
        process.require_alive()
    except BenchError:
        return True
    return False
