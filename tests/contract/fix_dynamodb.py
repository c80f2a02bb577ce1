"""DynamoDB Local under the contract."""

from __future__ import annotations

import time as clock
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from streams.replicas import dynamodb_client
from streams.replicas.base import ReplicaTable
from streams.replicas.dynamodb import DynamoTable
from streams.replicas.dynamodb_client import Connection, connect
from streams.rows.canonical import Row
from streams.versions.entry import NO_TOKEN
from tests.contract.harness import RETENTION
from tests.support.dynamodb_server import REGION, dynamodb_endpoint

_numbers = count(1)
PATIENT_SECONDS = 120.0


class DynamoHarness:
    """Each table gets a name of its own and is dropped in the end."""

    forgets = True

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.connection = connect(REGION, endpoint)
        self.connection.hold()
        self.client = self.connection.client
        self.made: list[DynamoTable] = []

    def make_table(self, shape: Any) -> ReplicaTable:
        table = self._open(shape, f"contract{next(_numbers)}", self.connection)
        table.prepare()
        return table

    def again(self, table: ReplicaTable) -> ReplicaTable:
        assert isinstance(table, DynamoTable)
        return self._open(table.shape, table.table, connect(REGION, self.endpoint))

    def plant(self, table: ReplicaTable, key: bytes, row: Row | None) -> None:
        """The token stays, as if somebody had used UpdateItem on every other attribute."""
        assert isinstance(table, DynamoTable)
        names = table.form.names
        held = self.client.get_item(TableName=table.table, Key=table.form.key(key), ConsistentRead=True).get("Item", {})
        item = table.form.tombstone(key, NO_TOKEN, 1) if row is None else table.form.live(row, NO_TOKEN)
        del item[names.token]
        if names.token in held:
            item[names.token] = held[names.token]
        self.client.put_item(TableName=table.table, Item=item)

    def later(self, table: ReplicaTable, time: timedelta) -> None:
        """DynamoDB removes, some time after it, what has an expiry that is over."""
        assert isinstance(table, DynamoTable)
        expires = table.form.names.expires
        for item in self.client.scan(TableName=table.table, ConsistentRead=True)["Items"]:
            if expires not in item:
                continue
            left = int(item[expires]["N"]) - int(time.total_seconds())
            if left < clock.time():
                key = {name: item[name] for name in table.form.key_types}
                self.client.delete_item(TableName=table.table, Key=key)
            else:
                self.client.put_item(TableName=table.table, Item={**item, expires: {"N": str(left)}})

    def close(self) -> None:
        for name in {table.table for table in self.made}:
            self.client.delete_table(TableName=name)
        for table in self.made:
            table.close()
        self.connection.release()

    def _open(self, shape: Any, name: str, connection: Connection) -> DynamoTable:
        table = DynamoTable(shape, connection, table=name, tombstone_retention=RETENTION)
        self.made.append(table)
        return table


@pytest.fixture(scope="session")
def dynamodb_server() -> Iterator[str]:
    """The endpoint of a DynamoDB for this test run.

    How long it may take for an answer is no part of the contract: beside many other servers it may be slow.
    """
    with dynamodb_endpoint() as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setattr(dynamodb_client, "ANSWER_SECONDS", PATIENT_SECONDS)
        yield endpoint


@pytest.fixture
def dynamodb_harness(dynamodb_server: str) -> Iterator[DynamoHarness]:
    """Tables in DynamoDB."""
    harness = DynamoHarness(dynamodb_server)
    yield harness
    harness.close()
