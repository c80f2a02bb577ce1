"""Hands that reach into a store past its worker: the same few acts on Postgres, Redis and DynamoDB.

A row is a mapping from column to text (None for NULL) whatever the store; only the drivers are used.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Protocol

import psycopg
import redis
from psycopg.sql import SQL, Identifier

from streams.bench.subject import KEY, connect

Row = dict[str, str | None]
TOKEN, DEAD, EXPIRES = "holdtrue_token", "holdtrue_dead", "holdtrue_expires"
# Of an eviction: keys that may go first, and what may go after them before any tombstone does.
EVICTED_FIRST_SECONDS, EVICTION_TRIES = 600, 20
BALLAST_KEYS, BALLAST_BYTES = 64, 64_000
# The server has them on its stack.
SAMPLES_MAX = 400_000


class Copy(NamedTuple):
    """A row and its token as the store has them; None where it has none."""

    key: int
    row: Row | None
    token: Any


class Hands(Protocol):
    """What somebody can do to one replica."""

    def copy(self, key: int) -> Copy:
        """As it is now."""

    def write(self, key: int, row: Row | None) -> None:
        """This row, or none, under the token that is there."""

    def set_token(self, key: int, token: Any) -> None:
        """Another token, or none, beside the row that is there."""

    def foreign(self, token: Any) -> Any:
        """The same token with an offset that no topic reaches."""

    def together(self) -> AbstractContextManager[object]:
        """Around several acts: a transaction, where the store has any."""

    def close(self) -> None:
        """Give back what it holds."""


def raised(token: bytes) -> bytes:
    """Bytes of a token: 4 of the epoch, 8 of the offset, 4 of the refresh."""
    return token[:5] + b"\x01" + token[6:]


class PostgresHands:
    """One target table and the version rows beside it, each act in one transaction."""

    def __init__(self, dsn: str, target: str, token_schema: str) -> None:
        self._connection = connect(dsn)
        names = {"target": Identifier(*target.split(".", 1)), "versions": Identifier(token_schema, target)}
        self._names = names

    def copy(self, key: int) -> Copy:
        """Version row and row; the whole version row is the token."""
        row = self._one("SELECT row_to_json(t)::text FROM {target} t WHERE id = %s", key)
        token = self._one("SELECT row_to_json(v)::text FROM {versions} v WHERE id = %s", key)
        return Copy(key, None if row is None else _texts(json.loads(row, parse_float=str)), token)

    def write(self, key: int, row: Row | None) -> None:
        """Replaces it."""
        with self._connection.transaction():
            self._run("DELETE FROM {target} WHERE id = %s", key)
            if row is not None:
                insert = "INSERT INTO {target} SELECT (jsonb_populate_record(NULL::{target}, %s::jsonb)).*"
                self._run(insert, json.dumps(row))

    def set_token(self, key: int, token: Any) -> None:
        """Replaces the version row."""
        with self._connection.transaction():
            self._run("DELETE FROM {versions} WHERE id = %s", key)
            if token is not None:
                insert = "INSERT INTO {versions} SELECT (json_populate_record(NULL::{versions}, %s::json)).*"
                self._run(insert, token)

    def together(self) -> AbstractContextManager[object]:
        """A transaction."""
        return self._connection.transaction()

    def raise_token(self, key: int) -> None:
        """To an offset that no topic reaches."""
        self._run("UPDATE {versions} SET token = set_byte(token, 5, 1) WHERE id = %s", key)

    def foreign(self, token: Any) -> Any:
        """The version row with a raised token."""
        row = json.loads(token)
        row["token"] = "\\x" + raised(bytes.fromhex(row["token"].removeprefix("\\x"))).hex()
        return json.dumps(row)

    def _one(self, query: str, key: int) -> Any:
        found = self._run(query, key).fetchone()
        return found[0] if found else None

    def _run(self, statement: str, *values: Any) -> psycopg.Cursor[Any]:
        return self._connection.execute(SQL(statement).format(**self._names), values)  # type: ignore[arg-type]

    def close(self) -> None:
        """Give back the connection."""
        self._connection.close()


class RedisHands:
    """The JSON under a prefix, and the token beside it."""

    def __init__(self, url: str, prefix: str, table: str) -> None:
        self._redis: Any = redis.Redis.from_url(url, decode_responses=True)
        self._prefix, self._table = prefix, table

    def copy(self, key: int) -> Copy:
        """Value and token."""
        value = self._redis.get(self._name(key))
        return Copy(key, None if value is None else _texts(json.loads(value)), self._redis.get(self._token(key)))

    def write(self, key: int, row: Row | None) -> None:
        """Numbers and booleans are those of JSON, as readers find them."""
        if row is None:
            self._redis.delete(self._name(key))
        else:
            self._redis.set(self._name(key), json.dumps({name: _json(name, text) for name, text in row.items()}))

    def set_token(self, key: int, token: Any) -> None:
        """The key of the token."""
        if token is None:
            self._redis.delete(self._token(key))
        else:
            self._redis.set(self._token(key), token)

    def foreign(self, token: Any) -> Any:
        """Hex digits."""
        return raised(bytes.fromhex(token)).hex()

    def together(self) -> AbstractContextManager[object]:
        """Nothing of the kind."""
        return nullcontext()

    def expire(self, key: int) -> None:
        """By a time to live, as an application gives one; returns when the server has removed the row."""
        self._redis.pexpire(self._name(key), 20)
        self._gone([key])

    def evict(self, key: int) -> None:
        """By the server, which is given too little memory for a moment, within one transaction of its own.

        So no write of anybody else meets the limit. Of what may go, this key has the shortest time to live; then comes
        ballast, in place of tombstones: other clients take memory while the limit is worked out.
        """
        self._redis.expire(self._name(key), EVICTED_FIRST_SECONDS)
        ballast = [f"{self._prefix}ballast:{number}" for number in range(BALLAST_KEYS)]
        settings = self._redis.config_get("maxmemory*")
        try:
            for _ in range(EVICTION_TRIES):
                for name in ballast:
                    self._redis.set(name, "x" * BALLAST_BYTES, ex=2 * EVICTED_FIRST_SECONDS)
                self._squeeze(settings)
                if not self._redis.exists(self._name(key)):
                    return
            raise AssertionError(f"the server did not evict key {key}")
        finally:
            self._redis.delete(*ballast)

    def _squeeze(self, settings: Mapping[str, str]) -> None:
        """The limit a little under what is used, and back: setting it evicts at once. All that may go is compared."""
        may_go = sum(int(database["expires"]) for database in self._redis.info("keyspace").values())
        samples = min(2 * may_go, SAMPLES_MAX)
        limit = max(1, self._redis.info("memory")["used_memory"] - BALLAST_BYTES)
        short = {"maxmemory-policy": "volatile-ttl", "maxmemory-samples": samples, "maxmemory": limit}
        with self._redis.pipeline(transaction=True) as together:
            for name, value in (*short.items(), *((name, settings[name]) for name in short)):
                together.config_set(name, value)
            together.execute()

    def _gone(self, keys: list[int]) -> None:
        deadline = time.monotonic() + 10
        while self._redis.exists(*map(self._name, keys)):
            assert time.monotonic() < deadline, f"the rows of {keys} did not expire"
            time.sleep(0.01)

    def _name(self, key: int) -> str:
        return f"{self._prefix}{key}"

    def _token(self, key: int) -> str:
        return f"holdtrue:{self._table}:{{{self._name(key)}}}"

    def close(self) -> None:
        """Give back the connections."""
        self._redis.close()


class DynamoHands:
    """The items of one table; a deleted row's item is its token."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def copy(self, key: int) -> Copy:
        """The row is what is not ours; the token all that is."""
        item = self._item(key)
        ours = {name: value for name, value in item.items() if name in (TOKEN, DEAD, EXPIRES)}
        row = {name: _attribute(value) for name, value in item.items() if name not in ours}
        return Copy(key, None if DEAD in item or not item else row, ours or None)

    def write(self, key: int, row: Row | None) -> None:
        """A live item has the token, and nothing else that is ours."""
        token = {name: value for name, value in self._item(key).items() if name == TOKEN}
        if row is None:
            self._client.delete_item(TableName=self._table, Key=_key(key))
        else:
            self._put({**{name: _typed(name, text) for name, text in row.items()}, **token})

    def set_token(self, key: int, token: Any) -> None:
        """The same item with this token."""
        item = {name: value for name, value in self._item(key).items() if name not in (TOKEN, DEAD, EXPIRES)}
        if token is not None:
            self._put({**(item or _key(key)), **token})
        elif item:
            self._put(item)

    def foreign(self, token: Any) -> Any:
        """Hex digits."""
        return {**token, TOKEN: {"S": raised(bytes.fromhex(token[TOKEN]["S"])).hex()}}

    def together(self) -> AbstractContextManager[object]:
        """Nothing of the kind."""
        return nullcontext()

    def _put(self, item: Mapping[str, Any]) -> None:
        self._client.put_item(TableName=self._table, Item=item)

    def _item(self, key: int) -> dict[str, Any]:
        found = self._client.get_item(TableName=self._table, Key=_key(key), ConsistentRead=True)
        return dict(found.get("Item", {}))

    def close(self) -> None:
        """The client is somebody else's."""


_NUMBERS = frozenset({KEY, "revision", "customer"})


def _key(key: int) -> dict[str, Any]:
    return {KEY: {"N": str(key)}}


def _texts(row: Mapping[str, Any]) -> Row:
    return {name: _text(value) for name, value in row.items()}


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)


def _json(name: str, text: str | None) -> Any:
    if text is None or (name not in _NUMBERS and name != "express"):
        return text
    return text == "true" if name == "express" else int(text)


def _typed(name: str, text: str | None) -> dict[str, Any]:
    if text is None:
        return {"NULL": True}
    if name == "express":
        return {"BOOL": text == "true"}
    return {"N": text} if name in _NUMBERS or name == "total" else {"S": text}


def _attribute(value: Mapping[str, Any]) -> str | None:
    ((kind, content),) = value.items()
    return None if kind == "NULL" else _text(content)
