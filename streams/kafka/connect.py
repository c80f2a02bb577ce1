"""A small client of Kafka Connect's REST interface, for the one connector of a plan."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec
import requests

from streams.errors import HoldtrueError, NotReady, StoreUnavailable
from streams.kafka import answers
from streams.kafka.http import PASSING, Service, body

T = TypeVar("T")

POLL_SECONDS: Final = 0.5
START_SECONDS: Final = 120.0
HIDDEN: Final = "********"
LINE_MAX: Final = 280
# What Debezium says when the slot cannot give what the stored offset asks for (`offset.mismatch.strategy`).
SLOT_GONE: Final = "no longer available on the server"
# What the producer says to a record above the limit of the topics.
TOO_LARGE: Final = "RecordTooLargeException"
TOO_LARGE_HINT: Final = (
    "A row is larger than a record may be (16 MiB, with what it was before under REPLICA IDENTITY FULL), and its "
    "change stays in the log: see docs/operations.md, A row that is too large."
)
UNASSIGNED_HINT: Final = (
    "No Connect worker has it. That passes when the workers have rebalanced, after an outage of Kafka at the latest "
    "when scheduled.rebalance.max.delay.ms is over (five minutes by default; 0 where there is one worker); if it does "
    "not pass, restart Kafka Connect."
)
# 409: the Connect workers are rebalancing; it passes.
_PASSING: Final = PASSING | {409}


class ConnectUnavailable(StoreUnavailable):
    """Kafka Connect could not be reached or cannot answer now."""


class ConnectRefused(HoldtrueError):
    """Kafka Connect did not take a configuration or a request."""


class ConnectorFailed(HoldtrueError):
    """The connector or one of its tasks has failed; the sentence carries the first line of its trace."""


@dataclass(frozen=True, slots=True)
class ConnectorState:
    """States as Connect names them (RUNNING, FAILED, PAUSED, UNASSIGNED, …), and the first line of a failure."""

    name: str
    connector: str
    tasks: tuple[str, ...]
    reason: str = ""

    @property
    def running(self) -> bool:
        """The connector runs, has a task, and every task runs."""
        return self.connector == "RUNNING" and bool(self.tasks) and set(self.tasks) == {"RUNNING"}

    @property
    def failed(self) -> bool:
        """The connector or a task has given up."""
        return "FAILED" in (self.connector, *self.tasks)

    @property
    def unassigned(self) -> bool:
        """No Connect worker has the connector or a task."""
        return "UNASSIGNED" in (self.connector, *self.tasks)

    @property
    def shown(self) -> str:
        """The states, as a sentence names them."""
        return f"{self.connector}, tasks {', '.join(self.tasks) or 'none'}"


class _Part(msgspec.Struct):
    """A connector or a task in an answer."""

    state: str
    trace: str | None = None


class _Status(msgspec.Struct):
    connector: _Part
    tasks: list[_Part]


class _Place(msgspec.Struct):
    """What a source connector has kept to go on from; `lsn` is how Debezium's names the position in the log."""

    offset: dict[str, Any] | None = None


class _Places(msgspec.Struct):
    offsets: list[_Place] = []


class _Info(msgspec.Struct):
    config: dict[str, str]


class _Listed(msgspec.Struct):
    info: _Info


