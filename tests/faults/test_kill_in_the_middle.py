"""Worker, control or all processes are killed (SIGKILL) in the middle of checks, runs, repairs, backfills, adoptions.

Nothing is lost, and nothing is counted twice: of each key that was made wrong one drift is told, however many have seen
it, all of them are repaired, no other key is told of, and what counts them agrees.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from streams.local.stack import Stack
from streams.steps import Step
from tests.faults.watched import CONTROL, ITEM, THEIRS, Watched, watched
from tests.support.processes import Worker
from tests.support.wait import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.long, pytest.mark.timeout(900)]
# So many more records are applied before the state is set back.
LATER_RECORDS = 3_000
COMMAND_SECONDS = 240
TOKENS = 'SELECT count(*) FROM their_tokens."theirs.item" v JOIN theirs.item USING (id) WHERE v.dead_since IS NULL'


class Case(NamedTuple):
    """Who is killed, during what, in which replica. step: where its worker dies, else the middle is looked for."""

    during: str
    victim: str
    replica: str
    step: str = ""


CASES = [
    Case("repair", "all", "cache", Step.repair_written),
    Case("scrub", "worker", "cache", Step.drift_found),
    Case("scrub", CONTROL, "lookup"),
    Case("scrub", "all", "lookup"),
    Case("log", "worker", "reports", Step.foreign_seen),
    Case("log", CONTROL, "reports"),
    Case("log", "all", "reports", Step.foreign_told),
    Case("validate", "worker", "cache", f"{Step.check_answered}:3"),
    Case("validate", CONTROL, "reports"),
    Case("validate", "all", "lookup"),
    Case("validate", "all", "reports"),
    Case("repair", "worker", "reports", Step.repair_written),
    Case("repair", CONTROL, "lookup"),
    Case("backfill", "worker", "lookup", Step.rows_backfilled),
    Case("backfill", CONTROL, "cache"),
    Case("backfill", "all", "reports", Step.backfill_noted),
    Case("adopt", "worker", THEIRS, Step.rows_stamped),
    Case("adopt", CONTROL, THEIRS),
    Case("adopt", "all", THEIRS, Step.rows_stamped),
    Case("restored", "worker", "reports"),
    Case("restored", "worker", "cache"),
    Case("restored", "worker", "lookup"),
]


@pytest.fixture(scope="module")
def world(
    shared_stack: Stack, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Watched]:
    """One load for all cases that are run; beside their replicas always one of Postgres and one of Redis."""
    specs = [spec for item in request.session.items if (spec := getattr(item, "callspec", None))]
    cases = {case.replica for spec in specs if isinstance(case := spec.params.get("case"), Case)}
    yield from watched(shared_stack, tmp_path_factory.mktemp("watched"), {"reports", "cache", *cases})


def named(case: Case) -> str:
    """The case as the name of its test."""
    return "-".join(part for part in case if part)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_nothing_is_lost_and_nothing_is_counted_twice(case: Case, world: Watched) -> None:
    """Whoever is killed, and whatever was under way."""
    if case.step:
        world.kill([case.replica])
        world.start(case.replica, HOLDTRUE_CRASH_AT=case.step)
        world.caught_up()
    ACTS[case.during](world, case)
    world.settle()
    world.audit(case.replica)


def strike(
    world: Watched, case: Case, command: Worker | None = None, middle: Callable[[], object] = lambda: True
) -> None:
    """Kill in the middle, and start again what was killed; a command is not.

    middle: whether it is the middle, where no worker dies at a step by itself.
    """
    if case.step:
        assert world.processes[case.replica].wait_end(COMMAND_SECONDS) == -signal.SIGKILL
    else:
        wait_until(middle, lambda: f"the middle of it: {command and command.said}")
    if command is not None:
        assert command.process.poll() is None, command.said
    names = {"worker": [case.replica], "all": [*world.processes]}.get(case.victim, [case.victim])
    world.kill(names, *([command] if command and case.victim == "all" else []))
    world.start(*names)


def outlived(world: Watched, case: Case, command: Worker, again: tuple[str, ...]) -> str:
    """What the command says in the end, or, where it was killed, the one that is given then."""
    if case.victim == "all":
        ran = world.bank.run(*again)
        said, code = ran.stdout + ran.stderr, ran.returncode
    else:
        code, said = command.wait_end(COMMAND_SECONDS), command.said
    assert code in (0, 3), said
    return said


def news(world: Watched, topic: str, name: str, value: str) -> Callable[[], bool]:
    """Whether there are events of this kind that were not there when this was called."""
    count = lambda: sum(event[name] == value for event in world.bank.events(topic))  # noqa: E731
    before = count()
    return lambda: count() > before


def scrub(world: Watched, case: Case) -> None:
    """A pass through all keys."""
    seen = world.processes[case.replica].metric("holdtrue_keys_checked_total")
    world.plant(case.replica)
    strike(world, case, None, lambda: world.processes[case.replica].metric("holdtrue_keys_checked_total") > seen + 500)


def log(world: Watched, case: Case) -> None:
    """Changes in the replica's log are on their way to their owners."""
    worker = world.processes[case.replica]
    wait_until(lambda: worker.metric("holdtrue_replica_log_followed") == 1, "the log to be followed")
    world.plant(case.replica)
    strike(world, case)


