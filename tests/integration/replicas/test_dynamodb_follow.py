"""The streams of a DynamoDB replica: what is not ours is told, by one reader at a time, and a gap is everything."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from streams.errors import StoreUnavailable
from streams.plan.types import STREAM_VIEW
from streams.replicas import dynamodb_slot, dynamodb_stream
from streams.replicas.base import Refused
from streams.replicas.dynamodb import DynamoTable
from streams.replicas.dynamodb_client import STREAMS, Connection, connect
from streams.replicas.dynamodb_schema import view_of
from streams.replicas.dynamodb_slot import LogSlot, drop_log, is_read
from streams.replicas.dynamodb_stream import DynamoStreams, Followed
from streams.replicas.log import LogLost, LogTaken, Read
from streams.rows.canonical import encode
from tests.support.dynamodb_server import REGION
from tests.support.redis_server import free_port
from tests.support.writes import bury, put, token
from tests.unit.replicas.shapes import shape_of

pytestmark = pytest.mark.stack

SHAPE = shape_of({"aid": "int4", "note": "text"}, ["aid"])
ONE, TWO = encode(["1"]), encode(["2"])
_numbers = count(1)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here waits for the pace that AWS wants."""
    for name in ("POLL_SECONDS", "WATCH_SECONDS", "WAIT_SECONDS", "SAVE_SECONDS", "LIST_SECONDS", "LIST_AGAIN_SECONDS"):
        monkeypatch.setattr(dynamodb_stream, name, 0.01)


@pytest.fixture
def table(connection: Connection, client: Any) -> Iterator[DynamoTable]:
    name = f"followed{next(_numbers)}"
    made = DynamoTable(SHAPE, connection, table=name, tombstone_retention=timedelta(hours=1))
    made.prepare()
    yield made
    client.delete_table(TableName=name)
    made.close()


@pytest.fixture
def make(endpoint: str, client: Any, table: DynamoTable) -> Iterator[Callable[[], DynamoStreams]]:
    """Makes followers of the table; each ends with the test."""
    made: list[DynamoStreams] = []
    streams = connect(REGION, endpoint, service=STREAMS)
    streams.hold()

    def follower() -> DynamoStreams:
        slot = LogSlot(client, _slot_of(table), "here")
        made.append(DynamoStreams(client, streams.client, slot, {"public.t": Followed(table.table, table.form)}))
        return made[-1]

    yield follower
    for each in made:
        each.close()
    drop_log(client, _slot_of(table), "here")
    streams.release()


def _slot_of(table: DynamoTable) -> str:
    return f"{table.table}_log"


def _until(log: DynamoStreams, enough: Callable[[Read], bool]) -> list[Read]:
    """Read, and have it confirmed, until there is enough."""
    reads = []
    deadline = time.monotonic() + 20
    while True:
        assert time.monotonic() < deadline, reads
        reads.append(log.read())
        log.confirm(reads[-1].through)
        if enough(reads[-1]):
            return reads


def _changes(log: DynamoStreams, many: int) -> set[bytes]:
    """Keys that are foreign among so many changes."""
    found: set[bytes] = set()
    seen = 0

    def enough(read: Read) -> bool:
        nonlocal seen
        seen += read.changes
        found.update(key for foreign in read.foreign.values() for key in foreign.keys)
        return seen >= many

    _until(log, enough)
    assert seen == many
    return found


def _rogue(client: Any, table: DynamoTable, key: str, note: str) -> None:
    client.update_item(
        TableName=table.table, Key={"aid": {"N": key}}, UpdateExpression="SET note = :n",
        ExpressionAttributeValues={":n": {"S": note}},
    )  # fmt: skip


def test_a_stream_that_begins_has_every_key_visited_once(make: Callable[[], DynamoStreams], table: DynamoTable) -> None:
    """It is made where there is none; nothing says what was before."""
    log = make()
    assert log.open() == {"public.t"}
    first, second = log.read(), log.read()
    assert first.foreign["public.t"].everything
    assert not second.foreign


def test_a_table_that_is_created_to_be_followed_has_its_stream(connection: Connection, client: Any) -> None:
    """So that nothing falls between; another one has none."""
    names = [f"followed{next(_numbers)}" for _ in range(2)]
    for name, streamed in zip(names, (True, False), strict=True):
        made = DynamoTable(SHAPE, connection, table=name, tombstone_retention=timedelta(hours=1), streamed=streamed)
        made.prepare()
        made.close()
    views = [view_of(client.describe_table(TableName=name)["Table"]) for name in names]
    for name in names:
        client.delete_table(TableName=name)
    assert views == [STREAM_VIEW, None]


def test_what_is_ours_is_nothing_and_what_is_not_is_told(
    make: Callable[[], DynamoStreams], table: DynamoTable, client: Any
) -> None:
    """Puts, deletes and puts again by the guard; an update, a put and a delete past it."""
    log = make()
    log.open()
    table.apply([put(SHAPE, ("1", "a"), token(1)), put(SHAPE, ("2", "b"), token(1))])
    table.apply([put(SHAPE, ("1", "c"), token(2)), bury(TWO, token(2))])
    table.apply([put(SHAPE, ("2", "d"), token(3))])
    assert _changes(log, 5) == set()
    _rogue(client, table, "1", "theirs")
    client.delete_item(TableName=table.table, Key={"aid": {"N": "2"}})
    client.put_item(TableName=table.table, Item={"aid": {"N": "3"}, "note": {"S": "theirs"}})
    assert _changes(log, 3) == {ONE, TWO, encode(["3"])}


