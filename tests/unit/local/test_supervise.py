"""One service: a process that was started is either remembered or gone, and what is advised helps."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.local import process
from streams.local.artifacts import load_lock
from streams.local.errors import ServiceError
from streams.local.fetch import Cache
from streams.local.ports import Ports
from streams.local.process import Command, PidFile, Running
from streams.local.service import Service
from streams.local.site import Site, log_file
from streams.local.supervise import State, Supervisor, remedy
from tests.support.wait import wait_until


class Sleeper(Service):
    """A server that would run for a minute, and starts another of its group."""

    name = "sleeper"
    ports = ("sleeper",)

    def endpoint(self) -> str:
        return self.site.address(self.name)

    def command(self) -> Command:
        return Command(("sh", "-c", "sleep 60 & exec sleep 60"))

    def check(self) -> None:
        return None

    def complete(self) -> None:
        with log_file(self.site.data, self.name).open("a") as log:
            log.write("ERROR: could not extend file: No space left on device\n")
        raise RuntimeError("whatever a driver raises")


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """Of a sleeper that does not run; it is ended after the test."""
    ports = Ports(tmp_path / "ports.json", Sleeper.ports).assign()
    for folder in ("logs", "run"):
        (tmp_path / folder).mkdir()
    made = Supervisor(Sleeper(Site(tmp_path, ports, "", Cache(tmp_path), load_lock())))
    yield made
    made.kill()


def _disk_full(started: list[Running]) -> object:
    def write(_: PidFile, running: Running) -> None:
        assert running.alive()
        started.append(running)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return write


def test_a_process_that_cannot_be_remembered_is_ended(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else would ever stop it: it would hold its port, and write into data that `down --wipe` deletes."""
    started: list[Running] = []
    monkeypatch.setattr(PidFile, "write", _disk_full(started))
    with pytest.raises(ServiceError, match="sleeper: could not be started: the disk is full") as caught:
        supervisor.start()
    assert [running.alive() for running in started] == [False]
    assert "Free some space" in caught.value.hint
    assert supervisor.state() is State.stopped


def test_a_set_up_that_fails_is_told_as_its_server_tells_it(supervisor: Supervisor) -> None:
    """Here: a database that cannot be created, because the disk has filled up since the start."""
    supervisor.start()
    with pytest.raises(ServiceError, match="sleeper: its set-up failed: the disk is full"):
        supervisor.await_ready(threading.Event())


def test_a_killed_service_leaves_nothing_of_its_group(supervisor: Supervisor) -> None:
    """What it started itself goes with it."""
    supervisor.start()
    running = supervisor.process()
    assert running is not None
    wait_until(lambda: bool(process.children(running.pid)), "the child of the server")
    below = process.children(running.pid)
    supervisor.kill()
    assert [each.alive() for each in (running, *below)] == [False, False]
    assert supervisor.state() is State.dead


def test_a_process_that_hangs_is_not_called_missing() -> None:
    """`up` would wait for it in vain; what has ended, it starts."""
    assert "holdtrue down; holdtrue up" in remedy([State.dead, State.unhealthy])
    assert remedy([State.dead, State.stopped]) == "Start what is missing: holdtrue up"