class Connect:
    """Kafka Connect at `url`. `secrets` are texts that no error may contain."""

    def __init__(self, url: str, *, secrets: Sequence[str] = (), tries: int = 8) -> None:
        self._http = Service("Kafka Connect", url, ConnectUnavailable, passing=_PASSING, tries=tries)
        self._secrets = tuple(secret for secret in secrets if secret)

    @property
    def url(self) -> str:
        """The address without credentials."""
        return self._http.shown

    def put(self, name: str, config: Mapping[str, str]) -> bool:
        """Create or change the connector; True when it was created. Raises ConnectRefused with Connect's reasons."""
        response = self._http.call("PUT", f"{_path(name)}/config", dict(config))
        self._done(response, f"take the configuration of {name}")
        return response.status_code == 201

    def config(self, name: str) -> dict[str, str] | None:
        """The configuration Connect holds, or None; it may contain the password."""
        response = self._http.call("GET", f"{_path(name)}/config")
        return None if response.status_code == 404 else self._expect(response, f"show {name}", dict[str, str])

    def configs(self) -> dict[str, dict[str, str]]:
        """Name → configuration, of every connector."""
        response = self._http.call("GET", "/connectors?expand=info")
        listed = self._expect(response, "list its connectors", dict[str, _Listed])
        return {name: each.info.config for name, each in listed.items()}

    def state(self, name: str) -> ConnectorState | None:
        """The connector's state, or None when Connect does not know it (or not yet)."""
        response = self._http.call("GET", f"{_path(name)}/status")
        if response.status_code == 404:
            return None
        found = self._expect(response, f"tell the state of {name}", _Status)
        trace = next((part.trace for part in (found.connector, *found.tasks) if part.trace), "")
        states = tuple(task.state for task in found.tasks)
        return ConnectorState(name, found.connector.state, states, _cause(self._safe(trace)))

    def position(self, name: str) -> int:
        """Up to where the connector has read the source's log, as Connect has kept it.

        0: nothing is kept, or Connect is too old to tell (before 3.6).
        """
        response = self._http.call("GET", f"{_path(name)}/offsets")
        if response.status_code == 404:
            return 0
        kept = self._expect(response, f"tell the offsets of {name}", _Places).offsets
        positions = [(place.offset or {}).get("lsn") for place in kept]
        return max((each for each in positions if isinstance(each, int)), default=0)

    def restart(self, name: str) -> None:
        """Restart the connector and its failed tasks."""
        response = self._http.call("POST", f"{_path(name)}/restart?includeTasks=true&onlyFailed=true")
        self._done(response, f"restart {name}")

    def stop(self, name: str, seconds: float = START_SECONDS) -> bool:
        """Stop the connector, which then has no task and reads nothing; False: no connector.

        Raises NotReady when it does not stop in time.
        """
        response = self._http.call("PUT", f"{_path(name)}/stop")
        if response.status_code == 404:
            return False
        self._done(response, f"stop {name}")
        self._wait_stopped(name, seconds)
        return True

    def resume(self, name: str) -> None:
        """Let a connector that was stopped or paused run; nothing to one that runs."""
        self._done(self._http.call("PUT", f"{_path(name)}/resume"), f"resume {name}")

    def forget(self, name: str) -> bool:
        """Stop the connector and delete its stored offsets, so that it starts with a snapshot; False: no connector.

        Raises NotReady when it does not stop in time.
        """
        if not self.stop(name):
            return False
        self._done(self._http.call("DELETE", f"{_path(name)}/offsets"), f"delete the offsets of {name}")
        return True

    def _wait_stopped(self, name: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (state := self.state(name)) is not None and (state.connector != "STOPPED" or state.tasks):
            if time.monotonic() >= deadline:
                raise NotReady(f"The connector {name} did not stop in {seconds:.0f} s.", "See Connect's log.")
            time.sleep(POLL_SECONDS)

    def delete(self, name: str) -> bool:
        """Remove the connector (its slot and offsets stay); False when there was none."""
        response = self._http.call("DELETE", _path(name))
        if response.status_code == 404:
            return False
        self._done(response, f"delete {name}")
        return True

    def wait_running(self, name: str, seconds: float = START_SECONDS, patience: float = 0.0) -> ConnectorState:
        """Wait until connector and tasks run. Raises ConnectorFailed as soon as one has failed, NotReady in the end.

        patience: for so many seconds a failure may be that of before a restart.
        """
        started = time.monotonic()
        deadline = started + seconds
        state = self.state(name)
        while state is None or not state.running:
            if state is not None and state.failed and time.monotonic() >= started + patience:
                raise failure(state)
            if time.monotonic() >= deadline:
                seen = "unknown to Connect" if state is None else state.shown
                hint = UNASSIGNED_HINT if state is not None and state.unassigned else "See the log of Kafka Connect;"
                raise NotReady(
                    f"The connector {name} does not run after {seconds:.0f} s: {seen}.",
                    f"{hint} `holdtrue connectors status` shows when it runs.",
                )
            time.sleep(POLL_SECONDS)
            state = self.state(name)
        return state

    def _done(self, response: requests.Response, what: str) -> None:
        """Whatever Connect says to what was asked for, as long as it is Connect that says it."""
        self._expect(response, what, dict[str, Any])

    def _expect(self, response: requests.Response, what: str, shape: type[T]) -> T:
        if response.ok:
            return answers.read(response, shape, self._foreign())
        answer = body(response)
        reason = str(answer.get("message", "")) if isinstance(answer, dict) else ""
        raise ConnectRefused(
            f"Kafka Connect at {self.url} did not {what}: {response.status_code} {self._safe(reason)[:800]}".rstrip(),
            "Correct the plan or the rights of its user in the SOT, then run `holdtrue connectors apply` again.",
        )

    def _foreign(self) -> ConnectRefused:
        return ConnectRefused(
            f"Kafka Connect at {self.url} answered something that is no answer of Kafka Connect.",
            "kafka.connect must be the address of its REST interface, with nothing in between that answers for it.",
        )

    def _safe(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()


def failure(state: ConnectorState) -> ConnectorFailed:
    """The error for a connector that has failed: its reason, and what to do."""
    reason = state.reason or "Connect gives no reason"
    return ConnectorFailed(f"The connector {state.name} has failed: {reason}", remedy(state))


def not_running(name: str, state: ConnectorState | None) -> NotReady | None:
    """Why the connector does not run, and what to do; None when it does."""
    if state is None:
        return NotReady(f"Connect has no connector {name}.", "Run: holdtrue connectors apply")
    if not state.running:
        return NotReady(f"The connector {name} does not run ({state.shown}). {state.reason}".rstrip(), remedy(state))
    return None


def remedy(state: ConnectorState) -> str:
    """What to do about a connector that does not run."""
    if SLOT_GONE in state.reason:
        return (
            "Its slot was dropped or made anew, so changes are missing. Take a new snapshot: "
            "`holdtrue connectors delete --forget --yes`, then `holdtrue connectors apply`, then a full validation."
        )
    if TOO_LARGE in state.reason:
        return TOO_LARGE_HINT
    if state.failed:
        return "Correct the cause, then run `holdtrue connectors apply`, which restarts what has failed."
    if state.connector in ("STOPPED", "PAUSED"):
        return "Somebody has stopped it. To let it run: holdtrue connectors apply"
    return UNASSIGNED_HINT if state.unassigned else "See the log of Kafka Connect."


def _cause(trace: str) -> str:
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    # The last cause is what a person can act on; the first line alone is often only "Couldn't start connector".
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return " ← ".join(dict.fromkeys(_shortened(line) for line in [*lines[:1], *causes[-1:]]))


def _shortened(line: str) -> str:
    # Debezium puts whole objects into the middle of a sentence; its beginning and end say what is wrong.
    half = LINE_MAX // 2
    return line if len(line) <= LINE_MAX else f"{line[:half]} … {line[-half:]}"


def _path(name: str) -> str:
    return f"/connectors/{quote(name, safe='')}"
