"""The Redis replica on a real server: what the contract suite cannot ask of every store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
import redis

from streams.errors import StoreUnavailable
from streams.replicas.base import Held, Outcome, Refused
from streams.replicas.foreign import is_foreign
from streams.replicas.redis import RedisTable
from streams.replicas.redis_client import connect
from streams.replicas.redis_single import is_full
from streams.versions.entry import Token
from tests.support.redis_server import free_port, private_redis
from tests.support.wait import wait_until
from tests.support.writes import bury, put, token
from tests.unit.replicas.shapes import shape_of

pytestmark = pytest.mark.stack

SHAPE = shape_of({"aid": "int4", "note": "text"}, ["aid"])
ROW = ("1", "ours")
VALUE, TOKEN = "account:1", "holdtrue:account:{account:1}"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with private_redis() as given:
        yield given


@pytest.fixture
def raw(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        client.flushall()
        yield client
        client.config_set("maxmemory", 0)


@pytest.fixture
def table(url: str, raw: redis.Redis) -> Iterator[RedisTable]:
    made = open_table(url)
    yield made
    made.close()


def open_table(url: str, retention: timedelta = timedelta(hours=1)) -> RedisTable:
    return RedisTable(SHAPE, connect(url), tombstone_retention=retention)


def test_readers_get_json_under_the_template(table: RedisTable, raw: redis.Redis) -> None:
    """`GET account:1` is all an application needs."""
    table.apply([put(SHAPE, ROW, token(1))])
    assert json.loads(str(raw.get(VALUE))) == {"aid": 1, "note": "ours"}
    assert raw.get(TOKEN) == token(1).encode().hex()


def test_a_tombstone_leaves_only_a_token_that_expires(table: RedisTable, raw: redis.Redis) -> None:
    """The value is gone at once; the token stays for the retention, and for good when the row comes back."""
    table.apply([put(SHAPE, ROW, token(1))])
    table.apply([bury(b"1", token(2))])
    assert raw.keys("*") == [TOKEN]
    assert 3_590_000 < int(str(raw.pttl(TOKEN))) <= 3_600_000
    table.apply([put(SHAPE, ROW, token(3))])
    assert raw.pttl(TOKEN) == -1


def test_a_row_that_somebody_lets_expire_is_not_what_we_wrote(table: RedisTable, raw: redis.Redis) -> None:
    """It will be gone by itself, which no row may: a check finds it, and a repair's write makes it stay."""
    table.apply([put(SHAPE, ROW, token(1))])
    raw.expire(VALUE, 3600)
    held = table.read([b"1"])[b"1"]
    assert held.token == token(1)
    assert held.row is not None
    assert is_foreign(held.row)
    assert table.overrule(b"1", token(1), put(SHAPE, ROW, token(1, refresh=1))).outcome is Outcome.applied
    assert table.read([b"1"]) == {b"1": Held(token(1, refresh=1), ROW)}
    assert raw.pttl(VALUE) == -1


def test_where_rows_may_expire_one_that_will_is_what_was_written(table: RedisTable, url: str, raw: redis.Redis) -> None:
    """The plan's `absent: allowed`: its content counts, and other content is as wrong as ever."""
    table.apply([put(SHAPE, ROW, token(1))])
    raw.expire(VALUE, 3600)
    allowed = RedisTable(SHAPE, connect(url), tombstone_retention=timedelta(hours=1), absent_allowed=True)
    assert allowed.read([b"1"]) == {b"1": Held(token(1), ROW)}
    raw.set(VALUE, "rubbish", ex=3600)
    row = allowed.read([b"1"])[b"1"].row
    assert row is not None
    assert is_foreign(row)
    allowed.close()


def test_a_flushed_script_cache_is_filled_again(table: RedisTable, raw: redis.Redis) -> None:
    """Scripts are lost with a restart; nobody notices."""
    for number in (1, 2):
        raw.script_flush()
        assert table.apply([put(SHAPE, ROW, token(number))])[0].outcome is Outcome.applied
    raw.script_flush()
    assert table.read([b"1"]) == {b"1": Held(token(2), ROW)}


def test_an_evicted_value_is_an_absent_row_under_a_live_token(table: RedisTable, raw: redis.Redis) -> None:
    """And a replay of the same write is a conflict, so the row is asked for again and comes back."""
    table.apply([put(SHAPE, ROW, token(1))])
    raw.delete(VALUE)
    assert table.read([b"1"]) == {b"1": Held(token(1), None)}
    assert table.apply([put(SHAPE, ROW, token(1))])[0].outcome is Outcome.conflict
    assert table.apply([put(SHAPE, ROW, token(1, refresh=1))])[0].outcome is Outcome.applied


