"""A contender's process: started with its output in a log, measured through /proc, stopped politely."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from streams import parent
from streams.bench.errors import BenchError

_TICKS = os.sysconf("SC_CLK_TCK")
STOP_SECONDS = 60.0


class Process:
    """One running contender. Use as a context manager: it never outlives the run."""

    def __init__(self, name: str, words: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self._name = name
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                words, stdin=parent.stdin(), stdout=output, stderr=subprocess.STDOUT,
                env={**parent.environment(), **environment}, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def require_alive(self) -> None:
        """Raises BenchError, naming the log, when the process has ended."""
        if self.code is not None:
            raise BenchError(
                f"{self._name} ended with exit code {self.code} before its work was done.", f"See {self.log}"
            )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
        # It was given a session of its own: what it left behind there is ours to end.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def cpu_seconds(pid: int) -> float:
    """CPU time that a process and all of its descendants, ended ones included, have used so far."""
    return sum(_ticks(each) for each in _tree(pid)) / _TICKS


def memory_bytes_max(pid: int) -> int:
    """The largest resident memory that each process of the tree has had, summed."""
    return sum(_peak(each) for each in _tree(pid))


def _tree(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return [pid]
    return [pid, *(each for child in children for each in _tree(child))]


def _ticks(pid: int) -> int:
    try:
        # The name, in parentheses, may hold spaces; fields 14 to 17 are the times of the process and of ended children.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(field) for field in fields[11:15])


def _peak(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
