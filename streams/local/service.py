"""What a server of the embedded stack is: how it is prepared, started, asked whether it serves, and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from streams.local import endings
from streams.local.errors import ServiceError
from streams.local.process import Account, Command
from streams.local.site import Site, log_file

REQUEST_SECONDS = 5.0
_TOOL_SECONDS = 120.0
_SLOW = "See its log; is the machine overloaded?"


class UnhealthyError(Exception):
    """The server did not answer as it should; asking again later may help."""


class Service(ABC):
    """One server. Subclasses say what is particular about it; starting and stopping are the same for all."""

    name: ClassVar[str]
    # Services that must serve before this one starts; they are stopped after it.
    needs: ClassVar[tuple[str, ...]] = ()
    # Names of its ports; the first is its own name and the one that clients use.
    ports: ClassVar[tuple[str, ...]]
    # Artifact groups it runs from.
    groups: ClassVar[tuple[str, ...]] = ()
    ready_seconds: ClassVar[float] = 90.0
    # Signals that stop it, each with the seconds it is given.
    signals: ClassVar[tuple[tuple[signal.Signals, float], ...]] = ((signal.SIGTERM, 30.0), (signal.SIGKILL, 5.0))

    def __init__(self, site: Site) -> None:
        self.site = site

    @abstractmethod
    def endpoint(self) -> str:
        """Where it serves, without any password."""

    def prepare(self) -> None:  # noqa: B027 - most services need nothing here
        """Make what it needs before it can start: configuration and first data. Safe to repeat."""

    @abstractmethod
    def command(self) -> Command:
        """How it is started."""

    @abstractmethod
    def check(self) -> None:
        """Make one real request. Raises UnhealthyError (or what the client raises) while it does not serve."""

    def complete(self) -> None:  # noqa: B027 - most services need nothing here
        """Finish the set-up that needs the running server. Safe to repeat."""

    def run_tool(self, words: Sequence[str], doing: str, account: Account | None = None) -> None:
        """Run a set-up program to its end, with its output in the service's log. Raises ServiceError."""
        log = log_file(self.site.data, self.name)
        start = endings.size(log)
        with log.open("ab") as output:
            try:
                done = subprocess.run(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd="/",
                    user=account.uid if account else None,
                    group=account.gid if account else None,
                    extra_groups=[] if account else None,
                    env=os.environ,
                    timeout=_TOOL_SECONDS,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise ServiceError(self.name, f"{doing} took longer than {_TOOL_SECONDS:.0f} s", log, _SLOW) from error
        if done.returncode != 0:
            reason, hint = endings.ending(log, start)
            raise ServiceError(self.name, f"{doing} failed with exit code {done.returncode}: {reason}", log, hint)
