"""The plans that benchmarks run under are complete."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from streams.bench import plan as bench_plan
from streams.bench.asked import Asked, Checks, Class, Repair, bounds
from streams.plan.check import load_plan


def asked(
    checks: Checks, repair: Repair, planted: int = 200, classes: tuple[Class, ...] = (Class.scrubbed,)
) -> Mapping[str, Any]:
    return Asked(500_000, 1_000, 10, 120, planted, classes, checks, repair).decisions


@pytest.mark.parametrize(
    "decisions",
    [
        {},
        asked(Checks.scrub, Repair.automatic),
        asked(Checks.scrub, Repair.ordered, planted=50_000),
        asked(Checks.scrub, Repair.automatic, classes=(Class.replica_log,)),
        asked(Checks.runs, Repair.ordered),
        asked(Checks.off, Repair.none),
        bounds(1_000),
    ],
    ids=["apply", "scrub", "many", "log", "runs", "off", "repair"],
)
def test_every_plan_of_a_benchmark_is_complete(tmp_path: Path, decisions: Mapping[str, Any]) -> None:
    """Also the ones of options that no other test gives."""
    file = tmp_path / "consistency.yaml"
    bench_plan.write(file, bench_plan.document("bench", ["run1"], decisions))
    table = load_plan(file).replicas["run1"].tables["bench.orders"]
    assert (table.validation.scrub_period is None) is ("scrub_period" not in decisions.get("validation", {}))
    assert table.drift.flood_above >= 1_000
