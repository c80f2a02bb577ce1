"""One process per replica, and one for control: started together, ended together; control alone is started again."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from types import FrameType

from streams import parent
from streams.parent import END_SECONDS
from streams.plan.model import Plan
from streams.plan.refs import references

# A replica's worker that ended is not started again here: a supervisor (systemd, a container) does that better.
# Control decides nothing about rows: it alone may end, now and then, without the replicas standing still for it.
CONTROL = "control"
CONTROL_STARTS_MAX = 5
CONTROL_STARTS_SECONDS = 3600.0
CONTROL_WAIT_SECONDS = 5.0
POLL_SECONDS = 0.2


def commands(plan: Plan, plan_path: Path, instance: str, metrics_port: int) -> dict[str, list[str]]:
    """Name → the command of one process. metrics_port: control's, and the next ones in order; 0: free ones."""
    base = [sys.executable, "-m", "streams.cli.main", "--plan", str(plan_path), "worker", "--instance", instance]
    kinds = {CONTROL: ["--control"], **{name: ["--replica", name] for name in plan.replicas}}
    ports = [metrics_port and metrics_port + number for number in range(len(kinds))]
    return {
        name: [*base, *kind, "--metrics-port", str(port)]
        for (name, kind), port in zip(kinds.items(), ports, strict=True)
    }


def require_startable(plan: Plan, instance: str) -> None:
    """Raises HoldtrueError for what each process would refuse at once, all of them with the same words."""
    # Nothing of other verbs: they need not wait for what reads the settings.
    from streams.agents.alone import worker_folder

    worker_folder(plan, CONTROL, instance)  # reads the settings, and the instance's name
    kafka = (plan.kafka.bootstrap, plan.kafka.registry, plan.kafka.connect)
    for part in (*kafka, plan.source, plan.control, plan.digest_key, *plan.replicas.values()):
        for reference in references(part):
            reference.resolve()


def run_all(plan: Plan, plan_path: Path, *, instance: str, metrics_port: int) -> int:
    """Run until one ends or a signal comes; 0 when a signal ended all of them, else 1."""
    asked: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        asked.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    words = commands(plan, plan_path, instance, metrics_port)
    running = {name: _started(each) for name, each in words.items()}
    starts = deque([time.monotonic()], maxlen=CONTROL_STARTS_MAX)
    try:
        while not asked:
            ended = [name for name, process in running.items() if process.poll() is not None]
            if ended == [CONTROL] and running[CONTROL].returncode < 0 and _seldom(starts):
                # Killed by a signal, as by a failed assertion in a library: its database says where it goes on.
                sys.stderr.write(f"control ended with {running[CONTROL].returncode}; starting it again\n")
                time.sleep(CONTROL_WAIT_SECONDS)
                running[CONTROL] = _started(words[CONTROL])
                starts.append(time.monotonic())
            elif ended:
                sys.stderr.write(f"{ended[0]} ended with {running[ended[0]].returncode}; ending the others\n")
                return 1
            time.sleep(POLL_SECONDS)
        return 0
    finally:
        _end(list(running.values()))


def _started(words: list[str]) -> subprocess.Popen[bytes]:
    """A process that ends with this one: nobody else would end it, and its name would stay taken."""
    return subprocess.Popen(words, stdin=parent.stdin(), env=parent.environment())


def _seldom(starts: deque[float]) -> bool:
    """Whether one more start is within CONTROL_STARTS_MAX in CONTROL_STARTS_SECONDS."""
    return len(starts) < CONTROL_STARTS_MAX or time.monotonic() - starts[0] > CONTROL_STARTS_SECONDS


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
