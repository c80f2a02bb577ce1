"""Worker processes of a bank."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.support.wait import wait_until

STOP_SECONDS = 40


@dataclass
class Worker:
    """A worker process and what it wrote."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        """Everything it has written so far."""
        return self.log.read_text(errors="replace")

    def metric(self, name: str, **labels: str) -> float:
        """The sum of what it serves under this name with these labels."""
        self.wait_said("metrics on")
        (address,) = set(re.findall(r"metrics on (http://\S+)", self.said))
        served = requests.get(address, timeout=10).text
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = [line for line in served.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
        return sum(float(line.split()[-1]) for line in lines if all(each in line for each in wanted))

    def wait_said(self, text: str, seconds: float = 90.0) -> None:
        """Until the text is in its log."""
        wait_until(
            lambda: text in self.said, lambda: f"{text!r} in the worker's log {self.log}:\n{self.said[-3000:]}", seconds
        )

    def wait_end(self, seconds: float = 90.0) -> int:
        """Its exit code (negative: the signal that killed it)."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker did not end in {seconds} s:\n{self.said[-3000:]}") from None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It does nothing meanwhile, and does not know of it afterwards."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it; gives its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_SECONDS)
            raise AssertionError(
                f"the worker did not end {STOP_SECONDS} s after {how.name}:\n{self.said[-3000:]}"
            ) from None


def stop_all(workers: Sequence[Worker]) -> list[int]:
    """End them at the same time; the exit codes. All must still run."""
    for worker in workers:
        assert worker.process.poll() is None, f"a worker ended on its own:\n{worker.said[-3000:]}"
        worker.process.send_signal(signal.SIGTERM)
    # Asked once: a second signal in the last moment of an orderly end would kill.
    return [worker.wait_end(STOP_SECONDS) for worker in workers]
