"""A Faust process that ends in bounded time, and whose libraries log at a bounded rate."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import faust
import uvloop

from streams.agents.alone import alone

log = logging.getLogger(__name__)

# More than an owner may take to finish its batch (agents.worker), less than `worker --all` waits before it kills.
END_SECONDS = 35.0
# A broker that is away is complained of by every client hundreds of times a second.
LINES_MAX = 5
LINES_EVERY_SECONDS = 10.0
NOISY = ("aiokafka", "kafka")


class Process(faust.Worker):  # type: ignore[misc]  # Faust has no types
    """One app, made when its event loop is there, and run until a signal ends it or it crashes."""

    def __init__(self, create: Callable[[], faust.App]) -> None:
        loop = uvloop.new_event_loop()
        asyncio.set_event_loop(loop)
        super().__init__(create(), loop=loop, loglevel="info", redirect_stdouts=False)

    def on_setup_root_logger(self, logger: logging.Logger, level: int) -> None:
        """Handlers are there now."""
        super().on_setup_root_logger(logger, level)
        for handler in logger.handlers:
            handler.addFilter(Sparing())

    async def stop(self) -> None:
        """After a signal, and after a crash."""
        end_within(END_SECONDS)
        await super().stop()


def run_alone(create: Callable[[], faust.App], folder: Path, first: Callable[[], None] = lambda: None) -> None:
    """Run the app until a signal ends it, as the only process of its folder; `first`, before it begins.

    Raises InstanceTaken.
    """
    process = Process(create)
    with alone(folder):
        first()
        process.execute_from_commandline()


def end_within(seconds: float) -> None:
    """End this process by force if it still runs then: a client that waits for a dead broker may hold it for ever.

    Nothing is lost by it: what was not committed is read again, as after a kill.
    """
    timer = threading.Timer(seconds, _give_up, [seconds])
    timer.daemon = True
    timer.start()


def _give_up(seconds: float) -> None:
    log.error("not ended after %g s: something still waits, perhaps for Kafka; ended by force", seconds)
    for handler in logging.getLogger().handlers:
        handler.flush()
    os._exit(1)


class Sparing(logging.Filter):
    """Of one line of a client library's code, LINES_MAX messages in LINES_EVERY_SECONDS, and then how many more."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._since: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is written."""
        if not record.name.startswith(NOISY):
            return True
        place, now = (record.pathname, record.lineno), self._clock()
        begun, count = self._since.get(place, (now, 0))
        if now - begun >= LINES_EVERY_SECONDS:
            if count > LINES_MAX:
                record.msg = f"{record.getMessage()} (and {count - LINES_MAX} more like it in {now - begun:.0f} s)"
                record.args = ()
            begun, count = now, 0
        self._since[place] = (begun, count + 1)
        return count < LINES_MAX
