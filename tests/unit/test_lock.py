"""A lock has one holder, whatever becomes of its file and of its process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streams import lock as module
from streams.lock import Taken, lock

HOLDER = """
import sys
from pathlib import Path
from streams.lock import lock
lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Of a lock that nobody holds."""
    return tmp_path / ".name.lock"


def test_it_is_held_until_its_handle_is_closed(file: Path) -> None:
    """Also against the process that holds it, which is named; for nobody else to read."""
    handle = lock(file)
    with pytest.raises(Taken) as refused:
        lock(file)
    assert refused.value.pid == os.getpid()
    assert file.stat().st_mode & 0o777 == 0o600
    os.close(handle)
    os.close(lock(file))


def test_it_is_given_back_by_a_process_that_is_killed(file: Path) -> None:
    """The system does that; until then the process is named."""
    with subprocess.Popen(
        (sys.executable, "-c", HOLDER, str(file)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Taken) as refused:
            lock(file)
        assert refused.value.pid == holder.pid
        holder.kill()
        holder.wait()
        os.close(lock(file))


def test_a_file_that_was_deleted_meanwhile_is_locked_anew(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its holder may delete it: two that hold two files of one name would both be at work."""
    take, taken = module._take, []

    def deleted_first(handle: int) -> None:
        take(handle)
        taken.append(handle)
        if len(taken) == 1:
            file.unlink()

    monkeypatch.setattr(module, "_take", deleted_first)
    handle = lock(file)
    assert len(taken) == 2
    with pytest.raises(Taken):
        lock(file)
    os.close(handle)


def test_what_is_in_the_file_is_not_trusted(file: Path) -> None:
    """It was left by another version, or by somebody else."""
    file.write_text("not a process")
    handle = lock(file)
    assert file.read_text() == str(os.getpid())
    file.write_text("not a process")
    with pytest.raises(Taken, match="another process") as refused:
        lock(file)
    assert refused.value.pid is None
    os.close(handle)


def test_a_refused_lock_leaves_no_handle_open(file: Path) -> None:
    """It may be asked for again and again: the next handle is the same as before."""
    handle = lock(file)
    free = os.dup(handle)
    os.close(free)
    for _ in range(3):
        with pytest.raises(Taken):
            lock(file)
    again = os.dup(handle)
    os.close(again)
    os.close(handle)
    assert again == free
