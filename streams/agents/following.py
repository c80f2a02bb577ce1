"""Whether a replica's own log is followed, as its plan says; and an end to what an earlier plan began."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streams.errors import HoldtrueError
from streams.metrics import REPLICA_LOG_LAG_BYTES, REPLICA_LOG_LAG_SECONDS
from streams.plan.model import DynamoReplica, Plan, PostgresReplica
from streams.plan.names import replica_log_name
from streams.replicas.open import log_place

if TYPE_CHECKING:
    from streams.agents.events import Events
    from streams.agents.follow import Follower
    from streams.agents.owner import Owner
    from streams.agents.table import TableWork
    from streams.replicas.log import FollowedLog
    from streams.replicas.postgres_log import Logged
    from streams.replicas.postgres_mirror import Mirrored

log = logging.getLogger(__name__)


def follower_of(
    plan: Plan, replica: str, works: Sequence[TableWork], events: Events, folder: Path,
    owners: Callable[[], Collection[Owner]],
) -> Follower | None:  # fmt: skip
    """What follows the replica's log; None where no table wants that, or could take part at the start."""
    followed = [work for work in works if work.mapping.validation.replica_log and not work.unprepared]
    if not followed:
        return None
    name = replica_log_name(plan.name, replica)
    match plan.replicas[replica]:
        case PostgresReplica() as postgres:
            return _of_postgres(postgres, name, replica, followed, events, folder, owners)
        case DynamoReplica() as dynamo:
            return _of_dynamo(dynamo, name, replica, followed, events)
        case _:
            return None


def _of_postgres(
    spec: PostgresReplica, name: str, replica: str, followed: Sequence[TableWork], events: Events, folder: Path,
    owners: Callable[[], Collection[Owner]],
) -> Follower:  # fmt: skip
    from streams.agents.follow import Follower
    from streams.agents.marks import Marks
    from streams.replicas.postgres import PostgresTable
    from streams.replicas.postgres_followed import MirroredLog
    from streams.replicas.postgres_log import LogReader
    from streams.replicas.postgres_mirror import PostgresMirror
    from streams.replicas.postgres_stream import LogStream

    stores = {work.table: work.store for work in followed if isinstance(work.store, PostgresTable)}
    logged = {table: store.logged for table, store in stores.items()}
    mirrored = {work.table: _mirrored(work, logged[work.table]) for work in followed}
    dsn = spec.dsn.resolve()

    def opened() -> FollowedLog:
        mirror = PostgresMirror(dsn, name, folder / "replica-log", mirrored)
        reader = LogReader(logged, on_row=mirror.on_row, on_begin=mirror.on_begin, on_mark=mirror.on_mark)
        return MirroredLog(LogStream(dsn, name, logged, reader), mirror)

    return Follower(replica, followed, events, opened, REPLICA_LOG_LAG_BYTES, Marks(name, stores, owners))


def _of_dynamo(spec: DynamoReplica, name: str, replica: str, followed: Sequence[TableWork], events: Events) -> Follower:
    from streams.agents.follow import Follower
    from streams.replicas.dynamodb import DynamoTable
    from streams.replicas.dynamodb_client import STREAMS, connect
    from streams.replicas.dynamodb_slot import LogSlot
    from streams.replicas.dynamodb_stream import DynamoStreams, Followed

    stores = {work.table: work.store for work in followed if isinstance(work.store, DynamoTable)}
    tables = {table: Followed(store.table, store.form) for table, store in stores.items()}
    endpoint = spec.endpoint.resolve() if spec.endpoint else None
    client = connect(spec.region, endpoint).client
    slot = LogSlot(client, name, f"table {name} at {client.meta.endpoint_url}")
    # One for good: it knows since when another one has been silent.
    streams = DynamoStreams(client, connect(spec.region, endpoint, service=STREAMS).client, slot, tables)
    return Follower(replica, followed, events, lambda: streams, REPLICA_LOG_LAG_SECONDS)


def _mirrored(work: TableWork, logged: Logged) -> Mirrored:
    from streams.replicas.postgres_mirror import Mirrored

    digester = work.digester
    return Mirrored(
        logged, digester.digest, digester.version, work.partitions, lambda: work.partitioner().partition,
        work.store.read,
    )  # fmt: skip


def leave_log(plan: Plan, replica: str, *, for_good: bool = False) -> None:
    """Remove what a worker under an earlier plan has left in the replica: nobody reads it. Blocks.

    for_good: whatever the plan says, no worker will follow again.
    """
    if not for_good and any(mapping.validation.replica_log for mapping in plan.replicas[replica].tables.values()):
        return
    place = log_place(plan, replica)
    if place is None:
        return
    try:
        if place.drop():
            log.warning("the log of %s is not followed any more: %s is removed", replica, place.kept)
    except HoldtrueError as error:
        log.warning("whether %s is left in %s is not known: %s", place.kept, replica, error)
