"""One `up` or `down` at a time per data folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.local.errors import StackError


@contextmanager
def exclusive(data: Path) -> Iterator[None]:
    """Hold the data folder's lock; the system drops it when the process ends. Raises StackError if another holds it."""
    # Beside the folder, not in it: `down --wipe` deletes the folder while it holds the lock.
    file = data.with_name(f".{data.name}.lock")
    handle = _locked(file, data)
    try:
        yield
    finally:
        if not data.exists():
            file.unlink(missing_ok=True)
        os.close(handle)


def _locked(file: Path, data: Path) -> int:
    handle = _opened(file)
    try:
        _take(handle, data)
        if _is(handle, file):
            return handle
    except BaseException:
        os.close(handle)
        raise
    # Whoever held it has deleted it meanwhile, with the folder.
    os.close(handle)
    return _locked(file, data)


def _opened(file: Path) -> int:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StackError(f"{file.parent} cannot be written ({reason}).", "Choose another --data-dir.") from error


def _is(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


def _take(handle: int, data: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise StackError(f"Another `holdtrue up` or `down` is at work on {data}.", "Wait until it is done.") from error
