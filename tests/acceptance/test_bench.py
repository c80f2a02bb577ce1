"""`holdtrue bench` runs on real servers and prints the figures of the interface, in a small form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROWS = 2_000
FIGURES = ("rows_per_second", "cpu_seconds_per_million_rows", "memory_bytes_max")


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("holdtrue"))
    return subprocess.run(
        (program, "--format", "json", "bench", *words),
        env=os.environ, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


@pytest.mark.stack
def test_apply_measures_both() -> None:
    """Both contenders end with the SOT's content, else there would be no figure."""
    found = figures(bench("apply", "--rows", str(ROWS), "--runs", "1"))
    assert found["peer"]["name"].startswith("Debezium JDBC sink")
    for side in ("holdtrue", "peer"):
        assert all(found[side][figure] > 0 for figure in FIGURES)


@pytest.mark.stack
def test_validate_measures_both() -> None:
    """Both name exactly the rows that differ, else there would be no figure."""
    pytest.importorskip("psycopg2", reason="reladiff's driver for Postgres")
    found = figures(bench("validate", "--rows", str(ROWS), "--runs", "1"))
    assert found["peer"]["name"].startswith("reladiff")
    for side in ("holdtrue", "peer"):
        assert found[side]["seconds"] > 0
        assert found[side]["seconds_differing"] > 0


def figures(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert (found["rows"], found["runs"]) == (ROWS, 1)
    assert found["ratio"] > 0
    return found


def test_a_size_that_measures_nothing_is_a_usage_error() -> None:
    """Exit 2, before any server is asked."""
    done = bench("apply", "--rows", "0")
    assert done.returncode == 2
    assert "--rows" in done.stderr
