"""Starting, asking and stopping one service; the pid file is the only memory, so every command sees the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from streams.local import endings, ports, process, site
from streams.local.errors import ServiceError
from streams.local.process import PidFile, Running
from streams.local.service import Service

_POLL_SECONDS = 0.2
_KILL_SECONDS = 10.0
_SLOW = "See its log; is the machine overloaded? If the server hangs: holdtrue down; holdtrue up"


class State(StrEnum):
    """What a service is doing."""

    running = "running"
    unhealthy = "unhealthy"  # its process runs, but it does not answer as it should
    dead = "dead"  # it was started and has ended by itself
    stopped = "stopped"


def remedy(states: Collection[State]) -> str:
    """What to do where not every server serves: `up` waits for one that is there but hangs, and cannot start it."""
    if State.unhealthy in states:
        return "Stop what hangs, and start again: holdtrue down; holdtrue up"
    return "Start what is missing: holdtrue up"


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service as `holdtrue stack` shows it. `memory_bytes` is None where it cannot be told."""

    service: str
    state: State
    endpoint: str
    pid: int | None
    log: Path
    memory_bytes: int | None


class AbortedError(Exception):
    """Another service failed: this one need not go on starting."""


class Supervisor:
    """One service of one data folder."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.log = site.log_file(service.site.data, service.name)
        self._pid = PidFile(site.pid_file(service.site.data, service.name))
        self._log_start = 0

    def process(self) -> Running | None:
        """The service's process if it runs."""
        running = self._pid.read()
        return running if running is not None and running.alive() else None

    def state(self) -> State:
        """What the service is doing now; makes a real request if its process runs."""
        if self._pid.read() is None:
            return State.stopped
        if self.process() is None:
            return State.dead
        return State.running if self._serves() else State.unhealthy

    def status(self) -> ServiceStatus:
        """The service as `holdtrue stack` shows it."""
        state, running = self.state(), self.process()
        pid = running.pid if running else None
        memory = process.memory_bytes(pid) if pid else None
        return ServiceStatus(self.service.name, state, self.service.endpoint(), pid, self.log, memory)

    def start(self) -> None:
        """Start the process; `await_ready` must follow. Raises ServiceError."""
        for name in self.service.ports:
            self._require_port(name)
        site.turn_log(self.log)
        self._log_start = endings.size(self.log)
        try:
            self.service.prepare()
            self._remember(process.start(self.service.command(), self.log))
        except OSError as error:
            reason, hint = endings.refusal(error)
            raise ServiceError(self.service.name, f"could not be started: {reason}", self.log, hint) from error

    def _remember(self, running: Running) -> None:
        """Write the pid file; a process that nobody could find again, to stop it, must not live on."""
        try:
            self._pid.write(running)
        except BaseException:
            process.kill(running, _KILL_SECONDS)
            raise

    def _require_port(self, name: str) -> None:
        port = self.service.site.ports[name]
        if not ports.is_free(port):
            raise ServiceError(
                self.service.name,
                f"its port {port} is used by another process",
                self.log,
                "End that process, or choose other ports: holdtrue down; holdtrue up --port-base N",
            )

    def await_ready(self, abort: threading.Event) -> None:
        """Wait until the service answers and its set-up is complete. Raises ServiceError, or AbortedError."""
        deadline = time.monotonic() + self.service.ready_seconds
        while not self._serves():
            if self.process() is None:
                reason, hint = endings.ending(self.log, self._log_start)
                raise ServiceError(self.service.name, f"ended while starting: {reason}", self.log, hint)
            if time.monotonic() > deadline:
                reason = f"did not answer within {self.service.ready_seconds:.0f} s"
                raise ServiceError(self.service.name, reason, self.log, _SLOW)
            if abort.wait(_POLL_SECONDS):
                raise AbortedError
        self._complete()

    def _complete(self) -> None:
        try:
            self.service.complete()
        except Exception as error:  # whatever a client raises: why, its server knows
            reason, hint = endings.ending(self.log, self._log_start)
            raise ServiceError(self.service.name, f"its set-up failed: {reason}", self.log, hint) from error

    def _serves(self) -> bool:
        try:
            self.service.check()
        except Exception:  # whatever a client raises, the answer is the same: not yet, or not any more
            return False
        return True

    def stop(self) -> None:
        """Stop the service, harder and harder. Fine if it does not run. Raises ServiceError if it cannot be ended."""
        running = self.process()
        if running is not None and not process.stop(running, self.service.signals):
            raise ServiceError(
                self.service.name,
                f"process {running.pid} could not be ended",
                self.log,
                f"End it: kill -9 {running.pid}",
            )
        self._pid.clear()

    def kill(self) -> None:
        """End the service at once, as a crash would (SIGKILL); it then shows as dead."""
        running = self.process()
        if running is not None:
            process.kill(running, _KILL_SECONDS)
