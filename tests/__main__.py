"""All quick tests (`make test`), in three processes side by side.

Tests of servers wait for them most of their time, and each process has a stack of its own; those that only compute run
beside them, with less of the machine. With arguments: one pytest with these.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack

PYTEST = (sys.executable, "-m", "pytest", "-m", "not long")
COMPUTING = ("tests/unit", "tests/contract", "tests/simulation")
COMMANDS = ("tests/acceptance", "tests/faults")
# The longest; what it says is shown while it runs.
COMPONENTS = ("tests/integration",)


class Group:
    """One pytest in the background, and what it said."""

    def __init__(self, folders: Sequence[str], *before: str) -> None:
        self._folders = folders
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the group
        self._process = subprocess.Popen((*before, *PYTEST, *folders), stdout=self._said, stderr=subprocess.STDOUT)

    def end(self) -> int:
        """Wait for it, and show what it said; its exit code."""
        code = self._process.wait()
        self._said.seek(0)
        print(f"\n{' '.join(self._folders)}, meanwhile:\n{self._said.read()}")
        return code

    def close(self) -> None:
        """Not before it has cleaned up after itself, if it is not done."""
        self._process.terminate()
        self._process.wait()
        self._said.close()


def main(words: list[str]) -> int:
    """The exit code: 0 when everything passed."""
    if words:
        return subprocess.call((*PYTEST, *words))
    started = time.monotonic()
    with ExitStack() as stack:
        beside = [Group(COMMANDS), Group(COMPUTING, "nice")]
        for group in beside:
            stack.callback(group.close)
        codes = [subprocess.call((*PYTEST, *COMPONENTS)), *(group.end() for group in beside)]
    print(f"all tests took {time.monotonic() - started:.0f} s")
    # A process that a signal has ended has a negative code.
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
