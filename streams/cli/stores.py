"""Whether a replica's store answers at all, for verbs that keep no connection to it."""

from __future__ import annotations

from streams.plan.model import DynamoReplica, PostgresReplica, RedisReplica, Replica
from streams.plan.types import KeyAttribute


def ask(name: str, replica: Replica) -> None:
    """Ask the store for a sign of life, within some seconds. Raises Refused and StoreUnavailable."""
    from streams.replicas.redis_client import ping
    from streams.sot.catalog import connected

    match replica:
        case PostgresReplica():
            with connected(replica.dsn.resolve(), f"the replica {name}"):
                pass
        case RedisReplica():
            ping(replica.url.resolve())
        case DynamoReplica():
            keys_of(replica)


def keys_of(replica: DynamoReplica) -> dict[str, tuple[KeyAttribute, ...]]:
    """The key attributes of those of the replica's tables that exist. Raises StoreUnavailable."""
    from streams.replicas.probe import dynamo_keys

    targets = [mapping.target(table, replica.kind) for table, mapping in replica.tables.items()]
    return dynamo_keys(replica.region, replica.endpoint.resolve() if replica.endpoint else None, targets)
