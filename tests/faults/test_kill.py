"""A worker is killed (SIGKILL) at a named step, started again, and nothing is wrong afterwards.

Under continuous load. What is right is decided twice: by `holdtrue validate`, and by reading both sides with the
stores' own drivers.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from streams.local.stack import Stack
from tests.support.bank import PROGRAM, Bank
from tests.support.load import KEYS, Load
from tests.support.processes import Worker
from tests.support.wait import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]
ITEM = "public.item"
ROWS = 6_000
DDL = f"""
CREATE TABLE item (id int PRIMARY KEY, note text);
INSERT INTO item SELECT n, 'note ' || n FROM generate_series(1, {ROWS}) n;
"""
REPLICAS: dict[str, dict[str, dict[str, object]]] = {"reports": {ITEM: {}}, "cache": {ITEM: {}}, "lookup": {ITEM: {}}}
_moments = random.Random(20_261)


class Case(NamedTuple):
    """Where one worker dies: the `count`th time it reaches `step`, while `during` goes on."""

    during: str
    replica: str
    step: str
    count: int
    long: bool = True

    @property
    def name(self) -> str:
        """Its name among the tests."""
        return f"{self.during}-{self.replica}-{self.step}-{self.count}"


# The snapshots come first: a replica has only one.
CASES = [
    Case("snapshot", "reports", "store-written", 2, long=False),
    Case("snapshot", "cache", "changelog-acknowledged", 1),
    Case("snapshot", "lookup", "store-about-to-write", 2),
    *(
        Case("load", replica, step, _moments.randint(1, 8), long=not quick)
        for replica, step, quick in (
            ("reports", "batch-received", False),
            ("reports", "batch-decoded", False),
            ("reports", "store-about-to-write", False),
            ("reports", "store-written", False),
            ("cache", "store-about-to-write", False),
            ("cache", "store-written", True),
            ("lookup", "store-written", False),
            ("reports", "changelog-acknowledged", True),
            ("reports", "state-written", False),
            ("cache", "state-written", False),
            ("reports", "offset-committed", False),
        )
    ),
    Case("recovery", "reports", "recovery-batch", 1, long=False),
    Case("check", "reports", "check-received", 2),
    Case("check", "cache", "check-answered", 1, long=False),
    Case("repair", "reports", "repair-received", 1),
    Case("repair", "reports", "repair-written", 1, long=False),
    Case("repair", "cache", "repair-recorded", 1),
]


class Scene:
    """The bank, its load, and what the cases do with workers."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.load = Load(bank.env["HOLDTRUE_SOT_DSN"], "item")

    def doomed(self, case: Case) -> Worker:
        """A worker that will die at the case's step."""
        return self.bank.worker(case.replica, HOLDTRUE_CRASH_AT=f"{case.step}:{case.count}")

    def beside(self, case: Case) -> subprocess.Popen[bytes] | None:
        """The command that is asked of the doomed worker; it gets its answer from the one that comes after."""
        words = {
            "check": ("validate", "--replica", case.replica, "--depth", "checksums"),
            "repair": ("repair", "apply", f"{case.name}.json", "--reason", "tests", "--by", "tests"),
        }.get(case.during)
        if words is None:
            return None
        with (self.bank.folder / "command.log").open("ab") as log:
            return subprocess.Popen((PROGRAM, *words), env=self.bank.env, stdout=log, stderr=log, cwd=self.bank.folder)


@pytest.fixture(scope="module")
def scene(shared_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One connector and one load for all cases; control remembers drift, as repairs need it."""
    bank = Bank(shared_stack, tmp_path_factory.mktemp("faults"), DDL, {ITEM: ["id"]}, REPLICAS)
    try:
        bank.apply()
        bank.control()
        scene = Scene(bank)
        try:
            yield scene
        finally:
            scene.load.stop()
    finally:
        bank.close()


def marked(case: Case) -> object:
    """The case as a parameter of the test."""
    return pytest.param(case, id=case.name, marks=[pytest.mark.long] if case.long else [])


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_killed_worker_leaves_nothing_wrong(case: Case, scene: Scene) -> None:
    """Dies there by SIGKILL; after a restart every store is what it must be."""
    bank = scene.bank
    PREPARE[case.during](scene, case)
    doomed = scene.doomed(case)
    beside = scene.beside(case)
    assert doomed.wait_end() == -signal.SIGKILL
    assert f"kill itself at step {case.step}:{case.count}" in doomed.said
    again = bank.worker(case.replica)
    if beside is not None:
        assert beside.wait(240) in (0, 3)
    bank.wait_caught_up(case.replica, seconds=120)
    results = bank.validate("--replica", case.replica, "--depth", "checksums")
    assert [(each["outcome"], each["drift_found"]) for each in results] == [("correct", 0)], results
    with scene.load.paused():
        bank.wait_caught_up(case.replica)
        assert bank.difference(case.replica) == {}
    assert again.stop() == 0


def nothing(scene: Scene, case: Case) -> None:
    """The load is all it needs."""


def first_time(scene: Scene, case: Case) -> None:
    """Nobody has read the snapshot into this replica yet."""
    assert scene.bank.committed(case.replica) == {}


def forget(scene: Scene, case: Case) -> None:
    """The worker's folder is gone: it recovers from the changelog."""
    shutil.rmtree(Path(scene.bank.env["HOLDTRUE_WORKER_DIR"]) / scene.bank.name / case.replica)


def plant(scene: Scene, case: Case) -> None:
    """Rows that the load never touches are changed in the store, found, and put into a repair plan."""
    bank = scene.bank
    plain = bank.worker(case.replica)
    bank.wait_caught_up(case.replica)
    keys = range(KEYS + 100, KEYS + 104)
    if case.replica == "reports":
        with psycopg.connect(bank.env["HOLDTRUE_REPLICA_DSN"]) as replica:
            replica.execute("UPDATE item SET note = 'rogue' WHERE id = ANY(%s)", [list(keys)])
    else:
        bank.redis().delete(*(f"{bank.name}:item:{key}" for key in keys))
    results = bank.validate("--replica", case.replica, "--depth", "checksums")
    assert [(each["outcome"], each["drift_found"]) for each in results] == [("drifted", len(keys))], results
    wait_until(lambda: bank.open_drift(case.replica) == len(keys), "control to know the drift")
    bank.done("repair", "plan", "--replica", case.replica, "--file", f"{case.name}.json")
    assert plain.stop() == 0


PREPARE: dict[str, Callable[[Scene, Case], None]] = {
    "snapshot": first_time, "load": nothing, "recovery": forget, "check": nothing, "repair": plant,
}  # fmt: skip
