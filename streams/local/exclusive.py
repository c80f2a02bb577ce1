"""One `up` or `down` at a time per data folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.local.errors import StackError
from streams.lock import Taken, lock


@contextmanager
def exclusive(data: Path) -> Iterator[None]:
    """Hold the data folder's lock. Raises StackError if another holds it, or where it cannot be written."""
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
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return lock(file)
    except Taken:
        raise StackError(f"Another `holdtrue up` or `down` is at work on {data}.", "Wait until it is done.") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StackError(f"{file.parent} cannot be written ({reason}).", "Choose another --data-dir.") from error
