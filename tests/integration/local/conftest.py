"""One embedded stack for the tests that break it, apart from the one that other tests share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.local.stack import Stack
from tests.support.folders import server_folder

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def stack_dir() -> Iterator[Path]:
    """A data folder; whatever still runs in it at the end is stopped."""
    with server_folder() as folder:
        yield folder / "stack"
        Stack(folder / "stack").down(wipe=True)


@pytest.fixture(scope="session")
def run(stack_dir: Path) -> Run:
    """Runs the real command on that folder, and gives exit code, stdout and stderr."""

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HOLDTRUE_STACK_DIR": str(stack_dir)}
        program = str(Path(sys.executable).with_name("holdtrue"))
        return subprocess.run(
            (program, *words), env=environment, capture_output=True, text=True, timeout=800, check=False
        )

    return command


@pytest.fixture
def stack(stack_dir: Path, run: Run) -> Stack:
    """The stack with all of its servers up, as every test may expect it."""
    done = run("up")
    assert done.returncode == 0, done.stderr
    return Stack(stack_dir)


def described(run: Run) -> dict[str, Any]:
    """What `holdtrue stack --format json` says."""
    answer: dict[str, Any] = json.loads(run("--format", "json", "stack").stdout)
    return answer


def pids(stack: Stack) -> dict[str, int | None]:
    """The process of every service."""
    return {each.service: each.pid for each in stack.services()}
