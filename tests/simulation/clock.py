"""Time and waiting without either: an event loop whose clock jumps to the next thing that is due."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from streams.checks.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

# What "now" is when a history begins.
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class VirtualLoop(asyncio.BaseEventLoop):
    """An asyncio loop on which nothing ever really waits: same callbacks, same order, every time."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._selector = self  # the base class asks it how long to sleep
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Virtual seconds since the history began."""
        return self._now

    def run_for(self, seconds: float) -> None:
        """Run everything that is due within the next virtual `seconds`."""
        self.call_at(self._now + seconds, self.stop)
        self.run_forever()

    def select(self, timeout: float | None) -> tuple[()]:
        """Instead of sleeping until the next timer: be there."""
        if timeout:
            self._now += timeout
        return ()

    def _process_events(self, event_list: Any) -> None:
        """There are no files to watch."""

    def _write_to_self(self) -> None:
        """Nobody else is to be woken."""


class _Time:
    """Stands in for the module `time` where code under test asks how late it is."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.monotonic = loop.time
        self._loop = loop

    def time(self) -> float:
        return BEGINNING.timestamp() + self._loop.time()


def now(loop: VirtualLoop) -> datetime:
    """The wall clock of the history."""
    return BEGINNING + timedelta(seconds=loop.time())


@contextmanager
def virtual_time(loop: VirtualLoop, rng: Random) -> Iterator[None]:
    """Have streams/ ask the loop for the time, and the seed for its jitter."""

    class Datetime(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return now(loop)

    time = _Time(loop)
    timed = ("agents.inbox", "agents.owner", "agents.table", "agents.apply", "agents.worker", "agents.scrub",
             "agents.findings", "agents.reverse", "validation.target")  # fmt: skip
    dated = ("announce", "checks", "failures", "findings", "repairs", "requests", "truncate")
    with ExitStack() as stack:
        for module in timed:
            stack.enter_context(patch(f"streams.{module}.time", time))
        for module in dated:
            stack.enter_context(patch(f"streams.agents.{module}.datetime", Datetime))
        stack.enter_context(patch("streams.agents.retry.random", rng))
        stack.enter_context(patch("streams.agents.owner.Watch", partial(Watch, loop.time)))
        yield
