"""Starting several services as early as each may start, and taking back what was started if one fails."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from streams.local.progress import Reporter
from streams.local.supervise import AbortedError, Supervisor


class Launch:
    """One attempt to have `wanted` serve; the other services already do."""

    def __init__(self, wanted: Sequence[Supervisor], reporter: Reporter) -> None:
        self._wanted = wanted
        self._reporter = reporter
        self._ready: Mapping[str, threading.Event] = {each.service.name: threading.Event() for each in wanted}
        self._abort = threading.Event()
        self._started: list[Supervisor] = []

    def run(self) -> None:
        """Start all, in parallel where needs allow. Raises the first error, after stopping what this launch started."""
        try:
            self._run_all()
        except BaseException:
            stop_all(self._started)
            raise

    def _run_all(self) -> None:
        with ThreadPoolExecutor(max_workers=max(1, len(self._wanted))) as pool:
            futures = [pool.submit(self._one, each) for each in self._wanted]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                failed = [error for each in done if (error := each.exception()) is not None]
                for error in sorted(failed, key=lambda error: isinstance(error, AbortedError)):
                    raise error
            finally:
                # A service that waits gives up now; when all are ready this says nothing to anybody.
                self._abort.set()

    def _one(self, supervisor: Supervisor) -> None:
        service = supervisor.service
        for need in service.needs:
            self._await(need)
        if supervisor.process() is None:
            self._started.append(supervisor)
            supervisor.start()
        supervisor.await_ready(self._abort)
        self._ready[service.name].set()
        self._reporter.say(f"{service.name} serves at {service.endpoint()}")

    def _await(self, need: str) -> None:
        event = self._ready.get(need)
        while event is not None and not event.wait(0.1):
            if self._abort.is_set():
                raise AbortedError


def stop_all(supervisors: Sequence[Supervisor]) -> None:
    """Stop services in parallel, each after those that need it. Raises the first error, after trying all."""
    waiting = {each.service.name: each for each in supervisors}
    errors: list[BaseException] = []
    while waiting:
        needed = {need for each in waiting.values() for need in each.service.needs}
        turn = [each for name, each in waiting.items() if name not in needed]
        with ThreadPoolExecutor(max_workers=len(turn)) as pool:
            futures = [pool.submit(each.stop) for each in turn]
        errors += [error for each in futures if (error := each.exception()) is not None]
        for each in turn:
            del waiting[each.service.name]
    if errors:
        raise errors[0]
