"""A lock that one process holds: a file's, which the system drops when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

_PID_BYTES_MAX = 20


class Taken(Exception):
    """The lock is held. pid: by which process; None where its file does not say."""

    def __init__(self, pid: int | None) -> None:
        super().__init__(f"held by process {pid}" if pid else "held by another process")
        self.pid = pid


def lock(file: Path) -> int:
    """Lock the file, made where it is missing, and note the process in it. Closing the handle gives the lock back.

    Who holds it may delete the file. Raises Taken, also where this process holds it; OSError where the file cannot be
    written.
    """
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _take(handle)
            if _is(handle, file):
                return handle
        except BaseException:
            os.close(handle)
            raise
        # Whoever held it has deleted it meanwhile: two that lock two files of one name would hold the same lock.
        os.close(handle)


def _take(handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(handle, _PID_BYTES_MAX, 0).decode(errors="replace")
        raise Taken(int(pid) if pid.isdecimal() else None) from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)


def _is(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False
