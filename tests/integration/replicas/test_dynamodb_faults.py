"""DynamoDB as it fails on AWS: throttled, with half an answer, with conditions that fail; really, behind a proxy."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from streams.errors import StoreUnavailable
from streams.replicas.base import Held, Outcome, Result, Write
from streams.replicas.dynamodb import SEGMENTS, DynamoTable
from streams.replicas.dynamodb_client import connect
from tests.support.dynamodb_proxy import Fault, Proxy, cancelled, half_read, none_read, refused
from tests.support.dynamodb_server import REGION, dynamodb_endpoint
from tests.support.writes import bury, put, token
from tests.unit.replicas.shapes import shape_of

pytestmark = pytest.mark.stack

SHAPE = shape_of({"id": "int4", "note": "text"}, ["id"])
# More than two transactions hold.
KEYS = range(1, 251)
_numbers = count(1)


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with dynamodb_endpoint() as endpoint, Proxy(endpoint).serving() as made:
        yield made


@pytest.fixture
def table(proxy: Proxy) -> Iterator[DynamoTable]:
    name = f"faults{next(_numbers)}"
    made = DynamoTable(SHAPE, connect(REGION, proxy.url), table=name, tombstone_retention=timedelta(hours=1))
    made.prepare()
    yield made
    proxy.clear()
    made._client.delete_table(TableName=name)
    made.close()


def batch(offset: int) -> list[Write]:
    return [put(SHAPE, (str(key), f"at {offset}"), token(offset)) for key in KEYS]


def assert_holds(table: DynamoTable, offset: int) -> None:
    writes = batch(offset)
    assert table.read([each.key for each in writes]) == {each.key: Held(each.token, each.row) for each in writes}


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        ("TransactWriteItems", refused("ProvisionedThroughputExceededException")),
        ("TransactWriteItems", refused("ThrottlingException")),
        ("TransactWriteItems", refused("RequestLimitExceeded")),
        ("TransactWriteItems", cancelled("ThrottlingError")),
        ("TransactWriteItems", cancelled("ProvisionedThroughputExceeded")),
    ],
)
def test_throttled_writes_are_unavailable_and_all_there_the_next_time(
    table: DynamoTable, proxy: Proxy, operation: str, fault: Fault
) -> None:
    """One of three transactions is refused, and nothing is promised of the others: the batch is sent again."""
    assert {result.outcome for result in table.apply(batch(1))} == {Outcome.applied}
    proxy.fail(operation, fault)
    with pytest.raises(StoreUnavailable, match="throttling"):
        table.apply(batch(2))
    assert proxy.left == 0
    assert {result.outcome for result in table.apply(batch(2))} <= {Outcome.applied, Outcome.duplicate}
    assert_holds(table, 2)


def test_throttled_repairs_and_lists_are_unavailable(table: DynamoTable, proxy: Proxy) -> None:
    """Each call by its own name; afterwards all is as it was."""
    table.apply(batch(1))
    proxy.fail("PutItem", refused("ProvisionedThroughputExceededException"))
    with pytest.raises(StoreUnavailable, match="throttling"):
        table.overrule(b"1", token(1), put(SHAPE, ("1", "other"), token(2)))
    for call in (table.count, lambda: list(table.scan(50)), lambda: list(table.keys(50))):
        # More than one of its parts can meet: those of a scan that has ended so may still be on their way.
        proxy.fail("Scan", refused("ThrottlingException"), times=2 * SEGMENTS)
        with pytest.raises(StoreUnavailable, match="throttling"):
            call()
        proxy.clear()
    assert table.count() == len(KEYS)
    assert_holds(table, 1)


def test_keys_that_were_left_for_another_call_are_read_then(table: DynamoTable, proxy: Proxy) -> None:
    """Half of each answer, and half of the rest: no key is taken for one that is not there."""
    table.apply(batch(1))
    proxy.fail("BatchGetItem", half_read, times=5)
    assert_holds(table, 1)
    assert proxy.left == 0


def test_a_read_that_gets_nowhere_is_throttled(table: DynamoTable, proxy: Proxy) -> None:
    """Bounded; and again no key is taken for one that is not there."""
    table.apply(batch(1))
    proxy.fail("BatchGetItem", none_read, times=1000)
    with pytest.raises(StoreUnavailable, match="throttling"):
        table.read([write.key for write in batch(1)])
    proxy.clear()
    assert_holds(table, 1)


def test_conditions_that_fail_are_told_apart_in_one_transaction(table: DynamoTable) -> None:
    """Cancelled as a whole by the service; of each key it is known why, and those without a reason are written."""
    table.apply([put(SHAPE, (str(key), "old"), token(10)) for key in range(1, 5)])
    results = table.apply([
        put(SHAPE, ("1", "newer"), token(11)),
        put(SHAPE, ("2", "older"), token(9)),
        put(SHAPE, ("3", "old"), token(10)),
        put(SHAPE, ("4", "another"), token(10)),
        put(SHAPE, ("5", "x" * 410_000), token(11)),
        bury(b"6", token(11)),
    ])  # fmt: skip
    stored = token(10)
    assert results[:4] == [
        Result(Outcome.applied), Result(Outcome.stale, stored), Result(Outcome.duplicate, stored),
        Result(Outcome.conflict, stored),
    ]  # fmt: skip
    assert (results[4].outcome, results[5].outcome) == (Outcome.refused, Outcome.applied)
    held: dict[bytes, Any] = table.read([b"1", b"2", b"3", b"4", b"5", b"6"])
    assert held == {
        b"1": Held(token(11), ("1", "newer")), b"2": Held(stored, ("2", "old")), b"3": Held(stored, ("3", "old")),
        b"4": Held(stored, ("4", "old")), b"6": Held(token(11), None),
    }  # fmt: skip
