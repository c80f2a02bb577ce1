"""`bench repair`: many keys made wrong at once under load, found, repaired as ordered, and no other key touched."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg.sql import SQL, Composed, Identifier

from streams.bench.asked import LAG_SECONDS_MAX, Class, bounds, spread
from streams.bench.commands import command, repair_open
from streams.bench.faults import Fault, Spoiler
from streams.bench.judge import Judge
from streams.bench.ledger import Ledger, Planted
from streams.bench.listener import Listener, listening
from streams.bench.load import HOT_KEYS, Load
from streams.bench.meter import Measured, Meter
from streams.bench.outcome import named, quantile
from streams.bench.planter import STRANGERS
from streams.bench.report import rounded
from streams.bench.scene import REPLICA, TARGET, TOKEN_SCHEMA, Scene, kept_in_step
from streams.bench.topic import Note
from streams.errors import UsageError
from streams.local.progress import Reporter
from streams.local.stack import Stack
from streams.replicas.postgres_sql import version_name

SECONDS_MAX: Final = 30.0
# How long an event may take from Kafka to us.
HEARD_SECONDS: Final = 20.0
# The load runs for so long before anything is planted.
WARM_SECONDS: Final = 3.0

_ROWS: Final = (
    "SELECT id, t.xmin::text AS row, v.xmin::text AS version, v.token FROM {target} t FULL JOIN {versions} v USING (id)"
)
# What changed in any way since the copy was made: written anew with equal content included.
_TOUCHED: Final = (
    "SELECT id FROM ({rows}) now FULL JOIN before USING (id) WHERE (now.row, now.version, now.token) "
    "IS DISTINCT FROM (before.row, before.version, before.token)"
)


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a run gave. began: when `repair plan` was started. others: keys that neither fault nor load has written."""

    ledger: Ledger
    measured: Measured
    changes_per_second: float
    find_seconds: float
    began: float
    command_seconds: float
    unequal: Sequence[int]
    touched: Sequence[int]
    others: int
    differing: Sequence[int]
    false_positives: int

    def wrong(self) -> Iterator[str]:
        """What did not hold, a sentence each."""
        faults = self.ledger.faults()
        if unfound := [fault.key for fault in self.ledger.unfound()]:
            yield f"{len(unfound)} keys were not found: {named(unfound)}"
        if unended := [fault.key for fault in faults if fault.opened is not None and fault.ended is None]:
            yield f"{len(unended)} keys were not resolved: {named(unended)}"
        if self.unequal:
            yield f"{len(self.unequal)} keys are wrong after the repair: {named(self.unequal)}"
        if (last := self.resolved_seconds(1.0)) is not None and last > SECONDS_MAX:
            yield f"the last key was resolved after {last} s, not within {SECONDS_MAX:.0f} s"
        if self.touched:
            yield f"{len(self.touched)} other keys were touched: {named(self.touched)}"
        if self.measured.late:
            yield f"{self.measured.late:.0f} changes were later than the plan's {LAG_SECONDS_MAX} s"
        if self.false_positives:
            yield f"{self.false_positives} keys were reported that were right"
        if self.differing:
            yield f"{len(self.differing)} keys differ in the end: {named(self.differing)}"

    def resolved_seconds(self, share: float) -> float | None:
        """From the start of `repair plan` to the end of the drift."""
        return quantile((fault.ended - self.began for fault in self.ledger.faults() if fault.ended is not None), share)

    def document(self) -> dict[str, Any]:
        """The answer of the command."""
        faults, measured = self.ledger.faults(), self.measured
        return {
            "ok": not (wrong := list(self.wrong())),
            "wrong": wrong,
            "keys": len(faults),
            "found": sum(fault.opened is not None for fault in faults),
            "resolved": sum(fault.ended is not None for fault in faults),
            "find_seconds": rounded(self.find_seconds),
            "resolved_seconds_p50": self.resolved_seconds(0.5),
            "resolved_seconds_max": self.resolved_seconds(1.0),
            "command_seconds": rounded(self.command_seconds),
            "others_compared": self.others,
            "others_touched": len(self.touched),
            "false_positives": self.false_positives,
            "differing": len(self.differing),
            "changes_per_second": rounded(self.changes_per_second),
            "lag_seconds_p50": rounded(measured.lag_seconds_p50),
            "lag_seconds_p99": rounded(measured.lag_seconds_p99),
            "lag_seconds_max": rounded(measured.lag_seconds_max),
            "lag_bound_seconds": LAG_SECONDS_MAX,
            "worker_cpu_share": rounded(measured.cpu_share),
        }


