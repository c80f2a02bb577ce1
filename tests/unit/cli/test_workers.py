"""All processes of a plan: control may be killed a few times, nothing else may end."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.cli import workers

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
    return workers.run_all(plan, Path("plan"), instance="0")


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