def test_the_next_follower_goes_on_where_this_one_ended(
    make: Callable[[], DynamoStreams], table: DynamoTable, client: Any
) -> None:
    """What was confirmed does not come again, what was not does, and what came meanwhile is seen."""
    log = make()
    log.open()
    _rogue(client, table, "1", "first")
    assert _changes(log, 1) == {ONE}
    log.close()
    _rogue(client, table, "2", "second")
    log = make()
    assert log.open() == set()
    read = log.read()
    while not read.changes:
        read = log.read()
    assert read.foreign["public.t"].keys == {TWO}
    log.close()  # before it was confirmed
    log = make()
    assert log.open() == set()
    assert _changes(log, 1) == {TWO}


def test_one_follows_and_another_takes_over(
    make: Callable[[], DynamoStreams], table: DynamoTable, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once where the first one leaves; where it says nothing any more, after a while, and then the first is out."""
    first, second = make(), make()
    first.open()
    assert is_read(client, _slot_of(table), "here")
    assert not drop_log(client, _slot_of(table), "here")
    with pytest.raises(LogTaken, match="Another worker"):
        second.open()
    first.close()
    assert not is_read(client, _slot_of(table), "here")
    second.open()
    monkeypatch.setattr(dynamodb_slot, "LEFT_SECONDS", 0.05)
    third = make()
    with pytest.raises(LogTaken):
        third.open()
    time.sleep(0.1)
    third.open()
    with pytest.raises(LogTaken):
        _until(second, lambda _: False)


def test_a_stream_that_is_replaced_has_every_key_visited(
    make: Callable[[], DynamoStreams], table: DynamoTable, client: Any
) -> None:
    """Also where it is while nobody follows; one that is switched off is made again."""
    log = make()
    log.open()
    _until(log, lambda read: not read.foreign)
    _switch(client, table, None)
    _rogue(client, table, "1", "unseen")
    with pytest.raises(LogLost, match="switched off"):
        _until(log, lambda _: False)
    log.close()
    assert log.open() == {"public.t"}
    assert log.read().foreign["public.t"].everything
    log.close()
    _switch(client, table, None)
    _switch(client, table, "NEW_AND_OLD_IMAGES")
    assert make().open() == {"public.t"}


def test_a_part_that_is_gone_unread_has_every_key_visited(
    make: Callable[[], DynamoStreams], table: DynamoTable, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As DynamoDB answers after a day: it is not passed over, however often the follower is opened."""
    log = make()
    log.open()
    _rogue(client, table, "1", "first")
    _changes(log, 1)
    place = log._readings[0].walk
    place.at = dict.fromkeys(place.at, "000000000000000000000")
    log.confirm(log.read().through)
    log.close()
    log = make()
    assert log.open() == set()
    with pytest.raises(LogLost, match="not what it was"):
        _until(log, lambda _: False)
    log.close()
    assert log.open() == {"public.t"}
    assert log.read().foreign["public.t"].everything


@pytest.mark.parametrize("view", ["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE"])
def test_a_stream_that_shows_too_little_is_refused(
    make: Callable[[], DynamoStreams], table: DynamoTable, client: Any, view: str
) -> None:
    """It may be somebody else's; the error says what to do, and lets another one try."""
    _switch(client, table, view)
    with pytest.raises(Refused, match=f"shows {view}, and following it needs NEW_AND_OLD_IMAGES"):
        make().open()
    assert not is_read(client, _slot_of(table), "here")


def test_what_was_kept_is_removed(make: Callable[[], DynamoStreams], table: DynamoTable, client: Any) -> None:
    """Once nobody follows; and again is no error."""
    log = make()
    log.open()
    log.close()
    assert drop_log(client, _slot_of(table), "here")
    assert not drop_log(client, _slot_of(table), "here")
    assert not is_read(client, _slot_of(table), "here")


def test_errors_name_the_place_and_no_secret() -> None:
    """What stands before the @ of an endpoint is not shown."""
    endpoint = f"http://user:secret@127.0.0.1:{free_port()}"
    client = connect(REGION, endpoint).client
    streams = connect(REGION, endpoint, service=STREAMS).client
    log = DynamoStreams(client, streams, LogSlot(client, "x_log", f"table x_log at {client.meta.endpoint_url}"), {})
    with pytest.raises(StoreUnavailable) as told:
        log.open()
    assert "secret" not in str(told.value)
    assert "127.0.0.1" in str(told.value)


def _switch(client: Any, table: DynamoTable, view: str | None) -> None:
    said = {"StreamEnabled": view is not None, **({"StreamViewType": view} if view else {})}
    client.update_table(TableName=table.table, StreamSpecification=said)
