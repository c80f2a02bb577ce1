"""Processes that live on, and pid files that prove a pid is ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.local import process
from streams.local.process import Command, PidFile, Running, await_left

STUBBORN = (
    "import signal,sys,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
)


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Running]:
    """A process that would run for a minute."""
    running = process.start(Command(("sleep", "60")), tmp_path / "log")
    yield running
    process.stop(running, [(signal.SIGKILL, 5.0)])


def test_started_process_lives_in_a_session_of_its_own(sleeper: Running) -> None:
    """Ctrl-C in the terminal, and the end of the command, do not reach it."""
    assert sleeper.alive()
    assert os.getsid(sleeper.pid) == sleeper.pid != os.getsid(0)


def test_pid_file_finds_the_process_again(sleeper: Running, tmp_path: Path) -> None:
    """From another command."""
    PidFile(tmp_path / "a.pid").write(sleeper)
    found = PidFile(tmp_path / "a.pid").read()
    assert found is not None
    assert found.alive()


def test_same_pid_born_at_another_time_is_not_ours(sleeper: Running) -> None:
    """Pids are given out again: such a process must never be signalled."""
    stranger = Running(sleeper.pid, born="at another time")
    assert not stranger.alive()
    process.send(stranger, signal.SIGKILL)
    assert process.stop(stranger, [(signal.SIGKILL, 1.0)])
    assert sleeper.alive()


def test_ended_process_is_not_alive_though_nobody_waited_for_it(sleeper: Running) -> None:
    """A zombie serves nobody."""
    os.kill(sleeper.pid, signal.SIGKILL)
    assert process.wait_end(sleeper, 5.0)
    assert not sleeper.alive()


def test_stop_goes_on_to_a_harder_signal(tmp_path: Path) -> None:
    """A server that ignores SIGTERM is killed."""
    log = tmp_path / "log"
    running = process.start(Command((sys.executable, "-c", STUBBORN)), log)
    while b"up" not in log.read_bytes():
        assert running.alive()
    assert process.stop(running, [(signal.SIGTERM, 0.2), (signal.SIGKILL, 5.0)])
    assert not running.alive()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_unreadable_pid_file_remembers_nothing(tmp_path: Path, content: str) -> None:
    """Such as one from a full disk."""
    file = tmp_path / "a.pid"
    file.write_text(content)
    assert PidFile(file).read() is None


def test_memory_of_a_process_is_told_where_the_system_can(sleeper: Running) -> None:
    """On Linux, through /proc."""
    memory = process.memory_bytes(sleeper.pid)
    assert memory is None if sys.platform != "linux" else memory is not None and 0 < memory < 100_000_000


def test_a_folder_is_left_when_the_last_process_that_works_in_it_has_ended(tmp_path: Path) -> None:
    """Whatever session it is in: a killed Postgres leaves children with sessions of their own."""
    sleeper = subprocess.Popen(["sleep", "60"], cwd=tmp_path, start_new_session=True)
    assert not await_left(tmp_path.resolve(), 0.1)
    sleeper.kill()
    sleeper.wait()
    assert await_left(tmp_path.resolve(), 10.0)
