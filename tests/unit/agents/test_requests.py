"""Requests of one partition: one after the other, and those who asked hear of it in time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams.agents import checks, requests
from streams.agents.events import Event
from streams.agents.requests import Requests
from streams.transport.batches import KafkaRecord

AT = TP("requests", 0)


class _Slow(Requests):
    """Takes a moment for each request; what was published together is in `published_at_once`."""

    def __init__(self, committed: asyncio.Event) -> None:
        nothing: Any = None
        super().__init__(nothing, self._committed, nothing, nothing, nothing, {AT.topic: "changes"}, nothing)
        self.published_at_once: list[int] = []
        self._event = committed

    async def _committed(self, tp: TP, offset: int) -> None:
        if offset == 2:
            self._event.set()

    async def answer(self, owner: Any, request: dict[str, Any]) -> list[Event]:
        """Never asked: the requests are no bytes."""
        raise NotImplementedError

    async def _one(self, tp: TP, record: KafkaRecord) -> list[Event]:
        await asyncio.sleep(0.02)
        return [("results", "run", "check-result", {})]

    async def _publish(self, tp: TP, said: list[Event]) -> None:
        self.published_at_once.append(len(said))

    def published(self) -> None:
        """Nothing to do."""


@pytest.mark.parametrize(("seconds", "together"), [(0.01, [1, 1, 1]), (60.0, [3])])
async def test_answers_do_not_wait_long_for_others(
    monkeypatch: pytest.MonkeyPatch, seconds: float, together: list[int]
) -> None:
    """Twenty slow ones together would look like silence; quick ones are committed together."""
    monkeypatch.setattr(requests, "GROUP_SECONDS", seconds)
    committed = asyncio.Event()
    slow = _Slow(committed)
    batch: Any = SimpleNamespace(tp=AT, records=[SimpleNamespace(offset=offset) for offset in range(3)])
    await slow.handle(batch)
    await asyncio.wait_for(committed.wait(), 5)
    await slow.stop()
    assert slow.published_at_once == together


def test_an_answer_names_what_it_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number, and by bytes where keys are long; the rest is counted."""
    monkeypatch.setattr(checks, "NAMED_MAX", 4)
    monkeypatch.setattr(checks, "NAMED_BYTES_MAX", 10)
    assert [checks._named([b"k" * size] * 9) for size in (1, 3, 5, 11)] == [4, 3, 2, 0]
