"""From runs to figures."""

from __future__ import annotations

from dataclasses import replace

from streams.bench.report import comparison, figures
from streams.bench.run import Run

RUN = Run(
    rows=1_000, start_seconds=2.0, snapshot_seconds=0.5, update_seconds=0.5, cpu_seconds=0.02, store_cpu_seconds=0.01,
    memory_bytes_max=300_000_000,
)  # fmt: skip


def test_a_rate_counts_both_parts_over_both_times() -> None:
    """Snapshot and updates have `rows` records each; the time before the assignment counts only where it is named."""
    found = figures([RUN])
    assert found["rows_per_second"] == 2_000
    assert found["snapshot_rows_per_second"] == 2_000
    assert (found["seconds"], found["seconds_with_start"]) == (1.0, 3.0)
    assert (found["cpu_seconds_per_million_rows"], found["store_cpu_seconds_per_million_rows"]) == (10.0, 5.0)


def test_the_median_is_shown_with_its_spread() -> None:
    """One disturbed run moves the spread, not the figure."""
    slow = replace(RUN, snapshot_seconds=9.5)
    found = figures([RUN, slow, RUN])
    assert found["seconds"] == 1.0
    assert found["spread"]["seconds"] == [1.0, 10.0]


def test_the_ratio_is_above_one_when_holdtrue_is_faster() -> None:
    """Of the medians, and of each pair of neighbouring runs."""
    peer = replace(RUN, snapshot_seconds=1.5)
    found = comparison(1_000, [RUN, RUN], [peer, RUN], "the peer")
    assert found["peer"]["name"] == "the peer"
    assert found["ratio_of_runs"] == [2.0, 1.0]
    assert found["ratio"] == round(2_000 / ((1_000 + 2_000) / 2), 3)
