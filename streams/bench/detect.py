"""`bench detect`: faults planted under load all over a run; how soon each is found, what is reported for nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final, Protocol

from streams import figures
from streams.bench import subject
from streams.bench.alarms import raise_false
from streams.bench.asked import LAG_SECONDS_MAX, Asked, Checks, Class, Repair
from streams.bench.commands import Repeated, command, repair_open
from streams.bench.faults import Spoiler
from streams.bench.judge import Judge
from streams.bench.ledger import Ledger
from streams.bench.listener import Listener, listening
from streams.bench.load import HOT_KEYS, Load
from streams.bench.meter import Measured, Meter
from streams.bench.outcome import Outcome
from streams.bench.planter import Planter, schedule
from streams.bench.scene import REPLICA, TARGET, TOKEN_SCHEMA, Scene, kept_in_step
from streams.bench.topic import Note
from streams.errors import UsageError
from streams.local.progress import Reporter
from streams.local.stack import Stack

POLL_SECONDS: Final = 0.2
TOLD_SECONDS: Final = 30.0
# How often all open drift is repaired where the benchmark orders it.
REPAIR_SECONDS: Final = 5.0
# Its slot is made when every transaction in progress has ended.
FOLLOW_SECONDS: Final = 90.0


class Part(Protocol):
    """What works beside others, and may fail."""

    def require_alive(self) -> None:
        """Raises what ended it."""


def bench_detect(stack: Stack, reporter: Reporter, note: Note, asked: Asked) -> dict[str, Any]:
    """Plant, listen, judge. Raises BenchError when a part of the benchmark itself fails."""
    _require_possible(asked)
    with kept_in_step(stack, reporter, note, asked.rows, asked.cold, asked.decisions) as scene:
        if asked.follows_log:
            scene.note("waiting for the replica's log to be followed")
            scene.when(lambda: _follows_log(scene), FOLLOW_SECONDS, "follow the replica's log")
        ledger = Ledger()
        with listening(scene, ledger) as listener:
            outcome = _under_load(scene, ledger, Judge(scene, ledger), asked, listener)
    return {**_told(asked), **outcome.document(asked.classes)}


def _follows_log(scene: Scene) -> bool:
    return figures.counters(scene.metrics_port).get("holdtrue_replica_log_followed", 0.0) >= 1


def _told(asked: Asked) -> dict[str, Any]:
    return {
        "rows": asked.rows,
        "asked_changes_per_second": asked.changes_per_second,
        "seconds": asked.seconds,
        "scrub_period_seconds": asked.scrub_period if asked.checks is Checks.scrub else None,
        "checks": str(asked.checks),
        "repair": str(asked.repair),
        "left_out": asked.left_out,
    }


def _require_possible(asked: Asked) -> None:
    if asked.repair is Repair.automatic and asked.checks is not Checks.scrub:
        raise UsageError(
            "Only what the worker finds itself is repaired without being asked.",
            f"With --checks {asked.checks}, give --repair ordered or --repair none.",
        )
    if Class.replica_log in asked.classes and not asked.follows_log:
        raise UsageError("The replica's log is followed where the worker looks.", "Give --checks scrub.")
    wanted = 2 * HOT_KEYS + 8 * asked.planted + 2 * asked.false_alarms
    if asked.rows < wanted:
        raise UsageError(
            f"{asked.rows:,} rows are too few for {asked.planted:,} faults of each class.",
            f"Give --rows {wanted} or more, or plant fewer.",
        )


def _under_load(scene: Scene, ledger: Ledger, judge: Judge, asked: Asked, listener: Listener) -> Outcome:
    """Until everything that was planted is found and ended, not before its time, and not much longer."""
    with ExitStack() as exits:
        sot = scene.place.endpoints.sot_dsn
        load = exits.enter_context(Load(sot, asked.rows, asked.cold, asked.changes_per_second, asked.seed))
        planter = exits.enter_context(_planting(scene, ledger, load, asked))
        parts: list[Part] = [scene, listener, load, planter]
        parts += [exits.enter_context(each) for each in _beside(scene, asked)]
        scene.note(f"load: {asked.changes_per_second:,} changes a second; {asked.planted:,} faults of each class")
        meter = Meter(scene)
        raise_false(scene, asked.alarmed)
        began, told = time.monotonic(), TOLD_SECONDS
        while not _is_over(ledger, planter, asked, (passed := time.monotonic() - began)):
            for part in parts:
                part.require_alive()
            judge.look(load)
            meter.look()
            if passed > told:
                told = passed + TOLD_SECONDS
                scene.note(_progress(ledger, judge, passed))
            time.sleep(POLL_SECONDS)
        measured = meter.read(LAG_SECONDS_MAX)
        load.stop()
        load.require_alive()
    return _settled(ledger, judge, load, measured)


@contextmanager
def _planting(scene: Scene, ledger: Ledger, load: Load, asked: Asked) -> Iterator[Planter]:
    spoiler = Spoiler(scene.place.endpoints.replica_dsn, TARGET, TOKEN_SCHEMA)
    plan = schedule(asked.classes, asked.planted, asked.seconds, asked.seed)
    try:
        with Planter(plan, load, spoiler, ledger, asked.spoiled, asked.seed) as planter:
            yield planter
    finally:
        spoiler.close()


def _beside(scene: Scene, asked: Asked) -> Iterator[Repeated]:
    """What the benchmark does itself where the worker is not to do it."""
    if asked.checks is Checks.runs:
        run = ("validate", "--table", subject.TABLE, "--replica", REPLICA, "--depth", "checksums")
        yield Repeated("validations", lambda stopped: command(scene, stopped, *run), 0)
    if asked.repair is Repair.ordered:
        yield Repeated("repairs", partial(repair_open, scene), REPAIR_SECONDS)


def _is_over(ledger: Ledger, planter: Planter, asked: Asked, passed: float) -> bool:
    if passed < asked.seconds or not planter.done:
        return False
    open_ones = [
        fault for fault in ledger.faults()
        if fault.opened is None or (fault.ended is None and asked.repair is not Repair.none)
    ]  # fmt: skip
    return not open_ones or passed > asked.seconds + asked.patience_seconds


def _settled(ledger: Ledger, judge: Judge, load: Load, measured: Measured) -> Outcome:
    """The last look, the load being over: what was healed unreported, and whether anything else differs."""
    judge.look(load)
    unfound = {fault.key: fault for fault in ledger.unfound()}
    for key in judge.right(list(unfound)):
        unfound[key].healed = True
    unended = {fault.key for fault in ledger.faults() if fault.ended is None}
    differing = [key for key in judge.differing() if key not in unended]
    return Outcome(ledger, judge, measured, load.changes / load.seconds, differing)


def _progress(ledger: Ledger, judge: Judge, passed: float) -> str:
    faults = ledger.faults()
    found, ended = (sum(getattr(fault, name) is not None for fault in faults) for name in ("opened", "ended"))
    false = f"{judge.false_positives} false positives"
    return f"{passed:.0f} s: {len(faults)} planted, {found} found, {ended} ended, {false}"
