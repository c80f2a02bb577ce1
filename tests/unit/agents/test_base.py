"""What every app of ours is in its group: a name that is kept as long as the topics are, and an end where it is out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents.base import App, member
from streams.agents.control import control_app
from streams.agents.process import Process as WorkerProcess
from streams.errors import HoldtrueError
from streams.plan.check import load_plan
from tests.unit.plan.plans import EXAMPLE


def test_a_member_keeps_its_name_with_its_topics() -> None:
    """In whatever order the plan lists them."""
    name = member("holdtrue.bank.reports", "0", ["a", "b"])
    assert name.startswith("holdtrue.bank.reports.0.")
    assert name == member("holdtrue.bank.reports", "0", ["b", "a"])


@pytest.mark.parametrize("topics", [["a"], ["a", "b", "c"], ["ab"], []])
def test_a_member_with_other_topics_is_another(topics: list[str]) -> None:
    """Kafka would give it what it had before."""
    assert member("g", "0", topics) != member("g", "0", ["a", "b"])


class Process(SimpleNamespace):
    """Faust's part of an app whose consumer gave up at the third look; it ends when it crashes."""

    def __init__(self) -> None:
        coordinator = SimpleNamespace(_coordination_task=SimpleNamespace(done=bool), _pending_exception=None)
        client = SimpleNamespace(_coordinator=coordinator)
        consumer = SimpleNamespace(_thread=SimpleNamespace(_consumer=client))
        super().__init__(consumer=consumer, conf=SimpleNamespace(id="g"), should_stop=False, looks=0, reasons=[])

    async def sleep(self, _: float) -> None:
        """Time passes."""
        self.looks += 1
        if self.looks == 2:
            self.consumer._thread._consumer._coordinator._pending_exception = ValueError("fenced")

    async def crash(self, reason: BaseException) -> None:
        """Remember why."""
        self.reasons.append(reason)
        self.should_stop = True


async def test_a_process_that_is_out_of_its_group_ends_and_says_why() -> None:
    """Not before: a consumer that tries to be a member is left alone."""
    process: Any = Process()
    await App._watch_membership(process)
    (reason,) = process.reasons
    assert isinstance(reason, HoldtrueError)
    assert reason.what == "This process is out of its group g for good: ValueError('fenced')."


NOWHERE = {
    "HOLDTRUE_KAFKA": "127.0.0.1:1",
    "HOLDTRUE_CONNECT": "http://127.0.0.1:1",
    "HOLDTRUE_REGISTRY": "http://127.0.0.1:1",
    "HOLDTRUE_CONTROL_DSN": "postgresql://127.0.0.1:1/control",
    "HOLDTRUE_SOT_DSN": "postgresql://127.0.0.1:1/sot",
}


def test_fausts_own_command_runs_an_app_as_ours_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks the app what to run it with, which looks first whether it is the only one of its folder."""
    for name, value in NOWHERE.items():
        monkeypatch.setenv(name, value)
    app = control_app(load_plan(EXAMPLE), instance="0", folder=tmp_path)
    assert (app.conf.Worker, app.folder) == (WorkerProcess, tmp_path)
