"""Commands that run beside a load: once, waited for, or one after the other until they are stopped."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from streams.bench.errors import BenchError
from streams.bench.process import Process
from streams.bench.scene import Scene

POLL_SECONDS: Final = 0.05
COMMAND_SECONDS: Final = 900.0
STOP_SECONDS: Final = 90.0


class Stopped(Exception):
    """Whoever waited for the command does not want it any more."""


def command(scene: Scene, stopped: threading.Event, *verb: str, codes: Sequence[int] = (0, 3)) -> Any:
    """The JSON that a command prints; it is ended when `stopped` is set, which raises Stopped.

    Raises BenchError for another exit code, and when it takes too long.
    """
    name = f"holdtrue {' '.join(verb[:2])}"
    answer = scene.place.folder / f"{verb[0]}-{threading.get_ident()}.json"
    deadline = time.monotonic() + COMMAND_SECONDS
    with Process(name, scene.words("--quiet", *verb), answer, scene.place.endpoints.environment()) as process:
        while (code := process.code) is None:
            if stopped.wait(POLL_SECONDS):
                raise Stopped
            if time.monotonic() > deadline:
                raise BenchError(f"{name} did not end within {COMMAND_SECONDS:.0f} s.", "Is the machine busy?")
    said = answer.read_text(errors="replace")
    if code not in codes:
        raise BenchError(f"{name} ended with exit code {code}.", said.strip()[-500:])
    return json.loads(said[said.index("{") :])


def repair_open(scene: Scene, stopped: threading.Event) -> Any:
    """Repair all drift that is open, as a person would: a plan into a file, then that file. None where none is."""
    file = scene.place.folder / "repair.json"
    command(scene, stopped, "repair", "plan", "--file", str(file))
    if not json.loads(Path(file).read_text())["items"]:
        return None
    return command(scene, stopped, "repair", "apply", str(file), "--reason", "bench", "--above-threshold")


class Repeated:
    """A thread that does the same again and again. Use as a context manager."""

    def __init__(self, name: str, work: Callable[[threading.Event], object], every_seconds: float) -> None:
        self._work = work
        self._every_seconds = every_seconds
        self._stopped = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name)

    def require_alive(self) -> None:
        """Raises what ended it."""
        if self._failed is not None:
            raise self._failed

    def __enter__(self) -> Repeated:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                self._work(self._stopped)
                self._stopped.wait(self._every_seconds)
        except Stopped:
            pass
        except BaseException as error:
            self._failed = error
