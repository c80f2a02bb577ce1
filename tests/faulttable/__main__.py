"""Measure the fault table, or some of it, and write docs/faults.json and docs/faults.md.

    python -m tests.faulttable                            # all of it
    python -m tests.faulttable "rogue update" "evicted"   # these faults; the others' figures are kept
    python -m tests.faulttable --missing                  # what the file has no figures of
    python -m tests.faulttable --render                   # the page anew, nothing measured

A round of faults is written when it is measured, so a run that was ended goes on with --missing. One that is not as
expected, or does not come to its end, is named in the page, and the next ones get tables and workers of their own. Exit
1 then.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import traceback
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from streams.local.stack import Stack
from tests.faulttable.faults import Fault, named
from tests.faulttable.layers import Store
from tests.faulttable.page import FILE, load, not_as_expected, page
from tests.faulttable.scene import DYNAMODB_ROWS, Asked, Scene, staged
from tests.faulttable.table import Round, cold_keys, dead_keys, rounds_of, whole_difference

# Several times what a round takes on a quiet machine.
ROUND_SECONDS: Final = 900
SAID_MAX: Final = 300


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
    wrong = [said for _, said in not_as_expected(figures)]
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
    """Round after round. One that went wrong ends its scene, so that it is not in the way of the next."""
    figures.update(
        machine=f"{os.cpu_count()} cores, {platform.machine()}", command="python -m tests.faulttable",
        rows=asked.rows, rate=asked.rate, scrub_period=asked.scrub_period, keys=asked.keys,
        dynamodb_rows=DYNAMODB_ROWS,
    )  # fmt: skip
    rounds, dead = deque(rounds_of(faults).items()), dead_keys(asked.keys)
    with TemporaryDirectory() as folder, _stack(data, Path(folder)) as stack:
        while rounds:
            with (
                TemporaryDirectory() as scenery,
                staged(stack, Path(scenery), asked, cold_keys(), dead, _note) as scene,
            ):
                while rounds and _is_well(figures, scene, rounds.popleft(), file, last=len(rounds) == 1):
                    pass


def _is_well(figures: dict[str, Any], scene: Scene, of: tuple[str, Sequence[Fault]], file: Path, *, last: bool) -> bool:
    """Measure a round and write it down; whether everything was as it should be. last: look at all rows after it."""
    name, faults = of
    _note(f"{name}: {len(faults)} faults")
    try:
        with _bounded(ROUND_SECONDS):
            measured = Round(scene, faults).measured()
            if last and (differing := whole_difference(scene)):
                measured["wrong"].append(f"in the end these keys differ: {differing}")
    except Exception as error:
        traceback.print_exc()
        said = str(error).partition("\n")[0]
        measured = {"faults": {}, "ended_by": f"{type(error).__name__}: {said[:SAID_MAX]}"}
    _take(figures, name, faults, measured)
    file.write_text(json.dumps(figures, indent=1) + "\n")
    file.with_suffix(".md").write_text(page(figures))
    wrong = _not_as_expected(figures, [name])
    _note(f"{name}: done" + "".join(f"\nNOT AS EXPECTED: {each}" for each in wrong))
    return not wrong


@contextmanager
def _bounded(seconds: int) -> Iterator[None]:
    """Whatever hangs inside is ended: nobody sits beside a run."""

    def over(*_: object) -> None:
        raise TimeoutError(f"not done within {seconds} s")

    signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def _take(figures: dict[str, Any], name: str, faults: Sequence[Fault], measured: dict[str, Any]) -> None:
    """Into the figures, in place of what they had of these faults, and of rounds of which nothing is left."""
    day, of_all = f"{datetime.now(UTC):%Y-%m-%d}", figures["faults"]
    for fault in faults:
        of_all.pop(fault.name, None)
    for fault_name, stores in measured.pop("faults").items():
        of_all[fault_name] = {"measured": day, "round": name, "stores": stores}
    rounds = {**figures["rounds"]}
    figures["not_ended"] = {**figures.get("not_ended", {})}
    figures["not_ended"].pop(name, None)
    if "ended_by" in measured:
        figures["not_ended"][name] = measured["ended_by"]
    else:
        rounds[name] = {"measured": day, **measured}
    has = {each["round"] for each in of_all.values()}
    figures["rounds"] = {each: found for each, found in rounds.items() if each in has}


def _not_as_expected(figures: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Of these rounds."""
    return [said for name, said in not_as_expected(figures) if name in names]


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
