"""Mutants: rules of streams/ made weaker, one at a time, each with the named test that must notice.

`python -m tests.simulation.mutants` lives through all of them: each in a process of its own, in which the source of one
module is changed as it is imported. A mutant whose test passes has survived, and something is not tested.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.machinery
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

ROOT = Path(__file__).parents[2]
# Longer than any test that must notice takes.
SECONDS_MAX = 240

SEEDS = "tests/simulation/test_seeds.py::test_histories_keep_every_promise[{}]"
VERIFY = "tests/simulation/test_seeds.py::test_histories_of_a_replica_that_somebody_else_writes_keep_every_promise[{}]"
INVALIDATE = "tests/simulation/test_seeds.py::test_histories_of_a_cache_that_readers_fill_keep_every_promise[{}]"
BREAKS = "tests/simulation/test_seeds.py::test_histories_whose_numbers_begin_anew_keep_every_promise[{}]"
LOOKS = "tests/unit/changes/test_visibility.py::test_"
MARKS = "tests/unit/versions/test_marks.py::test_"
ORDER = "tests/unit/changes/test_order.py::test_"
SETTLE = "tests/unit/replicas/test_settle.py::test_"
FOUND = "tests/unit/agents/test_interleavings.py::test_"
FLOOD = "tests/unit/agents/test_findings_restart.py::test_{}"
GUARD = "tests/contract/test_guard.py::test_"
OVERRULE = "tests/contract/test_overrule.py::test_"


@dataclass(frozen=True)
class Mutant:
    """One weakened rule. `changes`: (old, new) in the source of `module`; each old is there exactly once."""

    name: str
    weakens: str
    module: str
    changes: tuple[tuple[str, str], ...]
    killer: str
    quick: bool = False


def mutant(name: str, weakens: str, module: str, *changes: str, killer: str, quick: bool = False) -> Mutant:
    """A mutant from old, new, old, new, …; `module` is below streams."""
    return Mutant(
        name, weakens, f"streams.{module}", tuple(zip(changes[::2], changes[1::2], strict=True)), killer, quick
    )


class _Mutated(importlib.machinery.SourceFileLoader):
    """Loads one module from changed source."""

    changes: tuple[tuple[str, str], ...]

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.get_filename(fullname)).decode()
        for old, new in self.changes:
            if source.count(old) != 1:
                raise SystemExit(f"{fullname} has {source.count(old)} times, not once:\n{old}")
            source = source.replace(old, new)
        return compile(source, self.get_filename(fullname), "exec")


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, fullname: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._mutant.module:
            return None
        loader = _Mutated(fullname, str(ROOT / Path(*fullname.split(".")).with_suffix(".py")))
        loader.changes = self._mutant.changes
        return importlib.machinery.ModuleSpec(fullname, loader, origin=loader.path)


def survives(one: Mutant) -> bool:
    """Whether the mutant's test passes. Runs in this process, whose streams/ is spoilt by it."""
    import pytest

    assert one.module not in sys.modules
    sys.meta_path.insert(0, _Finder(one))
    from tests.simulation import run

    run.SMALLER_MAX = 0  # nobody reads why
    code = pytest.main(
        ["-q", "-x", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-rN", *one.killer.split(" ", 1)]
    )
    assert one.module in sys.modules, f"{one.killer} does not even import {one.module}"
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise SystemExit(f"{one.killer} could not be run: {code!r}")
    return code == pytest.ExitCode.OK


def killed(name: str) -> bool:
    """Whether a mutant is noticed by its test, in a process of its own. Raises on anything but yes and no."""
    command = [sys.executable, "-m", "tests.simulation.mutants", "--one", name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS_MAX)
    if done.returncode not in (0, 3):
        raise RuntimeError(f"{name}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 3


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every mutant was killed."""
    from tests.simulation.mutated import MUTANTS

    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--one", metavar="NAME", help="run one mutant's test here; exit status 3: it was noticed")
    options = parser.parse_args(arguments)
    by_name = {one.name: one for one in MUTANTS}
    if options.one:
        return 0 if survives(by_name[options.one]) else 3

    def timed(name: str) -> tuple[str, bool, float]:
        started = time.monotonic()
        return name, killed(name), time.monotonic() - started

    survivors = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for name, dead, seconds in pool.map(timed, by_name):
            print(f"{'killed' if dead else 'SURVIVED':>9}  {seconds:5.1f} s  {name}", flush=True)
            survivors += [] if dead else [name]
    print(f"{len(by_name) - len(survivors)} of {len(by_name)} mutants killed")
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main())
