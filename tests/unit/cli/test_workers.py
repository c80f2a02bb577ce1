"""All processes of a plan: control may be killed a few times, nothing else may end."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.cli import workers
from streams.plan.check import load_plan
from tests.unit.plan.plans import EXAMPLE

COUNTED = "import os, pathlib; file = pathlib.Path({file!r}); file.write_text(file.read_text() + 'x'); "
KILLED = "os.kill(os.getpid(), 9)"
STAYS = "import time; time.sleep(60)"


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """The handlers of this process, as they were."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def _run(monkeypatch: pytest.MonkeyPatch, control: str, replica: str) -> int:
    words = {"control": [sys.executable, "-c", control], "reports": [sys.executable, "-c", replica]}
    monkeypatch.setattr(workers, "commands", lambda *_: words)
    monkeypatch.setattr(workers, "CONTROL_WAIT_SECONDS", 0.0)
    plan: Any = None
    return workers.run_all(plan, Path("plan"), instance="0", metrics_port=0)


def test_control_that_is_killed_is_started_again_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The replicas run on meanwhile; at last all end, and it is said why."""
    file = tmp_path / "starts"
    file.write_text("")
    assert _run(monkeypatch, COUNTED.format(file=str(file)) + KILLED, STAYS) == 1
    assert len(file.read_text()) == workers.CONTROL_STARTS_MAX
    assert "control ended with -9; ending the others" in capfd.readouterr().err


def test_control_that_ends_by_itself_is_not_started_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It has said what is wrong; that would be wrong again."""
    file = tmp_path / "starts"
    file.write_text("")
    assert _run(monkeypatch, COUNTED.format(file=str(file)) + "raise SystemExit(2)", STAYS) == 1
    assert file.read_text() == "x"
    assert "control ended with 2; ending the others" in capfd.readouterr().err


def test_a_replica_that_ends_ends_all(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """A supervisor starts it again better than we could."""
    assert _run(monkeypatch, STAYS, "raise SystemExit(1)") == 1
    assert "reports ended with 1; ending the others" in capfd.readouterr().err


def test_control_that_is_killed_seldom_is_always_started_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its starts count for an hour; here for no time, until it ends by itself."""
    file = tmp_path / "starts"
    file.write_text("")
    monkeypatch.setattr(workers, "CONTROL_STARTS_SECONDS", 0.0)
    enough = f"len(file.read_text()) < {workers.CONTROL_STARTS_MAX + 2} or exit(2); "
    assert _run(monkeypatch, COUNTED.format(file=str(file)) + enough + KILLED, STAYS) == 1
    assert len(file.read_text()) == workers.CONTROL_STARTS_MAX + 2


def test_each_process_has_a_port_of_its_own() -> None:
    """Control's, then the replicas' in the plan's order; with 0 each takes a free one."""
    plan = load_plan(EXAMPLE)
    words = workers.commands(plan, EXAMPLE, "0", 9100)
    assert [each[-1] for each in words.values()] == ["9100", "9101", "9102", "9103"]
    assert {each[-1] for each in workers.commands(plan, EXAMPLE, "0", 0).values()} == {"0"}
