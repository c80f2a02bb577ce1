"""What a command waits for for long is told, once; and what was in vain is not waited for anew by each run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from streams.errors import NotReady
from streams.sot.fence import Unread
from streams.validation import waiting as module
from streams.validation.waiting import Fences, Waiting, Writer

UNREAD, LATE = Unread("nobody reads it"), NotReady("late")


class _Fence:
    """Ends as it is told to, one time after the other, and keeps how long it might have waited."""

    slot = "bank_slot"

    def __init__(self, *ends: Exception | str, meanwhile: Callable[[], None] = lambda: None) -> None:
        self._ends = iter(ends)
        self._meanwhile = meanwhile
        self.waited: list[float] = []

    def passed(self, deadline: float) -> str:
        """As of Fence."""
        self.waited.append(deadline - time.monotonic())
        self._meanwhile()
        end = next(self._ends)
        if isinstance(end, Exception):
            raise end
        return end


def waits(fence: Any) -> list[int]:
    """How long each fence might take of 120 s, in tens of seconds."""
    fences = Fences(fence, Waiting(lambda text: None))
    for _ in range(3):
        try:
            fences.passed(time.monotonic() + 120)
        except NotReady:
            continue
    return [round(seconds, -1) for seconds in map(int, fence.waited)]


@pytest.mark.parametrize(
    ("ends", "waited"),
    [
        ((UNREAD, UNREAD, UNREAD), [120, 0, 0]),
        ((UNREAD, "0/1", "0/2"), [120, 0, 120]),
        ((LATE, LATE, LATE), [120, 120, 120]),
        (("0/1", "0/2", "0/3"), [120, 120, 120]),
    ],
)
def test_a_slot_that_nobody_reads_is_waited_for_once(ends: tuple[Exception | str, ...], waited: list[int]) -> None:
    """Not by each table of each replica; and one that is only slow is waited for as ever."""
    assert waits(_Fence(*ends)) == waited


def timers_are_over() -> None:
    """Whatever is to be told has been."""
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(5)


def test_what_takes_long_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it lasts, and with the name of the slot."""
    monkeypatch.setattr(module, "TELL_SECONDS", 0.01)
    said: list[str] = []
    fence: Any = _Fence("0/1", "0/2", meanwhile=timers_are_over)
    fences = Fences(fence, Waiting(said.append))
    assert [fences.passed(0.0), fences.passed(0.0)] == ["0/1", "0/2"]
    (one,) = said
    assert "bank_slot" in one
    assert "connectors status" in one


def test_what_does_not_take_long_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody wants to read of it."""
    monkeypatch.setattr(module, "TELL_SECONDS", 0.05)
    said: list[str] = []
    timers: list[Any] = []
    made = module.threading.Timer

    def timer(*words: Any) -> Any:
        timers.append(made(*words))
        return timers[-1]

    monkeypatch.setattr(module.threading, "Timer", timer)
    with Waiting(said.append).on("nothing"):
        pass
    timers[0].join(5)
    assert said == []


def test_kafka_that_takes_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """While what was sent waits for it."""
    monkeypatch.setattr(module, "TELL_SECONDS", 0.01)
    said: list[str] = []
    waited: list[float] = []

    def flush(writer: Any, timeout: float) -> None:
        waited.append(timeout)
        timers_are_over()

    monkeypatch.setattr(module.EventWriter, "flush", flush)
    registry: Any = None
    Writer("127.0.0.1:1", registry, Waiting(said.append)).flush()
    assert said == ["waiting for Kafka at 127.0.0.1:1 to take what was sent: is it up?"]
    assert waited == [module.DELIVERY_SECONDS]
