"""Whether a replica's own log is followed, as its plan says; and an end to what an earlier plan began."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streams.errors import HoldtrueError
from streams.plan.model import Plan, PostgresReplica
from streams.plan.names import replica_log_name

if TYPE_CHECKING:
    from streams.agents.events import Events
    from streams.agents.follow import Follower
    from streams.agents.owner import Owner
    from streams.agents.table import TableWork
    from streams.replicas.postgres_log import Logged
    from streams.replicas.postgres_mirror import Mirrored

log = logging.getLogger(__name__)


def follower_of(
    plan: Plan, replica: str, works: Sequence[TableWork], events: Events, folder: Path,
    owners: Callable[[], Collection[Owner]],
) -> Follower | None:  # fmt: skip
    """What follows the replica's log; None where no table wants that, or could take part at the start."""
    followed = [work for work in works if work.mapping.validation.replica_log and not work.unprepared]
    spec = plan.replicas[replica]
    if not followed or not isinstance(spec, PostgresReplica):
        return None
    from streams.agents.follow import Follower
    from streams.agents.marks import Marks
    from streams.replicas.postgres import PostgresTable
    from streams.replicas.postgres_log import LogReader
    from streams.replicas.postgres_mirror import PostgresMirror
    from streams.replicas.postgres_stream import LogStream

    stores = {work.table: work.store for work in followed if isinstance(work.store, PostgresTable)}
    logged = {table: store.logged for table, store in stores.items()}
    mirrored = {work.table: _mirrored(work, logged[work.table]) for work in followed}
    dsn, name = spec.dsn.resolve(), replica_log_name(plan.name, replica)

    def opened() -> tuple[LogStream, PostgresMirror]:
        mirror = PostgresMirror(dsn, name, folder / "replica-log", mirrored)
        reader = LogReader(logged, on_row=mirror.on_row, on_begin=mirror.on_begin, on_mark=mirror.on_mark)
        return LogStream(dsn, name, logged, reader), mirror

    return Follower(replica, followed, events, Marks(name, stores, owners), opened)


def _mirrored(work: TableWork, logged: Logged) -> Mirrored:
    from streams.replicas.postgres_mirror import Mirrored

    digester = work.digester
    return Mirrored(
        logged, digester.digest, digester.version, work.partitions, lambda: work.partitioner().partition,
        work.store.read,
    )  # fmt: skip


def leave_log(plan: Plan, replica: str, *, for_good: bool = False) -> None:
    """Remove the slot that a worker under an earlier plan has left: nobody reads it, so it only keeps log. Blocks.

    for_good: whatever the plan says, no worker will follow again.
    """
    spec = plan.replicas[replica]
    if not isinstance(spec, PostgresReplica):
        return
    if not for_good and any(mapping.validation.replica_log for mapping in spec.tables.values()):
        return
    from streams.replicas.postgres_slot import drop_log

    name = replica_log_name(plan.name, replica)
    try:
        if drop_log(spec.dsn.resolve(), name):
            log.warning("the log of %s is not followed any more: its slot %s is removed", replica, name)
    except HoldtrueError as error:
        log.warning("whether a slot %s is left in %s is not known: %s", name, replica, error)
