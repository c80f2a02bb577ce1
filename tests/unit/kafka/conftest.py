from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina

from streams.plan.check import load_plan
from streams.plan.model import Plan

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def plan() -> Plan:
    """The example plan."""
    return load_plan(ROOT / "docs/examples/bank/consistency.yaml")


@pytest.fixture(autouse=True)
def retries_without_waits() -> Iterator[None]:
    """Retries happen at once, at most three times."""
    with stamina.set_testing(True, attempts=3):
        yield
