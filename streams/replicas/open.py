"""The stores of a replica, as its plan names them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from streams.plan.mapping import Shape
from streams.plan.model import DynamoReplica, Plan, PostgresReplica, RedisReplica
from streams.plan.names import replica_log_name
from streams.replicas.base import ReplicaTable

if TYPE_CHECKING:
    from streams.replicas.redis_client import Client


def open_replica(
    plan: Plan, replica: str, shapes: Mapping[str, Shape], *, to_write: bool = False
) -> dict[str, ReplicaTable]:
    """Table → its store. Drivers are imported here, so that a worker loads only its own. Connects to nothing yet.

    A table that somebody else writes (mode: verify) is opened to be looked at only, unless it is `to_write`.
    """
    tables = plan.replicas[replica].tables
    watched = set() if to_write else {table for table in shapes if tables[table].mode == "verify"}
    match plan.replicas[replica]:
        case PostgresReplica() as postgres:
            return _postgres(postgres, shapes, watched)
        case RedisReplica() as redis:
            return _redis(plan, redis, shapes)
        case DynamoReplica() as dynamo:
            return _dynamo(plan, dynamo, shapes, watched)


def open_servers(plan: Plan, replica: str) -> Client:
    """The servers of a Redis replica, without its tables. Connects to nothing yet."""
    from streams.replicas.redis_client import connect

    spec = plan.replicas[replica]
    assert isinstance(spec, RedisReplica), "another kind has none"
    return connect(spec.url.resolve())


class LogPlace(NamedTuple):
    """What is kept in a replica whose own log is followed. is_read: whether somebody follows at this moment.

    kept: what it is, in words. drop: remove it, unless somebody follows; whether there was one. Both raise
    StoreUnavailable and Refused.
    """

    kept: str
    is_read: Callable[[], bool]
    drop: Callable[[], bool]


def log_place(plan: Plan, replica: str) -> LogPlace | None:
    """Of a replica that has a log which can be followed; connects to nothing yet."""
    name = replica_log_name(plan.name, replica)
    match plan.replicas[replica]:
        case PostgresReplica() as postgres:
            from streams.replicas import postgres_slot

            dsn = postgres.dsn.resolve()
            return LogPlace(
                f"its slot {name}",
                partial(postgres_slot.is_read, dsn, name),
                partial(postgres_slot.drop_log, dsn, name),
            )
        case DynamoReplica() as dynamo:
            from streams.replicas import dynamodb_slot
            from streams.replicas.dynamodb_client import connect

            client = connect(dynamo.region, dynamo.endpoint.resolve() if dynamo.endpoint else None).client
            at = (client, name, f"table {name} at {client.meta.endpoint_url}")
            return LogPlace(
                f"the table {name}", partial(dynamodb_slot.is_read, *at), partial(dynamodb_slot.drop_log, *at)
            )
        case _:
            return None


def _postgres(
    replica: PostgresReplica, shapes: Mapping[str, Shape], watched: Collection[str]
) -> dict[str, ReplicaTable]:
    from streams.replicas.postgres import PostgresTable
    from streams.replicas.postgres_session import Sessions

    sessions = Sessions(replica.dsn.resolve())
    return {
        table: PostgresTable(sessions, shape, replica.tables[table].target(table, "postgres"), replica.token_schema,
                             watched=table in watched)
        for table, shape in shapes.items()
    }  # fmt: skip


def _redis(plan: Plan, replica: RedisReplica, shapes: Mapping[str, Shape]) -> dict[str, ReplicaTable]:
    from streams.replicas.redis import RedisTable
    from streams.replicas.redis_client import connect

    client = connect(replica.url.resolve())
    return {
        table: RedisTable(shape, client, template=replica.tables[table].key,
                          tombstone_retention=plan.tombstone_retention, absent_allowed=replica.absent_allowed_in(table))
        for table, shape in shapes.items()
    }  # fmt: skip


def _dynamo(
    plan: Plan, replica: DynamoReplica, shapes: Mapping[str, Shape], watched: Collection[str]
) -> dict[str, ReplicaTable]:
    from streams.replicas.dynamodb import DynamoTable
    from streams.replicas.dynamodb_client import connect, is_local

    endpoint = replica.endpoint.resolve() if replica.endpoint else None
    client = connect(replica.region, endpoint)
    streamed = {table for table in shapes if replica.tables[table].validation.replica_log}
    # DynamoDB Local writes what a stream shows so slowly that a transaction of a hundred takes longer than it allows.
    alone = streamed if is_local(endpoint) else set()
    return {
        table: DynamoTable(shape, client, table=replica.tables[table].target(table, "dynamodb"),
                           tombstone_retention=plan.tombstone_retention,
                           tombstones=replica.tables[table].tombstones or "attribute", watched=table in watched,
                           streamed=table in streamed, batching="single" if table in alone else "transactions")
        for table, shape in shapes.items()
    }  # fmt: skip