def test_a_value_whose_token_was_evicted_has_none(table: RedisTable, raw: redis.Redis) -> None:
    """Its row is then older than anything."""
    table.apply([put(SHAPE, ROW, token(9))])
    raw.delete(TOKEN)
    assert table.read([b"1"]) == {b"1": Held(None, ROW)}
    assert table.apply([put(SHAPE, ROW, token(1))])[0].outcome is Outcome.applied


@pytest.mark.parametrize("alien", ["", "zz", "A" * 32, "0" * 31, "0" * 33, "g" * 32])
def test_a_token_that_is_none_of_ours_counts_as_none(table: RedisTable, raw: redis.Redis, alien: str) -> None:
    """For reading, the guard and a repair alike."""
    table.apply([put(SHAPE, ROW, token(9))])
    raw.set(TOKEN, alien)
    assert table.read([b"1"]) == {b"1": Held(None, ROW)}
    assert table.overrule(b"1", token(9), put(SHAPE, ROW, token(10))).outcome is Outcome.stale
    assert table.overrule(b"1", None, put(SHAPE, ROW, token(1))).outcome is Outcome.applied
    raw.set(TOKEN, alien)
    assert table.apply([put(SHAPE, ROW, token(1))])[0].outcome is Outcome.applied
    assert table.read([b"1"]) == {b"1": Held(token(1), ROW)}


def test_keys_of_another_type_are_content_and_give_way(table: RedisTable, raw: redis.Redis) -> None:
    """A list under the row's key is a rogue write, not an error; so is one under the token's."""
    table.apply([put(SHAPE, ROW, token(1))])
    raw.delete(VALUE)
    raw.rpush(VALUE, "x")
    held = table.read([b"1"])[b"1"]
    assert held.token == token(1)
    assert held.row is not None
    assert is_foreign(held.row)
    assert table.count() == 1
    assert [pair for chunk in table.scan(10) for pair in chunk] == [(b"1", held)]
    assert table.apply([put(SHAPE, ROW, token(1))])[0].outcome is Outcome.conflict
    raw.delete(TOKEN)
    raw.hset(TOKEN, "a", "b")
    assert table.read([b"1"])[b"1"].token is None
    assert table.apply([put(SHAPE, ROW, token(2))])[0].outcome is Outcome.applied
    assert table.read([b"1"]) == {b"1": Held(token(2), ROW)}
    raw.delete(VALUE)
    raw.rpush(VALUE, "x")
    table.apply([bury(b"1", token(3))])
    assert raw.exists(VALUE) == 0


def test_a_replayed_delete_over_a_key_of_another_type_is_a_conflict(table: RedisTable, raw: redis.Redis) -> None:
    """Something is there, which a tombstone says is not: taken for a duplicate, it would stay."""
    table.apply([bury(b"1", token(3))])
    assert table.apply([bury(b"1", token(3))])[0].outcome is Outcome.duplicate
    raw.rpush(VALUE, "x")
    assert table.apply([bury(b"1", token(3))])[0].outcome is Outcome.conflict


def test_rogue_content_reads_as_foreign(table: RedisTable, raw: redis.Redis) -> None:
    """It is drift to be found, not an error."""
    raw.set(VALUE, "rubbish")
    row = table.read([b"1"])[b"1"].row
    assert row is not None
    assert is_foreign(row)


def test_keys_of_others_under_the_prefix_are_no_rows(table: RedisTable, raw: redis.Redis) -> None:
    """An application's own account:total must not become an orphan that a repair deletes."""
    raw.mset({"account:total": "5", "account:01": "x", "accounts:1": "y", "other": "z"})
    assert table.count() == 0
    assert list(table.scan(10)) == []


def test_the_largest_tokens_compare_as_numbers(table: RedisTable) -> None:
    """Every byte counts, letters after digits."""
    ordered = [Token(9, 0, 0), Token(10, 0, 0), Token(10, 9, 0xFFFFFFFF), Token(10, 10, 0), Token(10, 2**64 - 1, 0)]
    for mark in ordered:
        assert table.apply([put(SHAPE, ROW, mark)])[0].outcome is Outcome.applied
        assert {table.apply([put(SHAPE, ROW, old)])[0].outcome for old in ordered if old < mark} <= {Outcome.stale}


