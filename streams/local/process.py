"""Server processes that outlive the command that started them, and the pid files that prove a pid is ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

_POLL_SECONDS = 0.05
# Children of this very process must be waited for when they end; keeping the handles also keeps Python from warning
# about processes that are meant to live on.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class Account:
    """The user a server runs as, where that is not the caller."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Command:
    """How a server is started: its words, what its environment adds, and the user it runs as (None: the caller)."""

    words: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    account: Account | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A process as a pid file remembers it: a pid alone may have been given to somebody else meanwhile."""

    pid: int
    born: str

    def alive(self) -> bool:
        """Whether exactly this process still runs (a zombie does not)."""
        child = _children.get(self.pid)
        if child is not None and child.poll() is not None:
            _children.pop(self.pid, None)
        return birth(self.pid) == self.born


def birth(pid: int) -> str | None:
    """What tells this process from an earlier or later one with the same pid; None if it has ended (zombies have)."""
    if Path("/proc/self/stat").exists():
        return _birth_from_proc(pid)
    words = ("ps", "-o", "stat=,lstart=", "-p", str(pid))
    state, _, started = subprocess.run(words, capture_output=True, text=True, check=False).stdout.partition(" ")
    return started.strip() if state and "Z" not in state else None


def _birth_from_proc(pid: int) -> str | None:
    try:
        # The name, in parentheses, may hold spaces; field 3 is the state, 20 the threads, 22 the start in ticks.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, threads, started = fields[0], int(fields[17]), fields[19]
    # A killed process is a zombie from when its first thread has ended; until its last one has, it holds its port.
    if state in "ZX" and threads <= 1:
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{started}"


def await_left(folder: Path, seconds: float) -> bool:
    """Wait until no process works in `folder` any more; False when one still does after so many seconds.

    Told from /proc; where there is none, nothing is waited for.
    """
    deadline = time.monotonic() + seconds
    while any(_works_in(entry, folder) for entry in Path("/proc").glob("[0-9]*")):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _works_in(entry: Path, folder: Path) -> bool:
    try:
        return (entry / "cwd").readlink() == folder
    except OSError:  # it has ended, or is somebody else's
        return False


def memory_bytes(pid: int) -> int | None:
    """Resident memory of a process and its children (a Postgres is many); None where it cannot be told.

    Shared pages are counted once where the system says so (`Pss`), else in full for each process.
    """
    sizes = [size for each in (pid, *_descendants(pid)) if (size := _resident(each)) is not None]
    return sum(sizes) if sizes else None


def _descendants(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [each for child in map(int, children) for each in (child, *_descendants(child))]


def _resident(pid: int) -> int | None:
    for file, field in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    return None


def start(command: Command, log: Path) -> Running:
    """Start a server in a session of its own, with its output at the end of `log`. Raises OSError."""
    account = command.account
    with log.open("ab") as output:
        child = subprocess.Popen(
            command.words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **dict(command.environment)},
            cwd="/",
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    _children[child.pid] = child
    return Running(child.pid, birth(child.pid) or "ended")


def stop(running: Running, signals: Sequence[tuple[signal.Signals, float]]) -> bool:
    """Send each signal in turn and wait its seconds for the end. False if the process outlived them all."""
    for number, seconds in signals:
        if not running.alive():
            return True
        send(running, number)
        if wait_end(running, seconds):
            return True
    return not running.alive()


def send(running: Running, number: signal.Signals) -> None:
    """Send a signal, but never to a process that is not ours any more."""
    if running.alive():
        try:
            os.kill(running.pid, number)
        except ProcessLookupError:
            return


def kill(running: Running, seconds: float) -> bool:
    """End a process that `start` started at once, with its group, as a crash would; whether it all ended in time."""
    below = children(running.pid)
    if running.alive():
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    return wait_gone((running, *below), seconds)


def wait_end(running: Running, seconds: float) -> bool:
    """Wait at most `seconds` for the process to end; whether it did."""
    deadline = time.monotonic() + seconds
    while running.alive():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def children(pid: int) -> list[Running]:
    """The processes below `pid` (where the system can tell)."""
    return [Running(each, born) for each in _descendants(pid) if (born := birth(each)) is not None]


def wait_gone(processes: Sequence[Running], seconds: float) -> bool:
    """Wait at most `seconds` in all until every one has ended; whether they have."""
    deadline = time.monotonic() + seconds
    return all(wait_end(each, max(0.0, deadline - time.monotonic())) for each in processes)


class PidFile:
    """Remembers one process across commands."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Running | None:
        """The remembered process, which may have ended; None if nothing (readable) is remembered."""
        try:
            return Running(**json.loads(self._path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, running: Running) -> None:
        """Remember a process."""
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(running)))
        fresh.replace(self._path)

    def clear(self) -> None:
        """Forget it."""
        self._path.unlink(missing_ok=True)