def bench_repair(
    stack: Stack, reporter: Reporter, note: Note, *, rows: int, keys: int, rate: int, seed: int
) -> dict[str, Any]:
    """Plant, find, repair, compare. Raises BenchError when a part of the benchmark itself fails."""
    least = 4 * keys + 2 * HOT_KEYS
    if rows < least:
        raise UsageError(f"{rows:,} rows are too few for {keys:,} keys.", f"Give --rows {least} or more.")
    cold = spread(rows, 2 * keys)
    with kept_in_step(stack, reporter, note, rows, cold, _decisions(keys)) as scene:
        ledger = Ledger()
        with listening(scene, ledger) as listener:
            load = Load(scene.place.endpoints.sot_dsn, rows, cold, rate, seed, written=set())
            repaired = _run(scene, ledger, listener, load, cold[::2])
    return {"rows": rows, "asked_changes_per_second": rate, **repaired.document()}


def _decisions(keys: int) -> dict[str, Any]:
    """Nobody looks or repairs but the commands; as many keys as are planted may be repaired at once."""
    return {"validation": {"depths": ["checksums"], "every": "7d"}, **bounds(4 * keys)}


def _run(scene: Scene, ledger: Ledger, listener: Listener, load: Load, keys: range) -> Repaired:
    never = threading.Event()
    judge = Judge(scene, ledger)
    with load:
        time.sleep(WARM_SECONDS)
        scene.note(f"planting {len(keys):,} faults")
        _plant(scene, ledger, keys)
        find_seconds = _timed(lambda: command(scene, never, "validate", "--replica", REPLICA, "--depth", "checksums"))
        _heard(scene, listener, lambda: not list(ledger.unfound()))
        _copy_before(scene)
        scene.note("repairing")
        meter, began = Meter(scene), time.time()
        command_seconds = _timed(lambda: repair_open(scene, never))
        _heard(scene, listener, lambda: all(fault.ended is not None for fault in ledger.faults()))
        measured = meter.read(LAG_SECONDS_MAX)
        judge.look(load)
        load.stop()
        load.require_alive()
    planted = {fault.key for fault in ledger.faults()}
    unequal = planted - judge.right(sorted(planted))
    assert load.written is not None
    touched = _touched(scene) - planted - load.written
    return Repaired(
        ledger, measured, load.changes / load.seconds, find_seconds, began, command_seconds, sorted(unequal),
        sorted(touched), _others(scene, planted | load.written), judge.differing(), judge.false_positives,
    )  # fmt: skip


def _plant(scene: Scene, ledger: Ledger, keys: range) -> None:
    """Every kind of fault in turn, in keys that nobody writes."""
    spoiler = Spoiler(scene.place.endpoints.replica_dsn, TARGET, TOKEN_SCHEMA)
    faults = list(Fault)
    try:
        for number, cold in enumerate(keys):
            fault = faults[number % len(faults)]
            key = STRANGERS + number if fault is Fault.inserted else cold
            ledger.plant(Planted(key, Class.scrubbed, fault, time.time()))
            spoiler.plant(fault, key)
    finally:
        spoiler.close()


def _timed(work: Any) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _heard(scene: Scene, listener: Listener, there: Any) -> None:
    """Wait for the events of what has been done; those that do not come are told in the answer."""
    deadline = time.monotonic() + HEARD_SECONDS
    while not there() and time.monotonic() < deadline:
        listener.require_alive()
        scene.require_alive()
        time.sleep(0.05)


def _copy_before(scene: Scene) -> None:
    """Which transaction wrote each row and each version row, and the token: as it is before the repair."""
    statement = SQL("CREATE TEMP TABLE before AS {}").format(_rows())
    scene.target.execute(statement)
    scene.target.execute("ALTER TABLE before ADD PRIMARY KEY (id)")


def _touched(scene: Scene) -> set[int]:
    return {key for (key,) in scene.target.execute(SQL(_TOUCHED).format(rows=_rows())).fetchall()}


def _others(scene: Scene, written: set[int]) -> int:
    """How many keys the comparison is about."""
    row = scene.target.execute("SELECT count(*) FROM before WHERE id <> ALL(%s)", (list(written),)).fetchone()
    assert row is not None
    return int(row[0])


def _rows() -> Composed:
    names = {"target": Identifier(*TARGET.split(".", 1)), "versions": Identifier(TOKEN_SCHEMA, version_name(TARGET))}
    return SQL(_ROWS).format(**names)
