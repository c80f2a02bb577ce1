"""The Redis replica in a real cluster: what one server does not do. The contract suite runs against one too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest
import redis
from redis.crc import key_slot

from streams.errors import StoreUnavailable
from streams.replicas.base import Held, Outcome, Refused, Write
from streams.replicas.redis import RedisTable
from streams.replicas.redis_client import connect, ping
from tests.support.redis_cluster import (
    cluster_node,
    command,
    follow,
    join,
    know_each_other,
    meet,
    move_keys,
    move_slot,
    node_id,
    opened_slot,
    private_cluster,
    restored_slot,
    serves_all,
)
from tests.support.wait import wait_until
from tests.support.writes import put, token
from tests.unit.replicas.shapes import shape_of

pytestmark = pytest.mark.stack

SHAPE = shape_of({"aid": "int4", "note": "text"}, ["aid"])
VALUE, TOKEN = "account:1", "holdtrue:account:{account:1}"
SLOT = key_slot(VALUE.encode())
# One key in SLOT, and enough others for every node.
KEYS = range(1, 301)


@pytest.fixture(scope="module")
def urls() -> Iterator[list[str]]:
    with private_cluster() as given:
        yield given


@pytest.fixture
def owner(urls: list[str]) -> str:
    """The node that has SLOT; the second and the third have none of it."""
    return urls[SLOT * 3 // 16_384]


@pytest.fixture
def other(urls: list[str], owner: str) -> str:
    return next(url for url in urls if url != owner)


@pytest.fixture
def table(urls: list[str]) -> Iterator[RedisTable]:
    for url in urls:
        with redis.Redis.from_url(url) as node:
            node.flushall()
    made = open_table(urls[0])
    made.prepare()
    yield made
    made.close()


def open_table(url: str) -> RedisTable:
    return RedisTable(SHAPE, connect(url), tombstone_retention=timedelta(hours=1))


def batch(offset: int) -> list[Write]:
    return [put(SHAPE, (str(key), f"at {offset}"), token(offset)) for key in KEYS]


def check_written(table: RedisTable, offset: int) -> None:
    """Write all keys, and find all of them so."""
    assert {result.outcome for result in table.apply(batch(offset))} == {Outcome.applied}
    assert_holds(table, offset)


def assert_holds(table: RedisTable, offset: int) -> None:
    writes = batch(offset)
    assert table.read([each.key for each in writes]) == {each.key: Held(each.token, each.row) for each in writes}


def test_rows_lie_on_every_primary_each_with_its_token(table: RedisTable, urls: list[str]) -> None:
    """Readers find the row where they find any key of that name."""
    check_written(table, 1)
    for url in urls:
        with redis.Redis.from_url(url, decode_responses=True) as node:
            values = {name for name in node.scan_iter(count=1000) if not name.startswith("holdtrue:")}
            assert len(values) > len(KEYS) / 6
            assert node.dbsize() == 2 * len(values)
    assert table.count() == len(KEYS)


def test_each_node_is_told_the_script_it_has_forgotten(table: RedisTable, urls: list[str]) -> None:
    """Every node has a script cache of its own, and loses it alone."""
    for offset, url in enumerate(urls, 1):
        with redis.Redis.from_url(url) as node:
            node.script_flush()
        check_written(table, offset)


def test_a_slot_that_has_moved_is_written_where_it_is(table: RedisTable, owner: str, other: str) -> None:
    """Its old node says where (MOVED), for the row and its token; nothing of the batch is left out, or listed twice."""
    check_written(table, 1)
    with restored_slot(SLOT, owner, other):
        move_slot(SLOT, owner, other)
        check_written(table, 2)
        assert table.count() == len(KEYS)
    check_written(table, 3)


def test_a_slot_on_its_way_is_written_on_both_sides(table: RedisTable, owner: str, other: str) -> None:
    """What is on the new node already is asked for there (ASK), also where that node knows no script."""
    check_written(table, 1)
    with restored_slot(SLOT, owner, other):
        opened_slot(SLOT, owner, other)
        move_keys([VALUE, TOKEN], owner, other)
        for url in (owner, other):
            with redis.Redis.from_url(url) as node:
                node.script_flush()
        check_written(table, 2)


def test_a_slot_on_its_way_to_a_node_without_any(table: RedisTable, owner: str, urls: list[str]) -> None:
    """A node that has just joined is in no list of slots."""
    check_written(table, 1)
    with cluster_node() as new:
        meet(urls[0], new)
        wait_until(lambda: all(know_each_other(new, url) for url in urls), "all to know the new node")
        wait_until(lambda: serves_all(new), "the new node to know all slots")
        with restored_slot(SLOT, owner, new):
            opened_slot(SLOT, owner, new)
            move_keys([VALUE, TOKEN], owner, new)
            check_written(table, 2)
        for url in urls:
            with redis.Redis.from_url(url) as node:
                command(node, "CLUSTER FORGET", node_id(new))


def test_a_row_apart_from_its_token_is_waited_for(table: RedisTable, owner: str, other: str) -> None:
    """Between two moves of one slot's keys no call can have both: unavailable, and nothing half written."""
    check_written(table, 1)
    with restored_slot(SLOT, owner, other):
        opened_slot(SLOT, owner, other)
        move_keys([VALUE], owner, other)
        with pytest.raises(StoreUnavailable, match="moving a slot"):
            table.apply(batch(2))
        move_keys([TOKEN], owner, other)
        check_written(table, 3)


