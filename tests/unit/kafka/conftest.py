from __future__ import annotations

from pathlib import Path

import pytest

from streams.plan.check import load_plan
from streams.plan.model import Plan

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def plan() -> Plan:
    """The example plan."""
    return load_plan(ROOT / "docs/examples/bank/consistency.yaml")
