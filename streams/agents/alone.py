"""One process per worker folder: two of the same name would fence each other out of the group, and one would stall."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.errors import HoldtrueError, UsageError
from streams.lock import Taken, lock
from streams.plan.model import Plan
from streams.settings import settings

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", re.ASCII).fullmatch


class InstanceTaken(HoldtrueError):
    """Another worker of the same name runs on this machine."""


def named(instance: str) -> str:
    """The instance's name, which is a folder's too. Raises UsageError where it cannot be."""
    if not _NAME(instance):
        raise UsageError(
            "The name of this worker's instance cannot be used.",
            "Give --instance (HOLDTRUE_INSTANCE) letters, digits, '.', _ and -, at most 100, no '.' first.",
        )
    return instance


def worker_folder(plan: Plan, name: str, instance: str) -> Path:
    """Where a worker, or control, keeps local state. It can be deleted while that is down: it is recovered.

    Raises UsageError for an instance's name that cannot be one.
    """
    return settings().worker_data_dir / plan.name / name / named(instance)


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
    """Hold a worker folder's lock. Raises InstanceTaken, naming the process: whoever is refused has to find it."""
    # Beside the folder, which may be deleted while the worker is down.
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = lock(folder.with_name(f".{folder.name}.lock"))
    except Taken as taken:
        raise InstanceTaken(
            f"Another worker{f' (process {taken.pid})' if taken.pid else ''} runs as instance {folder.name} "
            f"of {folder.parent.name}.",
            "Give this one another name with --instance, or stop the other.",
        ) from None
    try:
        yield
    finally:
        os.close(handle)
