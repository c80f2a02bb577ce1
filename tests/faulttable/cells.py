"""From what was planted and what was told to the cells of the table, and what in them is not as expected. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from tests.faulttable.layers import Layer, Store
from tests.faulttable.watch import Told, ended, opened


@dataclass(frozen=True, slots=True)
class Planted:
    """A key of a replica that was made wrong. at: just before, in seconds since 1970. layer: who looks there by itself.

    layer is None where nobody does, and runs are made.
    """

    replica: str
    key: int
    at: float
    layer: Layer | None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one replica. began: when its command was started. differ: rows of the replica beyond the SOT's."""

    depth: Layer
    replica: str
    run: str
    outcome: str
    began: float
    seconds: float
    differ: int = 0


@dataclass(frozen=True, slots=True)
class Cell:
    """What a layer has seen. planted, found: keys, or runs for counts. seconds: medians; None where there are none.

    detected_seconds: from the fault (a run: from the start of its command) until it was told. resolved_seconds: from
    the fault until its drift was over.
    """

    planted: int
    found: int
    detected_seconds: float | None = None
    resolved_seconds: float | None = None
    # A run that could not tell: incomplete.
    undecided: int = 0

    def document(self) -> dict[str, Any]:
        """Without what there is none of."""
        return {name: value for name, value in asdict(self).items() if value or name in ("planted", "found")}


def by_itself(planted: Sequence[Planted], told: list[Told]) -> Cell:
    """Of a layer that checks without being asked."""
    found = [(each, opened(told, each.replica, each.key, each.at, None)) for each in planted]
    seen = [(each, at) for each, at in found if at is not None]
    over = [(each, ended(told, each.replica, each.key, at)) for each, at in seen]
    return Cell(
        len(planted), len(seen), _median([at - each.at for each, at in seen]),
        _median([at - each.at for each, at in over if at is not None]),
    )  # fmt: skip


def by_run(planted: Sequence[Planted], runs: Sequence[Run], told: list[Told]) -> Cell:
    """Of a depth that names keys."""
    found = [
        at - run.began
        for run in runs
        for each in planted
        if each.replica == run.replica
        and (at := opened(told, each.replica, each.key, run.began, run.run)) is not None
    ]  # fmt: skip
    undecided = sum(run.outcome == "incomplete" for run in runs)
    return Cell(len(planted) if runs else 0, len(found), _median(found), None, undecided)


def by_counts(planted: int, wrong: int, runs: Sequence[Run]) -> Cell:
    """Of a depth that names no key: seen are all if it tells exactly how many rows are too many, or too few (wrong)."""
    seen = [run.seconds for run in runs if run.outcome == "drifted" and run.differ == wrong != 0]
    undecided = sum(run.outcome == "incomplete" for run in runs)
    return Cell(planted if runs else 0, planted if seen else 0, _median(seen), None, undecided)


def differing(name: str, store: Store, expected: Mapping[Layer, bool], cells: Mapping[Layer, Cell]) -> Iterator[str]:
    """A sentence for each cell that is not as expected. A sample that must see may have drawn none of the keys."""
    for layer, sees in expected.items():
        if (cell := cells.get(layer)) is None:
            continue
        where = f"{name}, {store}, {layer}"
        if sees and layer is not Layer.sample and cell.found < cell.planted:
            yield f"{where}: {cell.found} of {cell.planted} seen, all expected"
        if not sees and cell.found:
            yield f"{where}: {cell.found} of {cell.planted} seen, none expected"


def _median(values: Sequence[float]) -> float | None:
    return round(median(values), 2) if values else None
