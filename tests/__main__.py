"""All quick tests (`make test`): those that need the embedded stack, and beside them those that do not.

Tests on the stack wait for servers most of their time; the others compute. Side by side both are done sooner, and no
two tests of a stack disturb each other. With arguments: one pytest with these.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time

PYTEST = (sys.executable, "-m", "pytest", "-m", "not long")
COMPUTING = ("tests/unit", "tests/contract", "tests/simulation")
ON_THE_STACK = ("tests/integration", "tests/acceptance", "tests/faults")
NOTHING_COLLECTED = 5


def main(words: list[str]) -> int:
    """The exit code: 0 when everything passed."""
    if words:
        return subprocess.call((*PYTEST, *words))
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        computing = subprocess.Popen(("nice", *PYTEST, *COMPUTING), stdout=said, stderr=subprocess.STDOUT)
        try:
            on_the_stack = subprocess.call((*PYTEST, *ON_THE_STACK))
            codes = (computing.wait(), on_the_stack)
        finally:
            computing.terminate()
        said.seek(0)
        print(f"{' '.join(COMPUTING)}, meanwhile:\n{said.read()}")
    print(f"all tests took {time.monotonic() - started:.0f} s")
    return max((code for code in codes if code != NOTHING_COLLECTED), default=NOTHING_COLLECTED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