def test_a_list_of_keys_is_whole_or_none(table: RedisTable, owner: str, other: str) -> None:
    """Keys that change their node while all nodes are listed, one after the other, may be listed by none."""
    check_written(table, 1)
    listing = table.keys(10)
    next(listing)
    with restored_slot(SLOT, owner, other):
        opened_slot(SLOT, owner, other)
        with pytest.raises(StoreUnavailable, match="moving a slot"):
            table.count()
        move_keys([VALUE, TOKEN], owner, other)
        move_slot(SLOT, owner, other)
        with pytest.raises(StoreUnavailable, match="moving a slot"):
            list(listing)
        assert table.count() == len(KEYS)


def test_a_primary_that_dies_is_waited_for_and_replaced() -> None:
    """Unavailable while nobody has its slots; then the whole batch is written, and nothing was passed over."""
    with ExitStack() as nodes:
        urls = [nodes.enter_context(cluster_node()) for _ in range(2)]
        with cluster_node() as dying:
            join([*urls, dying])
            replica = nodes.enter_context(cluster_node())
            follow(replica, dying, urls)
            table, servers = open_table(urls[0]), connect(urls[1])
            table.prepare()
            check_written(table, 1)
            before = servers.histories()
            with redis.Redis.from_url(dying) as client:
                assert client.execute_command("WAIT", 1, 5000) == 1  # type: ignore[no-untyped-call]
        for call in (lambda: table.apply(batch(2)), lambda: list(table.scan(100)), table.prepare):
            with pytest.raises(StoreUnavailable):
                call()
        with redis.Redis.from_url(replica) as client:
            command(client, "CLUSTER FAILOVER TAKEOVER")
        wait_until(lambda: _applied(table, 3), "the promoted replica to take writes")
        assert_holds(table, 3)
        assert table.count() == len(KEYS)
        assert len(servers.histories() & before) == 2  # of the primaries that have lost nothing
        for each in (table, servers):
            each.close()


def _applied(table: RedisTable, offset: int) -> bool:
    try:
        results = {result.outcome for result in table.apply(batch(offset))}
    except StoreUnavailable:
        return False
    assert results <= {Outcome.applied, Outcome.duplicate}
    return True


def test_a_cluster_without_all_slots_is_unavailable() -> None:
    """It is not guessed that the missing ones hold nothing."""
    with cluster_node() as url:
        table = open_table(url)
        with pytest.raises(StoreUnavailable, match="does not serve all slots"):
            table.prepare()
        with pytest.raises(StoreUnavailable, match="does not serve all slots"):
            ping(url)
        table.close()


def test_a_database_with_a_number_is_refused(urls: list[str]) -> None:
    """A cluster has none but 0."""
    table = open_table(urls[0].removesuffix("0") + "1")
    with pytest.raises(Refused, match="no database but 0"):
        table.prepare()
    table.close()


def test_a_sign_of_life_of_every_primary(urls: list[str]) -> None:
    """For `plan check --live`: nothing is said where nothing is wrong, and each was asked."""

    def asked() -> list[int]:
        stats = []
        for url in urls:
            with redis.Redis.from_url(url) as node:
                told = node.info("commandstats")
                stats.append(sum(each["calls"] for name, each in told.items() if name.startswith("cmdstat_cluster")))
        return stats

    before = asked()
    ping(urls[1])
    assert all(later > earlier for earlier, later in zip(before, asked(), strict=True))


def test_the_permissions_that_are_documented_are_enough(urls: list[str], table: RedisTable) -> None:
    """docs/stores.md names them; one less is refused, by name."""
    needed = "info ping script|load evalsha mget mset set exists type pttl unlink scan"
    cluster = "cluster asking command"
    rules = ["on", ">secret", "~*", "-@all", *(f"+{each}" for each in f"{needed} {cluster}".split())]
    for url in urls:
        with redis.Redis.from_url(url) as node:
            command(node, "ACL SETUSER", "worker", *rules)
    mine = open_table(urls[0].replace("//", "//worker:secret@"))
    mine.prepare()
    check_written(mine, 1)
    assert mine.count() == len(KEYS)
    mine.close()
    for url in urls:
        with redis.Redis.from_url(url) as node:
            command(node, "ACL SETUSER", "worker", "-cluster")
    barred = open_table(urls[0].replace("//", "//worker:secret@"))
    with pytest.raises(Refused, match="does not allow this user"):
        barred.prepare()
    barred.close()
