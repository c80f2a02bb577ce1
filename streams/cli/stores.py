"""Whether a replica's store answers at all, for verbs that keep no connection to it."""

from __future__ import annotations

from streams.plan.model import DynamoReplica, PostgresReplica, RedisReplica, Replica


def ask(name: str, replica: Replica) -> None:
    """Ask the store for a sign of life, within some seconds. Raises Refused and StoreUnavailable."""
    from streams.replicas.probe import dynamo_keys
    from streams.replicas.redis_client import ping
    from streams.sot.catalog import connected

    match replica:
        case PostgresReplica():
            with connected(replica.dsn.resolve(), f"the replica {name}"):
                pass
        case RedisReplica():
            ping(replica.url.resolve())
        case DynamoReplica():
            targets = [mapping.target(table, replica.kind) for table, mapping in replica.tables.items()]
            endpoint = replica.endpoint.resolve() if replica.endpoint else None
            dynamo_keys(replica.region, endpoint, targets)
