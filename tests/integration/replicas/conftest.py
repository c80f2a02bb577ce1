"""DynamoDB Local, as the tests of that store use it; those of other stores have fixtures of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from streams.replicas.dynamodb_client import Connection, connect
from tests.support.dynamodb_server import REGION, dynamodb_endpoint


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with dynamodb_endpoint() as given:
        yield given


@pytest.fixture(scope="module")
def connection(endpoint: str) -> Iterator[Connection]:
    made = connect(REGION, endpoint)
    made.hold()
    yield made
    made.release()


@pytest.fixture(scope="module")
def client(connection: Connection) -> Any:
    return connection.client
