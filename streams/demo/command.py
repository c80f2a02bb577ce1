"""The demo's way to run holdtrue: the real command line, in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streams import parent
from streams.errors import HoldtrueError
from streams.local.ports import free_port

COMMAND_SECONDS = 300
END_SECONDS = 20.0


class StepFailed(HoldtrueError):
    """A command of the demo did not end as it must."""


@dataclass(slots=True)
class CommandLine:
    """Runs `holdtrue` with one plan and one environment; `say` shows each command before it runs."""

    plan: Path
    environment: Mapping[str, str]
    folder: Path
    say: Callable[[str], None]
    workers: dict[str, Worker] = field(default_factory=dict)

    def run(self, *words: str, expected: Sequence[int] = (0,)) -> Any:
        """The JSON that a command prints. Raises StepFailed for another exit code than the expected ones."""
        self.say("$ holdtrue " + " ".join(words))
        try:
            done = subprocess.run(
                self._words("--format", "json", "--quiet", *words), env=self._env(), capture_output=True, text=True,
                timeout=COMMAND_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise StepFailed(
                f"holdtrue {' '.join(words)} did not end in {COMMAND_SECONDS} s.",
                "Is the machine busy with something else? The demo wants two cores to itself.",
            ) from None
        if done.returncode not in expected:
            said = (done.stderr.strip() or done.stdout.strip())[-2000:]
            raise StepFailed(f"holdtrue {' '.join(words)} ended with {done.returncode}.", said)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def start_worker(self, name: str, *words: str) -> None:
        """Begin a worker; its log is in the demo's folder."""
        port = free_port()
        log = self.folder / f"worker-{name}.log"
        command = self._words("--quiet", "worker", *words, "--metrics-port", str(port))
        with log.open("w") as output:
            process = subprocess.Popen(command, env={**parent.environment(), **self.environment},
                                       stdin=parent.stdin(), stdout=output, stderr=subprocess.STDOUT)  # fmt: skip
        self.workers[name] = Worker(name, process, port, log)

    def check_workers(self) -> None:
        """Raises StepFailed when a worker has ended."""
        for worker in self.workers.values():
            if worker.process.poll() is not None:
                raise StepFailed(
                    f"The worker {worker.name} ended with {worker.process.returncode}.", f"See {worker.log}."
                )

    def stop_workers(self) -> None:
        """End all workers, by force where they take too long."""
        for worker in self.workers.values():
            worker.process.terminate()
        deadline = time.monotonic() + END_SECONDS
        for worker in self.workers.values():
            try:
                worker.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
        self.workers.clear()

    def wait_for(self, what: str, done: Callable[[], bool], seconds: float) -> None:
        """Until `done`; raises StepFailed after so many seconds, and when a worker ends meanwhile."""
        deadline = time.monotonic() + seconds
        while not done():
            self.check_workers()
            if time.monotonic() > deadline:
                raise StepFailed(f"Waited {seconds:.0f} s in vain for: {what}.", f"The logs are in {self.folder}.")
            time.sleep(0.25)

    def _words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "streams.cli.main", "--plan", str(self.plan), *words]

    def _env(self) -> dict[str, str]:
        return {**os.environ, **self.environment}


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process and where it serves its metrics."""

    name: str
    process: subprocess.Popen[bytes]
    metrics_port: int
    log: Path
