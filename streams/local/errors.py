"""What can go wrong with the embedded stack, each as one sentence with the service, the reason and the log file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.errors import HoldtrueError, UsageError

FILE_HINT = "Make room or change permissions, or choose another place with --data-dir or XDG_CACHE_HOME."


class StackError(HoldtrueError):
    """The embedded stack cannot do what was asked."""


class StackUsageError(StackError, UsageError):
    """The embedded stack was asked for something that it does not have."""


class NoStackError(StackError):
    """There is no embedded stack in the data folder: none was ever started there."""

    exit_code = 3


class ArtifactError(StackError):
    """A download failed, or what arrived is not what the lock file says."""


@contextmanager
def file_errors() -> Iterator[None]:
    """Turn an error of the file system into one sentence: a full disk, a folder that may not be written."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StackError(f"{error.filename or 'A file of the stack'}: {reason}.", FILE_HINT) from error


class ServiceError(StackError):
    """One service could not be started or stopped; `service` names it, `log` is where it says why."""

    def __init__(self, service: str, reason: str, log: Path, hint: str) -> None:
        super().__init__(f"{service}: {reason} (log: {log}).", hint)
        self.service = service
        self.log = log
