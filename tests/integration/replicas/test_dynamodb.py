"""The DynamoDB replica on DynamoDB Local: what the contract suite cannot ask of every store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from streams.errors import StoreUnavailable
from streams.replicas.base import Held, Outcome, Refused
from streams.replicas.dynamodb import DynamoTable
from streams.replicas.dynamodb_client import Connection, connect
from streams.replicas.dynamodb_items import ITEM_BYTES_MAX, Names
from streams.replicas.foreign import is_foreign
from tests.support.dynamodb_server import REGION
from tests.support.redis_server import free_port
from tests.support.writes import bury, put, token
from tests.unit.replicas.shapes import shape_of

pytestmark = pytest.mark.stack

SHAPE = shape_of({"aid": "int4", "note": "text"}, ["aid"])
ROW = ("1", "ours")
RETENTION = timedelta(hours=1)
_numbers = count(1)


@pytest.fixture
def name() -> str:
    return f"integration{next(_numbers)}"


@pytest.fixture
def table(connection: Connection, client: Any, name: str) -> Iterator[DynamoTable]:
    made = open_table(connection, name)
    made.prepare()
    yield made
    client.delete_table(TableName=name)
    made.close()


def open_table(connection: Connection, name: str, shape: Any = SHAPE, **options: Any) -> DynamoTable:
    return DynamoTable(shape, connection, table=name, tombstone_retention=RETENTION, **options)


def item_of(table: DynamoTable, client: Any, key: bytes) -> dict[str, Any]:
    found: dict[str, Any] = client.get_item(TableName=table.table, Key=table.form.key(key), ConsistentRead=True)
    return dict(found.get("Item", {}))


def test_prepare_creates_the_table_with_its_key_and_expiry(table: DynamoTable, client: Any) -> None:
    """On demand, so that nobody has to plan capacity."""
    found = client.describe_table(TableName=table.table)["Table"]
    assert found["KeySchema"] == [{"AttributeName": "aid", "KeyType": "HASH"}]
    assert found["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    expiry = client.describe_time_to_live(TableName=table.table)["TimeToLiveDescription"]
    assert expiry == {"TimeToLiveStatus": "ENABLED", "AttributeName": "holdtrue_expires"}


def test_prepare_refuses_a_table_with_another_key(table: DynamoTable, connection: Connection) -> None:
    """With both keys in the message."""
    for shape in (
        shape_of({"aid": "text"}, ["aid"]),
        shape_of({"id": "int4"}, ["id"]),
        shape_of({"aid": "int4", "b": "text"}, ["aid", "b"]),
    ):
        other = open_table(connection, table.table, shape)
        with pytest.raises(Refused, match=r"aid \(N\), the plan needs"):
            other.prepare()
        other.close()


def test_prepare_refuses_a_table_that_expires_by_another_attribute(table: DynamoTable, connection: Connection) -> None:
    """Tombstones would stay for ever."""
    other = open_table(connection, table.table, names=Names(expires="gone_at"))
    with pytest.raises(Refused, match="holdtrue_expires"):
        other.prepare()
    other.close()


def test_a_tombstone_expires_after_the_retention(table: DynamoTable, client: Any) -> None:
    """What readers see of a deleted row, and until when."""
    table.apply([put(SHAPE, ROW, token(1))])
    table.apply([bury(b"1", token(2))])
    item = item_of(table, client, b"1")
    assert abs(int(item.pop("holdtrue_expires")["N"]) - time.time() - 3600) < 60
    assert item == {
        "aid": {"N": "1"},
        "holdtrue_token": {"S": token(2).encode().hex()},
        "holdtrue_dead": {"BOOL": True},
    }
    table.apply([put(SHAPE, ROW, token(3))])
    assert set(item_of(table, client, b"1")) == {"aid", "note", "holdtrue_token"}


@pytest.mark.parametrize("batching", ["transactions", "single"])
def test_stale_keys_do_not_hold_back_their_batch(connection: Connection, client: Any, name: str, batching: Any) -> None:
    """Transactions are all or nothing; the batch is not."""
    table = open_table(connection, name, batching=batching)
    table.prepare()
    table.apply([put(SHAPE, (str(n), "old"), token(50)) for n in range(0, 150, 7)])
    results = table.apply([put(SHAPE, (str(n), "new"), token(40)) for n in range(150)])
    assert [n for n, result in enumerate(results) if result.outcome is Outcome.stale] == list(range(0, 150, 7))
    assert {result.stored for result in results} == {None, token(50)}
    assert table.count() == 150
    client.delete_table(TableName=name)
    table.close()


def test_rows_dynamodb_cannot_hold_are_refused_alone(table: DynamoTable) -> None:
    """Too large by one byte; its neighbours are written."""
    fits = ITEM_BYTES_MAX - len("aid1note") - len("holdtrue_token") - 32 - 2
    rows = [("1", "x" * (fits + 1)), ("2", "x" * fits), ("3", "")]
    results = table.apply([put(SHAPE, row, token(1)) for row in rows])
    assert [result.outcome.value for result in results] == ["refused", "applied", "applied"]
    assert "409601" in results[0].reason
    assert set(table.read([b"1", b"2", b"3"])) == {b"2", b"3"}


def test_many_large_rows_are_read_back(table: DynamoTable) -> None:
    """More than one answer of BatchGetItem holds."""
    writes = [put(SHAPE, (str(n), "x" * 390_000), token(1)) for n in range(60)]
    table.apply(writes)
    assert table.read([write.key for write in writes]) == {w.key: Held(w.token, w.row) for w in writes}
    assert sum(len(chunk) for chunk in table.scan(1000)) == 60


@pytest.mark.parametrize("alien", [{"S": "zz"}, {"S": "~" * 32}, {"N": "5"}, {"NULL": True}])
def test_a_token_that_is_none_of_ours_counts_as_none(table: DynamoTable, client: Any, alien: dict[str, Any]) -> None:
    """For reading, the guard and a repair alike."""
    rogue = {"aid": {"N": "1"}, "note": {"S": "theirs"}, "holdtrue_token": alien}
    client.put_item(TableName=table.table, Item=rogue)
    assert table.read([b"1"]) == {b"1": Held(None, ("1", "theirs"))}
    assert table.overrule(b"1", token(9), put(SHAPE, ROW, token(10))).outcome is Outcome.stale
    assert table.overrule(b"1", None, put(SHAPE, ROW, token(1))).outcome is Outcome.applied
    client.put_item(TableName=table.table, Item=rogue)
    results = table.apply([put(SHAPE, ROW, token(1)), put(SHAPE, ("2", "x"), token(1))])
    assert {result.outcome for result in results} == {Outcome.applied}
    assert table.read([b"1"]) == {b"1": Held(token(1), ROW)}


def test_rogue_attributes_are_content_and_go_with_the_next_write(table: DynamoTable, client: Any) -> None:
    """An added attribute, an expiry on a live row, another type: all differ from any row."""
    table.apply([put(SHAPE, ROW, token(1))])
    for extra in ({"more": {"S": "x"}}, {"holdtrue_expires": {"N": "1"}}, {"note": {"N": "1"}}):
        client.put_item(TableName=table.table, Item={**item_of(table, client, b"1"), **extra})
        row = table.read([b"1"])[b"1"].row
        assert row is not None
        assert is_foreign(row)
    table.apply([put(SHAPE, ROW, token(2))])
    assert table.read([b"1"]) == {b"1": Held(token(2), ROW)}


def test_an_item_whose_key_no_row_can_have_is_counted_and_listed_without_it(table: DynamoTable, client: Any) -> None:
    """Nothing could be asked of the SOT about key 1.5; that there is one row too many is told."""
    client.put_item(TableName=table.table, Item={"aid": {"N": "1.5"}, "note": {"S": "x"}})
    assert table.count() == 1
    assert list(table.scan(10)) == []
    assert list(table.keys(10)) == [[None]]
    client.put_item(TableName=table.table, Item={"aid": {"N": "1.5"}, "holdtrue_dead": {"BOOL": True}})
    assert list(table.keys(10)) == []


def test_a_stopped_service_is_unavailable_and_nothing_waits_long() -> None:
    """One attempt, a sentence with the address, no password."""
    endpoint = f"http://127.0.0.1:{free_port()}"
    table = open_table(connect(REGION, endpoint), "nowhere")
    started = time.monotonic()
    calls = [
        table.prepare,
        table.count,
        lambda: list(table.scan(5)),
        lambda: table.read([b"1"]),
        lambda: table.apply([put(SHAPE, ROW, token(1))] * 1),
        lambda: table.overrule(b"1", None, put(SHAPE, ROW, token(1))),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            call()
    assert time.monotonic() - started < 20
    table.close()
    table.close()


def test_a_dropped_table_is_unavailable(connection: Connection, name: str) -> None:
    """The worker waits and says so; it does not make an empty table by itself."""
    table = open_table(connection, name)
    with pytest.raises(StoreUnavailable, match="does not have the table"):
        table.apply([put(SHAPE, ROW, token(1))])
    table.close()


@pytest.mark.parametrize(
    "options",
    [{"tombstones": "table"}, {"table": "no spaces"}, {"table": "ab"}, {"tombstone_retention": timedelta(0)}],
)
def test_what_cannot_work_is_refused_by_name(connection: Connection, options: dict[str, Any]) -> None:
    """At construction, before anything is asked of DynamoDB."""
    given = {"table": "fine", "tombstone_retention": RETENTION, **options}
    with pytest.raises(Refused) as caught:
        DynamoTable(SHAPE, connection, **given)
    assert caught.value.hint


def test_tables_share_a_connection_until_the_last_is_closed(endpoint: str, client: Any, name: str) -> None:
    """So many connections for a replica, however many tables; closing one table leaves the others at work."""
    shared = connect(REGION, endpoint)
    first, second = open_table(shared, name), open_table(shared, name)
    first.prepare()
    first.close()
    first.close()
    assert second.apply([put(SHAPE, ROW, token(1))])[0].outcome is Outcome.applied
    second.close()
    assert shared.pool._shutdown
    client.delete_table(TableName=name)
