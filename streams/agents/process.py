"""A Faust process that ends in bounded time, and whose libraries log at a bounded rate."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import faust
import uvloop

from streams.agents.alone import alone
from streams.errors import HoldtrueError

if TYPE_CHECKING:
    from streams.agents.base import App

log = logging.getLogger(__name__)

# More than an owner may take to finish its batch (agents.worker), less than `worker --all` waits before it kills.
END_SECONDS = 35.0
# A broker that is away is complained of by every client hundreds of times a second.
LINES_MAX = 5
LINES_EVERY_SECONDS = 10.0
NOISY = ("aiokafka", "kafka")


class Process(faust.Worker):  # type: ignore[misc]  # Faust has no types
    """One app, run until a signal ends it or it crashes: by `holdtrue worker`, and by Faust's own command."""

    app: App

    def execute_from_commandline(self) -> None:
        """Run as the only process of the app's folder; where that is not to be had, nothing has been joined yet."""
        with told(), alone(self.app.folder):
            self.app.prepare_folder()
            super().execute_from_commandline()

    def on_setup_root_logger(self, logger: logging.Logger, level: int) -> None:
        """Handlers are there now."""
        super().on_setup_root_logger(logger, level)
        for handler in logger.handlers:
            handler.addFilter(Sparing())

    async def stop(self) -> None:
        """After a signal, and after a crash."""
        end_within(END_SECONDS)
        await super().stop()

    def stop_and_shutdown(self) -> None:
        """End the event loop, and with it what handles signals: a second one would kill a process that ends in order.

        What keeps it from its end is ended by `end_within`.
        """
        try:
            super().stop_and_shutdown()
        finally:
            for each in (signal.SIGINT, signal.SIGTERM):
                signal.signal(each, signal.SIG_IGN)


def run(create: Callable[[], App]) -> None:
    """Make the app when its event loop is there, and run it."""
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    Process(create(), loop=loop, loglevel="info", redirect_stdouts=False).execute_from_commandline()


@contextmanager
def told() -> Iterator[None]:
    """An error of ours ends the process as it ends every command; Faust's would show a traceback."""
    try:
        yield
    except HoldtrueError as error:
        sys.stderr.write(error.told)
        sys.exit(error.exit_code)


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