def validate(world: Watched, case: Case) -> None:
    """A run of every key, of which some are decided."""
    world.plant(case.replica)
    marks = world.marks()
    words = ("validate", "--replica", case.replica, "--depth", "full")
    command = world.begun("--format", "json", *words, "--snapshot-rows", "500", "--rows-per-second", "500")
    strike(world, case, command, lambda: "--resume" in command.said)
    resumed = ()
    if case.victim == "all":
        (run,) = world.json("runs", "list", "--outcome", "interrupted")["runs"]
        resumed = ("--format", "json", "validate", "--resume", run["run"])
    said = outlived(world, case, command, resumed)
    assert '"outcome": "drifted"' in said
    assert world.marks() == marks


def repair(world: Watched, case: Case) -> None:
    """Keys are ordered to be repaired, and some are."""
    world.wait_told(world.plant(case.replica))
    world.bank.done("repair", "plan", "--replica", case.replica)
    words = ("repair", "apply", "repair.json", "--reason", "planted")
    is_begun = news(world, "drift", "state", "repairing")
    command = world.begun(*words)
    strike(world, case, command, is_begun)
    outlived(world, case, command, words)


def backfill(world: Watched, case: Case) -> None:
    """Rows are looked up, and some are written."""
    block = world.plant(case.replica)
    world.wait_told(block)
    range_ = ("--from", f"id={block.start}", "--to", f"id={block.stop - 1}")
    words = ("repair", "backfill", "--replica", case.replica, "--table", ITEM, *range_, "--yes", "--reason", "planted")
    is_begun = news(world, "signals", "type", "backfill-ordered")
    command = world.begun(*words)
    strike(world, case, command, is_begun)
    outlived(world, case, command, words)


def adopt(world: Watched, case: Case) -> None:
    """What is right gets its tokens."""
    with psycopg.connect(world.bank.env["HOLDTRUE_REPLICA_DSN"], autocommit=True) as replica:
        if replica.execute("SELECT to_regclass('their_tokens.\"theirs.item\"')").fetchone() != (None,):
            replica.execute('TRUNCATE their_tokens."theirs.item"')
        world.plant(case.replica)
        words = ("adopt", "--replica", case.replica)
        command = world.begun(*words)
        strike(world, case, command, lambda: _stamped(replica))
        outlived(world, case, command, words)
        world.settle()
        assert world.load is not None
        with world.load.paused():
            world.bank.wait_equal(case.replica)
            world.bank.done(*words)
            assert _stamped(replica) == len(world.bank.actual(case.replica, ITEM))


def _stamped(replica: psycopg.Connection[tuple[object, ...]]) -> object:
    try:
        return replica.execute(TOKENS).fetchone()[0]  # type: ignore[index]
    except psycopg.errors.UndefinedTable:
        return 0


def restored(world: Watched, case: Case) -> None:
    """The worker's state is set back to what it was some thousand changes, drifts and repairs ago."""
    folder = Path(world.bank.env["HOLDTRUE_WORKER_DIR"]) / world.bank.name / case.replica
    older = world.bank.folder / f"older-{case.replica}"
    world.kill([case.replica])
    shutil.copytree(folder, older)
    world.start(case.replica)
    applied = sum(world.bank.committed(case.replica).values())
    world.plant(case.replica)
    world.settle()
    wait_until(
        lambda: sum(world.bank.committed(case.replica).values()) > applied + LATER_RECORDS, "more to be applied", 240
    )
    assert world.processes[case.replica].stop() == 0
    shutil.rmtree(folder)
    older.rename(folder)
    world.plant(case.replica)
    world.start(case.replica)


ACTS: dict[str, Callable[[Watched, Case], None]] = {
    "scrub": scrub, "log": log, "validate": validate, "repair": repair, "backfill": backfill, "adopt": adopt,
    "restored": restored,
}  # fmt: skip
