"""One process per replica, and one for control: started together, ended together."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from streams.plan.model import Plan

# A worker that ended is not started again here: a supervisor (systemd, a container) does that better. All end.
POLL_SECONDS = 0.2
END_SECONDS = 40.0


def commands(plan: Plan, plan_path: Path, instance: str) -> dict[str, list[str]]:
    """Name → the command of one process."""
    base = [sys.executable, "-m", "streams.cli.main", "--plan", str(plan_path), "worker", "--instance", instance]
    return {"control": [*base, "--control"], **{name: [*base, "--replica", name] for name in plan.replicas}}


def run_all(plan: Plan, plan_path: Path, *, instance: str) -> int:
    """Run until one ends or a signal comes; 0 when a signal ended all of them, else 1."""
    asked: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        asked.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    running = {name: subprocess.Popen(words) for name, words in commands(plan, plan_path, instance).items()}
    try:
        while not asked:
            ended = [name for name, process in running.items() if process.poll() is not None]
            if ended:
                sys.stderr.write(f"{ended[0]} ended with {running[ended[0]].returncode}; ending the others\n")
                return 1
            time.sleep(POLL_SECONDS)
        return 0
    finally:
        _end(list(running.values()))


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + END_SECONDS
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
