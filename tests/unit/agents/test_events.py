"""Our own events: what was said counts as written only when Kafka has it, whoever was waiting for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streams.agents.events import Events
from streams.errors import HoldtrueError


class Kafka:
    """A writer that takes its time: until `open` is set nothing is acknowledged; `error` is raised instead, once."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.begun = asyncio.Event()
        self.error: Exception | None = None
        self.sent: list[str] = []
        self.written: list[str] = []

    def send(self, topic: str, key: str, *_: Any) -> None:
        """Queue one."""
        self.sent.append(key)

    def flush(self) -> None:
        """All that is queued is there."""
        if self.error is not None:
            error, self.error = self.error, None
            self.sent.clear()
            raise error
        self.written += self.sent
        self.sent.clear()

    async def run(self, work: Any, *args: Any) -> Any:
        """Threads, as far as they matter here."""
        self.begun.set()
        await self.open.wait()
        return work(*args)


async def test_who_is_cancelled_takes_nobody_elses_events_along() -> None:
    """A dead letter would be lost with the wait of somebody else, and its offset committed."""
    kafka = Kafka()
    events = Events(kafka, kafka, "/test", "holdtrue")  # type: ignore[arg-type]
    events.send("drift", "mine", "drift", {})
    cancelled = asyncio.create_task(events.flush())
    await kafka.begun.wait()
    events.send("dlq", "letter", "dead-letter", {})
    waiting = asyncio.create_task(events.flush())
    cancelled.cancel()
    await asyncio.wait({cancelled})
    assert not waiting.done()
    kafka.open.set()
    await waiting
    assert kafka.written == ["mine", "letter"]


async def test_what_could_not_be_written_is_still_to_be_written() -> None:
    """Whoever flushes next hears of it, too."""
    kafka = Kafka()
    kafka.open.set()
    kafka.error = HoldtrueError("too large")
    events = Events(kafka, kafka, "/test", "holdtrue")  # type: ignore[arg-type]
    events.send("drift", "mine", "drift", {})
    with pytest.raises(HoldtrueError):
        await events.flush()
    await events.flush()
    assert kafka.written == ["mine"]
