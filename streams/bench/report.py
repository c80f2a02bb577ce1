"""From runs to figures: medians, their spread, and the ratio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from streams.bench.run import Run

Figure = Callable[[Run], float]

# Every figure of one run, by its name in the answer.
FIGURES: dict[str, Figure] = {
    "rows_per_second": lambda run: 2 * run.rows / run.seconds,
    "snapshot_rows_per_second": lambda run: run.rows / run.snapshot_seconds,
    "update_rows_per_second": lambda run: run.rows / run.update_seconds,
    "cpu_seconds_per_million_rows": lambda run: run.cpu_seconds / (2 * run.rows) * 1e6,
    "store_cpu_seconds_per_million_rows": lambda run: run.store_cpu_seconds / (2 * run.rows) * 1e6,
    "memory_bytes_max": lambda run: run.memory_bytes_max,
    "seconds": lambda run: run.seconds,
    "seconds_with_start": lambda run: run.seconds + run.start_seconds,
}


def figures(runs: Sequence[Run]) -> dict[str, Any]:
    """The median of each figure, and under `spread` its [smallest, largest]."""
    values = {name: [figure(run) for run in runs] for name, figure in FIGURES.items()}
    return {
        **{name: rounded(median(found)) for name, found in values.items()},
        "spread": {name: [rounded(min(found)), rounded(max(found))] for name, found in values.items()},
    }


def comparison(rows: int, ours: Sequence[Run], peer: Sequence[Run], name: str) -> dict[str, Any]:
    """The document that `bench apply --format json` prints; `ratio` above 1: holdtrue is faster.

    ratio_of_runs: per pair of neighbouring runs, which noise of the machine disturbs less than a comparison of medians.
    """
    pairs = [theirs.seconds / mine.seconds for mine, theirs in zip(ours, peer, strict=True)]
    mine, theirs = figures(ours), {"name": name, **figures(peer)}
    return {
        "rows": rows,
        "runs": len(ours),
        "holdtrue": mine,
        "peer": theirs,
        "ratio": round(mine["rows_per_second"] / theirs["rows_per_second"], 3),
        "ratio_of_runs": [round(pair, 3) for pair in pairs],
    }


def rounded(value: float) -> float | int:
    """Three digits after the point where there are few before it."""
    return round(value) if value >= 1_000 else round(value, 3)
