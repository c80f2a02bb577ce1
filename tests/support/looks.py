"""What is in the SOT and in each store, read with the stores' own drivers, as text by column."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import boto3
import psycopg
import redis
from psycopg.sql import SQL, Composable, Identifier, Literal

Row = dict[str, str | None]
Rows = dict[tuple[str | None, ...], Row]
OURS = frozenset({"holdtrue_token", "holdtrue_dead", "holdtrue_expires"})


def sot_rows(dsn: str, table: str, key: Sequence[str], mapping: Mapping[str, Any]) -> Rows:
    """The rows a replica must hold under the mapping, with the columns it must have."""
    columns = mapping.get("columns", {})
    where = SQL(" AND ").join([SQL("true"), *(_condition(each) for each in mapping.get("where", ()))])
    rows = _select(dsn, table, where)
    renamed = {old: columns.get("rename", {}).get(old, old) for old in next(iter(rows), {})}
    left_out = set(columns.get("omit", ()))
    return {
        tuple(row[name] for name in key): {renamed[n]: text for n, text in row.items() if n not in left_out}
        for row in rows
    }


def store_rows(kind: str, env: Mapping[str, str], table: str, key: Sequence[str], mapping: Mapping[str, Any]) -> Rows:
    """The rows a Postgres or a DynamoDB replica holds."""
    if kind == "postgres":
        return _by_key(_select(env["HOLDTRUE_REPLICA_DSN"], mapping.get("to", table), SQL("true")), key, mapping)
    return _by_key(_dynamodb(env, mapping["to"]), key, mapping)


def redis_rows(url: str, key: Sequence[str], mapping: Mapping[str, Any]) -> Rows:
    """The rows a Redis replica holds."""
    return _by_key(_redis(url, mapping["key"].partition("{")[0]), key, mapping)


def _by_key(found: Iterable[Row], key: Sequence[str], mapping: Mapping[str, Any]) -> Rows:
    names = [mapping.get("columns", {}).get("rename", {}).get(name, name) for name in key]
    return {tuple(row[name] for name in names): row for row in found}


def _select(dsn: str, table: str, where: Composable) -> list[Row]:
    name = Identifier(*table.split("."))
    with psycopg.connect(dsn) as connection:
        if connection.execute("SELECT to_regclass(%s)", [table]).fetchone() == (None,):
            return []
        # As JSON the server itself writes each value as text; to_json would make numbers of numbers.
        columns = connection.execute(SQL("SELECT * FROM {} LIMIT 0").format(name)).description or ()
        texts = SQL(", ").join(SQL("{}::text").format(Identifier(column.name)) for column in columns)
        rows = connection.execute(SQL("SELECT {} FROM {} WHERE {}").format(texts, name, where)).fetchall()
        return [dict(zip((column.name for column in columns), row, strict=True)) for row in rows]


def _condition(condition: Mapping[str, Any]) -> Composable:
    column = Identifier(condition["column"])
    value = condition.get("value")
    if condition["op"] == "in":
        return SQL("{} IN ({})").format(column, SQL(", ").join(Literal(each) for each in value))
    if condition["op"] == "is_null":
        return SQL("{} IS NULL").format(column) if value in (None, True) else SQL("{} IS NOT NULL").format(column)
    operator = SQL({"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}[condition["op"]])
    return SQL("{} {} {}").format(column, operator, Literal(value))


def _redis(url: str, prefix: str) -> Iterator[Row]:
    with redis.Redis.from_url(url) as client:
        clustered = client.info("cluster")["cluster_enabled"]
    found: Any = redis.RedisCluster.from_url(url) if clustered else redis.Redis.from_url(url)
    with found:
        names = list(found.scan_iter(match=f"{prefix}*", count=5000))
        for start in range(0, len(names), 1000):
            some = names[start : start + 1000]
            for value in found.mget_nonatomic(some) if clustered else found.mget(some):
                if value is not None:
                    yield {name: _text(each) for name, each in json.loads(value).items()}
        if clustered:
            found.disconnect_connection_pools()


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)


@contextmanager
def dynamodb(env: Mapping[str, str]) -> Iterator[Any]:
    """A client of the driver."""
    client = boto3.client(
        "dynamodb", endpoint_url=env["HOLDTRUE_DYNAMODB"], region_name=env["AWS_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"], aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip
    with closing(client):
        yield client


def _dynamodb(env: Mapping[str, str], table: str) -> Iterator[Row]:
    with dynamodb(env) as client:
        if table not in client.list_tables()["TableNames"]:
            return
        for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
            for item in page["Items"]:
                if "holdtrue_dead" not in item:
                    yield {name: _attribute(value) for name, value in item.items() if name not in OURS}


def _attribute(value: Mapping[str, Any]) -> str | None:
    ((kind, content),) = value.items()
    if kind == "B":
        return "\\x" + bytes(content).hex()
    return None if kind == "NULL" else _text(content)
