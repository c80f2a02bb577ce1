"""The demo, as a newcomer runs it: in a process of its own, with servers of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

SECONDS_MAX = 600


@pytest.mark.stack
@pytest.mark.timeout(SECONDS_MAX + 60)
def test_the_demo_holds_and_says_so_in_json() -> None:
    """Everything planted is found and repaired, nothing else is reported, and every last run is correct."""
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli.main", "--format", "json", "demo"],
        capture_output=True, text=True, timeout=SECONDS_MAX, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stderr[-3000:]}\n{done.stdout[-1000:]}"
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["ok"] is True
    drift = told["drift"]
    assert drift["planted"] >= 9
    assert drift["found"] == drift["repaired"] == drift["resolved"] == drift["planted"]
    assert drift["false_positives"] == 0
    assert {replica["kind"] for replica in told["replicas"]} == {"postgres", "dynamodb", "redis"}
    runs = [run for replica in told["replicas"] for run in replica["tables"]]
    assert len(runs) == 7
    assert {run["outcome"] for run in runs} == {"correct"}
    assert all(run["verified"] == run["sot_rows"] == run["replica_rows"] for run in runs)
    assert told["changes"] > 0
    assert told["rates"]["lag_seconds_p99"] >= told["rates"]["lag_seconds_p50"] > 0
