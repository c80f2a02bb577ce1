"""The entry point of `holdtrue`, and how an error or a signal ends it.

What the verbs need is imported behind the signals' handling, so that a command can be ended from its first moment on.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

from streams.errors import HoldtrueError
from streams.parent import follow

INTERRUPTED = 130
COLLECT_AFTER_OBJECTS = 100_000
AGAIN_SECONDS = 0.01
# What a shell shows for a command that ended with SIGPIPE.
NOBODY_READS = 141
# How this command was asked to end, where it was not interrupted.
_asked: list[str] = []
_MACHINE_HINT = "Make room, change permissions, or name another file or folder; then run the command again."


def _run() -> None:
    # A command that is terminated puts away what it started and says so, as one that is interrupted does.
    signal.signal(signal.SIGTERM, _terminated)
    sys.unraisablehook = _interrupted_again
    # Hardly anything of what a verb imports is garbage: looking for it took a seventh of the time until one begins.
    gc.set_threshold(COLLECT_AFTER_OBJECTS)
    # No plugin has anything to do with a plan, and looking for one reads what is known of every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    follow()
    if sys.stdout is None:
        raise HoldtrueError("There is no stdout to answer on.", "Send it to a file, or to /dev/null.")
    try:
        from streams.cli.program import composed, hoisted, once

        words = hoisted(once(sys.argv[1:]))
        composed(words)(words)
    finally:
        sys.stdout.flush()


def _terminated(number: int, frame: FrameType | None) -> None:
    _asked.append("terminated")
    signal.default_int_handler(number, frame)


def _say_ended() -> None:
    sys.stderr.write(f"{_asked[0] if _asked else 'interrupted'}\n")


def _interrupted_again(ignored: sys.UnraisableHookArgs) -> None:
    """An interrupt that met Python where nothing can be raised, as while a module's lock goes, is sent once more."""
    if issubclass(ignored.exc_type, KeyboardInterrupt):
        threading.Timer(AGAIN_SECONDS, signal.raise_signal, (signal.SIGINT,)).start()
    else:
        sys.__unraisablehook__(ignored)


def run() -> None:
    """Entry point of the command: errors become one clear sentence and an exit code."""
    try:
        _run()
    except HoldtrueError as error:
        sys.stderr.write(error.told)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        _end(NOBODY_READS)
    except OSError as error:
        # What a verb needs is said by the verb; what is left is the machine's: a full disk, a file that is ours alone.
        what = f"{error.strerror}{f': {error.filename}' if error.filename else ''}"
        sys.stderr.write(HoldtrueError(what, _MACHINE_HINT).told)
        _end(HoldtrueError.exit_code)
    except KeyboardInterrupt:
        _say_ended()
        sys.exit(INTERRUPTED)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # Typer has taken the interrupt, and says nothing
            _say_ended()
        if ended.code == HoldtrueError.exit_code and _reader_is_gone():  # so has it a pipe that nobody reads
            _end(NOBODY_READS)
        raise


def _end(code: int) -> NoReturn:
    """End without the answer: what is left of it is dropped, for Python flushes once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code)


def _reader_is_gone() -> bool:
    """Whether stdout is a pipe whose reader has ended, as `head` does when it has enough."""
    watched = select.poll()
    watched.register(1, 0)
    return any(event & select.POLLERR for _, event in watched.poll(0))


if __name__ == "__main__":
    run()
