"""What every test may use: one embedded stack for the whole run, started by the first test that asks for it."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

from streams.local.stack import Stack
from tests.support.folders import server_folder

# How long an example takes says something of the machine, nothing of the code.
settings.register_profile("holdtrue", deadline=None)
settings.load_profile("holdtrue")

# The first start on a machine downloads about 270 MB; every later one takes half a minute.
FIRST_START_SECONDS = 900
# A stack that already runs can be given, so that one test can be tried again and again.
GIVEN = "HOLDTRUE_TEST_STACK_DIR"


def pytest_configure() -> None:
    """Terminated is as good as interrupted: servers that fixtures have started are stopped."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts what runs in its background so; commands that are tested would ignore interrupts, too.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that may be the one that starts the stack gets the time for it."""
    for item in items:
        if "shared_stack" in getattr(item, "fixturenames", ()) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(FIRST_START_SECONDS))


@contextmanager
def in_turn() -> Iterator[None]:
    """Processes that test side by side start their servers one after the other.

    The first downloads what all of them use; and seven servers at once are as many as a small machine starts in time.
    """
    with Path(__file__).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def shared_stack() -> Iterator[Stack]:
    """All servers. Whoever uses them keeps to databases, prefixes and topics of its own."""
    given = os.environ.get(GIVEN)
    with server_folder() as folder:
        stack = Stack(Path(given) if given else folder / "stack")
        with in_turn():
            stack.up()
        try:
            yield stack
        finally:
            if not given:
                stack.down(wipe=True)
