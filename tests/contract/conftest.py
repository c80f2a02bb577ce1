"""The stores the contract is tested on; one fixture file per store."""

from __future__ import annotations

import pytest

from tests.contract.fix_memory import memory_harness
from tests.contract.fix_postgres import postgres_harness, postgres_server
from tests.contract.harness import Harness, MakeTable

__all__ = ["memory_harness", "postgres_harness", "postgres_server"]

STORES = ["memory", "postgres"]


@pytest.fixture(params=STORES)
def harness(request: pytest.FixtureRequest) -> Harness:
    """Every store in turn."""
    given: Harness = request.getfixturevalue(f"{request.param}_harness")
    return given


@pytest.fixture
def make_table(harness: Harness) -> MakeTable:
    """Makes a prepared, empty table of a shape in the store under test."""
    return harness.make_table
