"""Starting several services, and taking back what was started when one fails."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from streams.local.errors import StackError
from streams.local.launch import Launch, stop_all
from streams.local.progress import Silent
from streams.local.supervise import AbortedError, Supervisor


class _Service:
    def __init__(self, name: str, needs: tuple[str, ...]) -> None:
        self.name, self.needs = name, needs

    def endpoint(self) -> str:
        return f"{self.name}:1"


class Fake:
    """Stands for a Supervisor; `events` gets what happens to any of them, in order."""

    def __init__(self, events: list[str], name: str, *needs: str, fails: bool = False, hangs: bool = False) -> None:
        self.service = _Service(name, needs)
        self.events, self.fails, self.hangs, self.runs = events, fails, hangs, False

    def process(self) -> Any:
        return object() if self.runs else None

    def start(self) -> None:
        self.events.append(f"start {self.service.name}")
        self.runs = True

    def await_ready(self, abort: threading.Event) -> None:
        if self.fails:
            raise StackError(f"{self.service.name} failed")
        if self.hangs:
            assert abort.wait(10)
            raise AbortedError
        self.events.append(f"ready {self.service.name}")

    def stop(self) -> None:
        self.events.append(f"stop {self.service.name}")
        self.runs = False


def _launch(*fakes: Fake) -> None:
    Launch(cast("list[Supervisor]", list(fakes)), Silent()).run()


def test_a_service_starts_only_when_what_it_needs_serves() -> None:
    """Whatever the order they are listed in."""
    events: list[str] = []
    _launch(Fake(events, "connect", "kafka"), Fake(events, "kafka"))
    assert events.index("start connect") > events.index("ready kafka")


def test_a_need_that_already_serves_is_not_waited_for() -> None:
    """Only the dead one is started again."""
    events: list[str] = []
    _launch(Fake(events, "connect", "kafka"))
    assert events == ["start connect", "ready connect"]


def test_one_failure_stops_all_that_was_started_and_is_the_error_raised() -> None:
    """Those that still wait give up at once, and those that wait for others never start."""
    events: list[str] = []
    with pytest.raises(StackError, match="kafka failed"):
        _launch(
            Fake(events, "kafka", fails=True), Fake(events, "connect", "kafka"), Fake(events, "registry", hangs=True)
        )
    started = {event.removeprefix("start ") for event in events if event.startswith("start")}
    stopped = {event.removeprefix("stop ") for event in events if event.startswith("stop")}
    assert started == stopped
    assert "connect" not in started


def test_a_service_that_ran_before_is_left_alone_by_a_failing_launch() -> None:
    """It is not this `up` that started it."""
    events: list[str] = []
    running = Fake(events, "registry", fails=True)
    running.runs = True
    with pytest.raises(StackError):
        _launch(running)
    assert events == []


def test_stop_ends_a_service_before_what_it_needs() -> None:
    """Connect must still reach Kafka to store its offsets."""
    events: list[str] = []
    fakes = [Fake(events, "kafka"), Fake(events, "connect", "kafka"), Fake(events, "sot")]
    stop_all(cast("list[Supervisor]", fakes))
    assert events.index("stop connect") < events.index("stop kafka")
    assert len(events) == 3
