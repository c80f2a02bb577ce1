"""Processes that end with the one that started them."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streams import parent
from streams.agents import schedule
from streams.control.schedule import Due

# Whoever waits for the end of their output waits for their end.
FOLLOWS = "from streams.parent import follow; follow(); print('child', flush=True); import time; time.sleep(600)"
STAYS = "print('child', flush=True); import time; time.sleep(600)"
ALL = f"""
import sys
from streams.cli import workers
child = [sys.executable, "-c", {FOLLOWS!r}]
workers.commands = lambda *_: {{"control": child, "reports": child}}
workers.run_all(None, None, instance="0", metrics_port=0)
"""
CONTROL = """
import asyncio, os, sys
from types import SimpleNamespace
from streams.agents import schedule
schedule.sys = SimpleNamespace(executable=sys.argv[1])
async def crashes():
    run = asyncio.create_task(schedule.Schedule(None, None)._run(schedule.Due("cache", "public.t", "counts")))
    await asyncio.to_thread(sys.stdin.read)
    os._exit(1)
asyncio.run(crashes())
"""


def test_the_workers_of_all_end_with_it() -> None:
    """It cannot handle SIGKILL, and its children would hold their names until somebody found them."""
    with subprocess.Popen((sys.executable, "-c", ALL), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["child\n"] * 2
        process.kill()
        assert process.stdout.read() == ""


@pytest.fixture
def said(tmp_path: Path) -> Path:
    """A pipe with a name, for children that are given no stdout."""
    path = tmp_path / "said"
    os.mkfifo(path)
    return path


def program(code: str, said: Path) -> Path:
    """An executable that runs `code`, whatever words it is given."""
    path = said.with_name("program")
    words = " ".join(shlex.quote(word) for word in (sys.executable, "-c", code))
    path.write_text(f"#!/bin/sh\nexec {words} > {shlex.quote(str(said))}\n")
    path.chmod(0o700)
    return path


def test_a_scheduled_run_ends_with_a_control_that_crashed(said: Path) -> None:
    """Nobody would end it, or look at what it finds."""
    words = (sys.executable, "-c", CONTROL, str(program(FOLLOWS, said)))
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process, said.open() as heard:
        assert heard.readline() == "child\n"
        assert process.stdin is not None
        process.stdin.close()
        assert heard.read() == ""
    assert process.returncode == 1


async def test_a_scheduled_run_ends_when_control_is_asked_to(said: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, not when control has ended."""
    monkeypatch.setattr(schedule.sys, "executable", str(program(STAYS, said)))
    nothing: Any = None
    run = asyncio.create_task(schedule.Schedule(nothing, nothing)._run(Due("cache", "public.t", "counts")))
    with await asyncio.to_thread(said.open) as heard:
        assert await asyncio.to_thread(heard.readline) == "child\n"
        run.cancel()
        assert await asyncio.to_thread(heard.read) == ""
    with pytest.raises(asyncio.CancelledError):
        await run


def test_a_child_that_does_not_end_by_itself_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that waits for a dead broker, say, would keep its name for ever."""
    did: list[object] = []
    monkeypatch.setattr(os, "read", lambda handle, size: did.append("read") or b"")
    monkeypatch.setattr(os, "kill", lambda pid, number: did.append((pid == os.getpid(), number)))
    monkeypatch.setattr(os, "_exit", lambda code: did.append(code))
    monkeypatch.setattr(parent, "time", SimpleNamespace(sleep=lambda seconds: did.append(seconds)))
    parent._follow()
    assert did == ["read", (True, signal.SIGTERM), parent.END_SECONDS, 1]


def test_only_who_was_told_to_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a child starts by itself has another stdin: it is not told."""
    followed: list[threading.Thread] = []
    monkeypatch.setattr(threading.Thread, "start", lambda thread: followed.append(thread))
    monkeypatch.setattr(os, "environ", parent.environment())
    for _ in range(2):
        parent.follow()
    assert len(followed) == 1
