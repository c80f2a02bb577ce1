"""Processes that end with the one that started them, however that ends: they see its end of a pipe close.

The parent gives them `stdin()` and `environment()`; the command line calls `follow()`. A signal of the system's own for
it would be Linux's alone, and would come with the end of the thread that started the child.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from functools import cache
from typing import Final

_VARIABLE: Final = "HOLDTRUE_ENDS_WITH_PARENT"
# What a process that was asked to end is given, by its parent or after it: more than a worker gives itself
# (agents.process).
END_SECONDS: Final = 40.0


@cache
def stdin() -> int:
    """The stdin of all that are to end with this process: a pipe whose other end no other process is ever given."""
    reading, _held = os.pipe()
    return reading


def environment() -> dict[str, str]:
    """The environment of such a child, which tells it to follow."""
    return {**os.environ, _VARIABLE: "1"}


def follow() -> None:
    """Have this process end, as SIGTERM ends it, once its parent has ended; nothing where it was not told to."""
    # Its own children are told by it, or not at all.
    if os.environ.pop(_VARIABLE, None):
        threading.Thread(target=_follow, name="parent", daemon=True).start()


def _follow() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_SECONDS)
    os._exit(1)