def test_a_full_server_is_unavailable_and_takes_the_batch_later(table: RedisTable, raw: redis.Redis) -> None:
    """Out of memory is a state that passes; nothing is half written."""
    table.apply([put(SHAPE, ROW, token(1))])
    raw.config_set("maxmemory", 1)
    with pytest.raises(StoreUnavailable, match="out of memory"):
        table.apply([put(SHAPE, ("1", "new"), token(2)), bury(b"2", token(3))])
    assert is_full(raw)
    # Nothing expires, so that nothing may be evicted.
    raw.config_set("maxmemory-policy", "volatile-lru")
    assert is_full(raw)
    raw.config_set("maxmemory-policy", "noeviction")
    raw.config_set("maxmemory", 0)
    assert not is_full(raw)
    assert table.read([b"1", b"2"]) == {b"1": Held(token(1), ROW)}
    assert table.apply([put(SHAPE, ("1", "new"), token(2))])[0].outcome is Outcome.applied


def test_a_replica_of_another_server_is_unavailable(table: RedisTable, raw: redis.Redis) -> None:
    """After a failover the URL may point at the old primary for a while."""
    table.apply([put(SHAPE, ROW, token(1))])
    raw.replicaof("127.0.0.1", free_port())
    try:
        with pytest.raises(StoreUnavailable, match="read-only"):
            table.apply([put(SHAPE, ROW, token(2))])
    finally:
        raw.replicaof("NO", "ONE")


def test_a_server_has_another_history_when_it_was_promoted_or_restarted() -> None:
    """And no other while it serves, whatever replicas come and go; while it follows another it tells none."""
    with private_redis() as url, private_redis() as other:
        with connected(url) as raw, connected(other) as replica:
            before = histories(url)
            replica.replicaof("127.0.0.1", port_of(url))
            wait_until(lambda: raw.info("replication")["connected_slaves"] == 1, "a replica")
            assert histories(url) == before
            replica.replicaof("NO", "ONE")
            raw.set("since", "then")
            assert histories(url) == before
            raw.replicaof("127.0.0.1", port_of(other))
            with pytest.raises(StoreUnavailable, match="read-only"):
                histories(url)
            wait_until(lambda: raw.info("replication").get("master_link_status") == "up", "it to follow")
            raw.replicaof("NO", "ONE")
        promoted, took_over = histories(url), histories(other)
        assert len(before | promoted | took_over) == 3
    with private_redis(port=port_of(other)):
        assert not histories(other) & (before | promoted | took_over)


def connected(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, decode_responses=True)


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].removesuffix("/0"))


def histories(url: str) -> frozenset[str]:
    client = connect(url)
    try:
        return client.histories()
    finally:
        client.close()


def test_a_stopped_server_is_unavailable_until_it_is_back() -> None:
    """The same table object goes on after a restart, with nothing remembered from before."""
    with private_redis() as url:
        table = open_table(url)
        table.prepare()
        table.apply([put(SHAPE, ROW, token(1))])
    for call in (lambda: table.read([b"1"]), table.count, table.prepare, lambda: list(table.scan(5))):
        with pytest.raises(StoreUnavailable, match=url.removeprefix("redis://").removesuffix("/0")):
            call()
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        table.apply([put(SHAPE, ROW, token(1))])
    with private_redis(port=int(url.rpartition(":")[2].removesuffix("/0"))):
        assert table.apply([put(SHAPE, ROW, token(1))])[0].outcome is Outcome.applied
        table.close()
        table.close()


def test_a_wrong_password_is_refused_without_being_shown() -> None:
    """At preparation; later the same error is a store that cannot serve now."""
    with private_redis("--requirepass", "right") as url:
        for given in (url, url.replace("//", "//:hunter2@")):
            table = open_table(given)
            with pytest.raises(Refused, match="password") as refused:
                table.prepare()
            with pytest.raises(StoreUnavailable, match="password") as away:
                table.apply([put(SHAPE, ROW, token(1))])
            assert "hunter2" not in str(refused.value) + str(away.value)
            table.close()


def test_a_retention_of_nothing_is_refused(url: str) -> None:
    """A tombstone that is gone at once guards nothing."""
    with pytest.raises(Refused):
        open_table(url, timedelta(0))


def test_a_row_without_usable_key_is_refused_alone(url: str, raw: redis.Redis) -> None:
    """Braces that leave no common slot; its neighbours are written."""
    shape = shape_of({"code": "text"}, ["code"])
    table = RedisTable(shape, connect(url), tombstone_retention=timedelta(hours=1))
    results = table.apply(
        [put(shape, ("a",), token(1)), put(shape, ("b}c",), token(1)), put(shape, ("{d}",), token(1))]
    )
    assert [result.outcome.value for result in results] == ["applied", "refused", "applied"]
    assert "b}c" not in results[1].reason
    assert table.read([b"a", b"b}c", b"{d}"]) == {b"a": Held(token(1), ("a",)), b"{d}": Held(token(1), ("{d}",))}
    table.close()
