"""One process per worker folder: two of the same name would fence each other out of the group, and one would stall."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.errors import HoldtrueError, UsageError


class InstanceTaken(HoldtrueError):
    """Another worker of the same name runs on this machine."""


def made(folder: Path) -> Path:
    """The folder, made where it is missing. Raises UsageError where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"The worker folder {folder} cannot be made: {error.strerror}.",
            "Set HOLDTRUE_WORKER_DIR to a folder that this user can write to.",
        ) from None
    return folder


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a worker folder's lock; the system drops it when the process ends, however it ends. Raises InstanceTaken."""
    # Beside the folder, which may be deleted while the worker is down.
    folder.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder.with_name(f".{folder.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise InstanceTaken(
            f"Another worker runs as instance {folder.name} of {folder.parent.name}.",
            "Give this one another name with --instance, or stop the other.",
        ) from None
    finally:
        os.close(handle)
