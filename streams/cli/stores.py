"""Whether a replica's store answers, and has what it needs, for verbs that keep no connection to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streams.plan.model import DynamoReplica, PostgresReplica, RedisReplica, Replica
from streams.plan.types import DynamoInfo

LACKING: Final = "its store does not have the table: a worker that is started again makes it; then validate it"
FULL: Final = "its store is out of memory and takes no write: raise maxmemory, or make room"


def ask(name: str, replica: Replica) -> Mapping[str, str]:
    """Ask the store for a sign of life, within some seconds: what is wrong with tables there, if it answers.

    Raises Refused and StoreUnavailable.
    """
    from streams.replicas.redis_client import ping
    from streams.sot.catalog import connected, existing

    targets = {table: mapping.target(table, replica.kind) for table, mapping in replica.tables.items()}
    match replica:
        case PostgresReplica():
            with connected(replica.dsn.resolve(), f"the replica {name}") as connection:
                there = existing(connection, targets.values())
        case RedisReplica():
            return {} if ping(replica.url.resolve()) else dict.fromkeys(targets, FULL)
        case DynamoReplica():
            there = {*tables_of(replica)}
    return {table: LACKING for table, target in targets.items() if target not in there}


def tables_of(replica: DynamoReplica) -> dict[str, DynamoInfo]:
    """Those of the replica's tables that exist. Raises StoreUnavailable."""
    from streams.replicas.probe import dynamo_tables

    targets = [mapping.target(table, replica.kind) for table, mapping in replica.tables.items()]
    return dynamo_tables(replica.region, replica.endpoint.resolve() if replica.endpoint else None, targets)
