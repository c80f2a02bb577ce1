"""All quick tests (`make test`): those that only compute in one process, those of servers in three beside it.

Tests of servers wait for them most of their time; each process has a stack of its own, and takes whole files. With
arguments: one pytest with these.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack

PYTEST = (sys.executable, "-m", "pytest", "-m", "not long")
COMPUTING = ("tests/unit", "tests/contract", "tests/simulation")
# What they say is shown while they run.
SERVERS = (
    "tests/integration",
    "tests/acceptance",
    "tests/faults",
    "-n",
    "3",
    "--dist",
    "loadfile",
    "--durations",
    "15",
)


class Pytest:
    """One pytest; what it says is shown at once, or kept for its end."""

    def __init__(self, words: Sequence[str], *, kept: bool = False) -> None:
        self._words = words
        self._said = tempfile.TemporaryFile("w+") if kept else None  # noqa: SIM115 - closed with the rest
        self._process = subprocess.Popen((*PYTEST, *words), stdout=self._said, stderr=self._said and subprocess.STDOUT)

    def end(self) -> int:
        """Wait for it, and show what was kept; its exit code."""
        code = self._process.wait()
        if self._said is not None:
            self._said.seek(0)
            print(f"\n{' '.join(self._words)}, meanwhile:\n{self._said.read()}")
        return code

    def close(self) -> None:
        """Not before it has cleaned up after itself, if it is not done: its servers are no children of ours."""
        self._process.terminate()
        self._process.wait()
        if self._said is not None:
            self._said.close()


def main(words: list[str]) -> int:
    """The exit code: 0 when everything passed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if words:
        return subprocess.call((*PYTEST, *words))
    started = time.monotonic()
    with ExitStack() as stack:
        computing = Pytest(COMPUTING, kept=True)
        stack.callback(computing.close)
        servers = Pytest(SERVERS)
        stack.callback(servers.close)
        codes = [servers.end(), computing.end()]
    print(f"all tests took {time.monotonic() - started:.0f} s")
    # A process that a signal has ended has a negative code.
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
