"""The project's own events, sent from the event loop: queued at once, acknowledged at `flush`."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from streams.agents.retry import until_available
from streams.agents.table import Threads
from streams.kafka.events import EventWriter
from streams.kafka.wire import cloud_event

_TYPES = {
    "drift": "holdtrue.drift",
    "dead-letter": "holdtrue.dead-letter",
    "signal": "holdtrue.signal",
    "check-request": "holdtrue.check-request",
    "check-result": "holdtrue.check-result",
    "repair-result": "holdtrue.repair-result",
}


# (short name of the topic, key, name of the schema, record)
Event = tuple[str, str, str, dict[str, Any]]


class _Waiting(NamedTuple):
    topic: str
    key: str
    schema: str
    record: dict[str, Any]
    partition: int | None = None


class Events:
    """Writes to our topics for one replica's worker. `own_topic` turns a short name into the topic's."""

    def __init__(self, writer: EventWriter, threads: Threads, source: str, prefix: str) -> None:
        self._writer = writer
        self._threads = threads
        self._source = source
        self._prefix = prefix
        self._waiting: list[_Waiting] = []
        self._lock = asyncio.Lock()
        self._flushes: set[asyncio.Task[None]] = set()

    def send(self, topic: str, key: str, schema: str, record: dict[str, Any]) -> None:
        """Keep one event until the next `flush`."""
        self._waiting.append(_Waiting(f"{self._prefix}.{topic}", key, schema, record))

    def order(self, topic: str, partition: int, request: dict[str, Any]) -> None:
        """Keep one request to the owner of a partition until the next `flush`."""
        record = {**request, "partition": partition}
        self._waiting.append(_Waiting(f"{self._prefix}.{topic}", request["run"], "check-request", record, partition))

    async def flush(self) -> None:
        """Return when Kafka has every event kept so far; tried again while it has not.

        It goes on without whoever is cancelled here: events of others are in its hands.
        """
        task = asyncio.create_task(self._flush(), name="events")
        self._flushes.add(task)
        task.add_done_callback(self._flushes.discard)
        await asyncio.shield(task)

    async def _flush(self) -> None:
        async with self._lock:
            waiting, self._waiting = self._waiting, []
            try:
                if waiting:
                    await until_available("events", lambda: self._threads.run(self._write, waiting))
            except BaseException:
                self._waiting[:0] = waiting
                raise

    def _write(self, waiting: list[_Waiting]) -> None:
        for topic, key, schema, record, partition in waiting:
            self._writer.send(topic, key, schema, record, cloud_event(_TYPES[schema], self._source), partition)
        self._writer.flush()
