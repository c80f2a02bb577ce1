"""How a process ends, and how much its libraries may say."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest

from streams.agents.alone import InstanceTaken, alone
from streams.agents.process import LINES_EVERY_SECONDS, LINES_MAX, Process, Sparing
from streams.errors import HoldtrueError

STUCK = """
import threading
from streams.agents.process import end_within
threading.Thread(target=threading.Event().wait).start()
end_within(0.1)
"""


def test_what_does_not_end_by_itself_is_ended() -> None:
    """A thread of a client that waits for a dead broker would keep the process for ever."""
    ran = subprocess.run((sys.executable, "-c", STUCK), capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 1
    assert "not ended after 0.1 s" in ran.stderr


def record(name: str, line: int) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "client.py", line, "no broker %s", ("one",), None)


def test_a_flood_of_one_line_is_bounded_and_counted() -> None:
    """Nothing is left out unsaid: the next line that is written tells how many were not."""
    times = iter([0.0] * 100 + [LINES_EVERY_SECONDS])
    sparing = Sparing(lambda: next(times))
    written = [sparing.filter(record("aiokafka", 7)) for _ in range(100)]
    assert written == [True] * LINES_MAX + [False] * (100 - LINES_MAX)
    later = record("aiokafka", 7)
    assert sparing.filter(later)
    assert later.getMessage() == f"no broker one (and {100 - LINES_MAX} more like it in {LINES_EVERY_SECONDS:.0f} s)"


def test_other_lines_and_our_own_are_always_written() -> None:
    """Each place in the code has a bound of its own; what holdtrue says has none."""
    sparing = Sparing(lambda: 0.0)
    assert all(sparing.filter(record("aiokafka", line)) for line in range(100))
    assert all(sparing.filter(record("streams.agents", 7)) for _ in range(100))


class Begun(Process):
    """A process of an app that gets its folder right by what it is given."""

    def __init__(self, folder: Path, prepare: Any) -> None:
        self.app: Any = SimpleNamespace(folder=folder, prepare_folder=prepare)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was begun, in order; Faust's part is remembered only."""
    begun: list[str] = []
    monkeypatch.setattr(faust.Worker, "execute_from_commandline", lambda _: begun.append("faust"))
    return begun


def test_the_folder_is_right_and_ours_alone_before_faust_begins(tmp_path: Path, ran: list[str]) -> None:
    """Faust joins the group, and opens what is in the folder."""

    def prepare() -> None:
        with pytest.raises(InstanceTaken), alone(tmp_path / "0"):
            pass
        ran.append("folder")

    Begun(tmp_path / "0", prepare).execute_from_commandline()
    assert ran == ["folder", "faust"]


def test_a_process_whose_folder_is_taken_begins_nothing(
    tmp_path: Path, ran: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence and its hint, exit 1: also where Faust's own command runs it, which knows nothing of our errors."""
    with alone(tmp_path / "0"), pytest.raises(SystemExit) as ended:
        Begun(tmp_path / "0", lambda: ran.append("folder")).execute_from_commandline()
    assert (ended.value.code, ran) == (1, [])
    assert capsys.readouterr().err.startswith(
        f"error: Another worker (process {os.getpid()}) runs as instance 0 of {tmp_path.name}.\n"
    )


def test_a_process_whose_folder_cannot_be_right_begins_nothing(
    tmp_path: Path, ran: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said in the same way."""

    def prepare() -> None:
        raise HoldtrueError("It cannot be.", "Let it be.")

    with pytest.raises(SystemExit) as ended:
        Begun(tmp_path / "0", prepare).execute_from_commandline()
    assert (ended.value.code, ran) == (1, [])
    assert capsys.readouterr().err.startswith("error: It cannot be.\n")


ENDING = """
import os, signal, faust
from streams.agents.process import Process
faust.Worker.stop_and_shutdown = lambda _: signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as the loop's end does
Process.stop_and_shutdown(object.__new__(Process))
for each in (signal.SIGTERM, signal.SIGINT):
    os.kill(os.getpid(), each)
"""


def test_a_second_signal_does_not_kill_what_ends_in_order() -> None:
    """Ctrl-C reaches a worker twice: from the terminal, and from who started it."""
    ran = subprocess.run((sys.executable, "-c", ENDING), capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
