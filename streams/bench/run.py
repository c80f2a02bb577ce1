"""One measured run: start, wait for the assignment, wait for the last rows, check the result.

The clock starts when the consumer group has been assigned every partition, and stops when the last row of every
partition is in the target and, for a contender that commits as it goes, the whole topic is committed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streams.bench import subject
from streams.bench.contenders import Contender, Launch
from streams.bench.errors import BenchError
from streams.bench.process import Process, cpu_seconds, memory_bytes_max
from streams.bench.site import Marks, Place
from streams.bench.topic import Group

_POLL_SECONDS = 0.05
_START_SECONDS = 120.0
# Slower than this is a fault, not a result.
_ROWS_PER_SECOND_MIN = 500


@dataclass(frozen=True, slots=True)
class Run:
    """What one run measured. `rows` is the number of records in each of the two parts.

    cpu_seconds: of the process and its children between assignment and end. store_cpu_seconds: of the Postgres server,
    from the start of the process on. start_seconds: from the start of the process to the assignment.
    """

    rows: int
    start_seconds: float
    snapshot_seconds: float
    update_seconds: float
    cpu_seconds: float
    store_cpu_seconds: float
    memory_bytes_max: int

    @property
    def seconds(self) -> float:
        """From the assignment to the end."""
        return self.snapshot_seconds + self.update_seconds


def measure(contender: Contender, place: Place, marks: Marks, rows: int, number: int, store_pid: int) -> Run:
    """Run `contender` once. Raises BenchError when it does not get there, or got there with other content."""
    with subject.connect(place.endpoints.replica_dsn) as target:
        launch = contender.launch(place, number)
        subject.create(target, launch.target)
        target.execute("CHECKPOINT")
        store_before = cpu_seconds(store_pid)
        started = time.monotonic()
        log = place.logs / f"bench-{contender.name.split()[0].lower()}.log"
        with Process(contender.name, launch.words, log, launch.environment) as process:
            watch = Watch(process, launch, place, marks, target, rows)
            times = watch.times()
            memory = memory_bytes_max(process.pid)
            store_after = cpu_seconds(store_pid)
        _require_equal(place, target, launch.target, contender.name)
        subject.drop(target, launch.target)
    return Run(
        rows=rows,
        start_seconds=times.assigned - started,
        snapshot_seconds=times.snapshot - times.assigned,
        update_seconds=times.end - times.snapshot,
        cpu_seconds=times.cpu_end - times.cpu_assigned,
        store_cpu_seconds=store_after - store_before,
        memory_bytes_max=memory,
    )


@dataclass(frozen=True, slots=True)
class Times:
    """The moments of one run, and the CPU seconds used until two of them."""

    assigned: float
    snapshot: float
    end: float
    cpu_assigned: float
    cpu_end: float


class Watch:
    """Looks on while a contender works: two small queries every 50 ms, the same for both."""

    def __init__(self, process: Process, launch: Launch, place: Place, marks: Marks, target: Any, rows: int) -> None:
        self._process = process
        self._launch = launch
        self._marks = marks
        self._target = target
        self._group = Group(place.endpoints.kafka, launch.group)
        self._seconds_max = 120 + 2 * rows / _ROWS_PER_SECOND_MIN

    def times(self) -> Times:
        """The moments of this run, as they pass."""
        marks, table = self._marks, self._launch.target
        assigned = self._when(lambda: self._group.holds(marks.topic, len(marks.ends)), _START_SECONDS, "be assigned")
        cpu_assigned = cpu_seconds(self._process.pid)
        snapshot = self._when(
            lambda: subject.arrived(self._target, table, marks.snapshot_keys, 0),
            self._seconds_max,
            "apply the snapshot",
        )
        end = self._when(self._done, self._seconds_max, "apply the updates")
        return Times(assigned, snapshot, end, cpu_assigned, cpu_seconds(self._process.pid))

    def _done(self) -> bool:
        if not subject.arrived(self._target, self._launch.target, self._marks.update_keys, 1):
            return False
        return not self._launch.commits or self._group.committed(self._marks.topic) == self._marks.ends

    def _when(self, there: Callable[[], bool], seconds_max: float, what: str) -> float:
        deadline = time.monotonic() + seconds_max
        while not there():
            self._process.require_alive()
            if time.monotonic() > deadline:
                raise BenchError(
                    f"{self._launch.group} did not {what} within {seconds_max:.0f} s.", f"See {self._process.log}"
                )
            time.sleep(_POLL_SECONDS)
        return time.monotonic()


def _require_equal(place: Place, target: Any, table: str, name: str) -> None:
    with subject.connect(place.endpoints.sot_dsn) as sot:
        wanted = subject.content(sot, subject.TABLE)
    found = subject.content(target, table)
    if found != wanted:
        raise BenchError(
            f"{name} left {table} with {found[0]:,} rows that are not the SOT's {wanted[0]:,}: no figure is reported.",
            "This is a defect of the contender or of its configuration.",
        )
