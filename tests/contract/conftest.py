"""The stores the contract is tested on; one fixture file per store."""

from __future__ import annotations

import pytest

from tests.contract.fix_dynamodb import dynamodb_harness, dynamodb_server
from tests.contract.fix_memory import memory_harness
from tests.contract.fix_postgres import postgres_harness, postgres_server
from tests.contract.fix_redis import redis_cluster, redis_cluster_harness, redis_harness, redis_server
from tests.contract.harness import Harness, MakeTable

__all__ = [
    "dynamodb_harness",
    "dynamodb_server",
    "memory_harness",
    "postgres_harness",
    "postgres_server",
    "redis_cluster",
    "redis_cluster_harness",
    "redis_harness",
    "redis_server",
]

STORES = ["memory", "postgres", "redis", "redis_cluster", "dynamodb"]


@pytest.fixture(params=STORES)
def harness(request: pytest.FixtureRequest) -> Harness:
    """Every store in turn."""
    given: Harness = request.getfixturevalue(f"{request.param}_harness")
    return given


@pytest.fixture
def make_table(harness: Harness) -> MakeTable:
    """Makes a prepared, empty table of a shape in the store under test."""
    return harness.make_table
