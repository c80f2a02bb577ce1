"""What a command waits for when it waits for long: told once, and not waited for anew by each of its runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streams.kafka.events import DELIVERY_SECONDS, EventWriter
from streams.kafka.registry import Registry
from streams.sot.fence import Fence, Unread

# A fence takes less than a second, Kafka's acknowledgement some milliseconds: who waits for longer wants to know why.
TELL_SECONDS = 10.0
# How long a fence is waited for after one was in vain: a connector that is back confirms it within a second.
AGAIN_SECONDS = 5.0


class Waiting:
    """Tells a person what is waited for: each thing once in a command."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._told: set[str] = set()

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Inside, `what` is waited for."""
        timer = threading.Timer(TELL_SECONDS, self._tell, [what])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _tell(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            self._note(f"waiting for {what}")


class Fences:
    """The fences of a command's runs: where nobody has read the slot during one, the next is given up soon."""

    def __init__(self, fence: Fence, waiting: Waiting) -> None:
        self._fence = fence
        self._waiting = waiting
        self._in_vain = False

    def passed(self, deadline: float) -> str:
        """As of Fence."""
        with self._waited(deadline) as until:
            return self._fence.passed(until)

    def emitted(self) -> str:
        """As of Fence."""
        return self._fence.emitted()

    def confirmed_by(self, position: str, deadline: float) -> None:
        """As of Fence."""
        with self._waited(deadline) as until:
            self._fence.confirmed_by(position, until)

    def confirmed(self) -> str | None:
        """As of Fence."""
        return self._fence.confirmed()

    @contextmanager
    def _waited(self, deadline: float) -> Iterator[float]:
        if self._in_vain:
            deadline = min(deadline, time.monotonic() + AGAIN_SECONDS)
        what = (
            f"the connector to confirm the slot {self._fence.slot}: `holdtrue connectors status` says whether it runs"
        )
        try:
            with self._waiting.on(what):
                yield deadline
        except Unread:
            self._in_vain = True
            raise
        self._in_vain = False


class Writer(EventWriter):
    """Writes a command's requests and events, and tells when Kafka does not take them."""

    def __init__(self, bootstrap: str, registry: Registry, waiting: Waiting) -> None:
        super().__init__(bootstrap, registry, client_id="holdtrue-cli")
        self._kafka = f"Kafka at {bootstrap} to take what was sent: is it up?"
        self._waiting = waiting

    def flush(self, timeout: float = DELIVERY_SECONDS) -> None:
        """As of EventWriter."""
        with self._waiting.on(self._kafka):
            super().flush(timeout)
