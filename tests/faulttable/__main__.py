"""Measure the fault table, or some of it, and write docs/faults.json and docs/faults.md.

    python -m tests.faulttable                            # all of it
    python -m tests.faulttable "rogue update" "evicted"   # these faults; the others' figures are kept
    python -m tests.faulttable --missing                  # what the file has no figures of
    python -m tests.faulttable --render                   # the page anew, nothing measured

A round of faults is written when it is measured, so a run that was ended goes on with --missing. Exit 1 if a cell is
not as expected.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from streams.local.stack import Stack
from tests.faulttable.faults import Fault, named
from tests.faulttable.layers import Store
from tests.faulttable.page import FILE, load, page
from tests.faulttable.scene import Asked, staged
from tests.faulttable.table import Round, cold_keys, dead_keys, rounds_of, whole_difference


def main(words: Sequence[str]) -> int:
    """The exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    asked = _parser().parse_args(words)
    figures = load(asked.figures)
    if not asked.render:
        faults = [fault for fault in named(asked.faults) if not (asked.missing and fault.name in figures["faults"])]
        scene = Asked(tuple(Store), asked.rows, asked.rate, asked.scrub_period, asked.keys)
        _measure(figures, faults, scene, asked.figures, asked.data_dir)
    asked.figures.with_suffix(".md").write_text(page(figures))
    wrong = [said for each in figures["rounds"].values() for said in each["wrong"]]
    print("\n".join(wrong) or "all cells are as expected")
    return int(bool(wrong))


def _parser() -> argparse.ArgumentParser:
    usual = Asked()
    parser = argparse.ArgumentParser(prog="python -m tests.faulttable", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("faults", nargs="*", help="names of faults; all of them if none is given")
    parser.add_argument("--missing", action="store_true", help="only faults of which there are no figures yet")
    parser.add_argument("--render", action="store_true", help="write the page from the figures that are there")
    parser.add_argument("--rows", type=int, default=usual.rows)
    parser.add_argument("--rate", type=int, default=usual.rate, help="changes a second")
    parser.add_argument("--scrub-period", type=int, default=usual.scrub_period, help="seconds")
    parser.add_argument("--keys", type=int, default=usual.keys, choices=range(1, 5), help="of each fault and replica")
    parser.add_argument("--figures", type=Path, default=FILE, help="where they are kept; the page is beside it")
    parser.add_argument("--data-dir", type=Path, help="a stack that is kept; else one is made and removed")
    return parser


def _measure(figures: dict[str, Any], faults: Sequence[Fault], asked: Asked, file: Path, data: Path | None) -> None:
    figures.update(
        machine=f"{os.cpu_count()} cores, {platform.machine()}", command="python -m tests.faulttable",
        rows=asked.rows, rate=asked.rate, scrub_period=asked.scrub_period, keys=asked.keys,
    )  # fmt: skip
    with TemporaryDirectory() as folder, _stack(data, Path(folder)) as stack:
        dead = dead_keys(asked.keys)
        with staged(stack, Path(folder), asked, cold_keys(), dead, _note) as scene:
            for name, some in rounds_of(faults).items():
                _note(f"{name}: {len(some)} faults")
                measured = Round(scene, some).measured()
                _take(figures, name, measured)
                file.write_text(json.dumps(figures, indent=1) + "\n")
                file.with_suffix(".md").write_text(page(figures))
                _note(
                    f"{name}: {measured['seconds']} s" + "".join(f"\nNOT AS EXPECTED: {w}" for w in measured["wrong"])
                )
            differing = whole_difference(scene)
            assert not differing, f"in the end these keys differ: {differing}"


def _take(figures: dict[str, Any], name: str, measured: dict[str, Any]) -> None:
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    for fault, stores in measured.pop("faults").items():
        figures["faults"][fault] = {"measured": day, "round": name, "stores": stores}
    figures["rounds"][name] = {"measured": day, **measured}


@contextmanager
def _stack(data: Path | None, folder: Path) -> Iterator[Stack]:
    stack = Stack(data or folder / "stack")
    stack.up()
    try:
        yield stack
    finally:
        if data is None:
            stack.down(wipe=True)


def _note(said: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {said}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
