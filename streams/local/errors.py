"""What can go wrong with the embedded stack, each as one sentence with the service, the reason and the log file."""

from __future__ import annotations

from pathlib import Path

from streams.errors import HoldtrueError


class StackError(HoldtrueError):
    """The embedded stack cannot do what was asked."""


class ArtifactError(StackError):
    """A download failed, or what arrived is not what the lock file says."""


class ServiceError(StackError):
    """One service could not be started or stopped; `service` names it, `log` is where it says why."""

    def __init__(self, service: str, reason: str, log: Path, hint: str = "") -> None:
        super().__init__(f"{service}: {reason} (log: {log}).", hint)
        self.service = service
        self.log = log
