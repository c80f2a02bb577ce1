"""`plan check --live`: whether a replica's own log can be followed, where the plan wants that. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from streams.plan.catalog import Catalog, TableInfo
from streams.plan.draft import Draft
from streams.plan.finding import Finding
from streams.plan.live import unidentified, unlogged
from streams.plan.load import Path_
from streams.plan.model import Plan, PostgresReplica
from streams.plan.names import replica_log_name
from streams.plan.types import STREAM_VIEW


def log_findings(plan: Plan, draft: Draft, name: str, replica: PostgresReplica, found: Catalog) -> Iterator[Finding]:
    """Everything that keeps the log of the tables that ask for it from being followed."""
    followed = [table for table, mapping in replica.tables.items() if mapping.validation.replica_log]
    if not followed:
        return
    root: Path_ = ("replicas", name)
    for message in _server(found, replica_log_name(plan.name, name)):
        yield draft.finding("invalid", (*root, "dsn"), f"validation.replica_log: {message}")
    for table in followed:
        target = found.tables.get(replica.tables[table].target(table, "postgres"))
        path: Path_ = (*root, "tables", table, "validation", "replica_log")
        if target is not None and target.relkind == "p":
            message = f"{target.name} is partitioned, and following its log is not built yet: leave it out, or false"
            yield draft.finding("not_built", path, message)
        for message in _table(found, target) if target is not None and target.relkind == "r" else ():
            yield draft.finding("invalid", path, f"{target.name if target else table} {message}")


def stream_findings(draft: Draft, path: Path_, table: str, view: str | None) -> Iterator[Finding]:
    """A DynamoDB table's stream that shows too little. view: what it shows, None where the worker makes one."""
    if view not in (None, STREAM_VIEW):
        message = (
            f"the stream of {table} shows {view}, and telling others' changes from ours needs {STREAM_VIEW}: if nobody "
            "else reads it, switch it off, and the worker makes another; or leave this out"
        )
        yield draft.finding("invalid", path, message)


def _server(found: Catalog, name: str) -> Iterator[str]:
    database = found.database
    if database.wal_level != "logical":
        fix = "run ALTER SYSTEM SET wal_level = 'logical' and restart the server"
        yield f"the server has wal_level {database.wal_level}: {fix}"
    if not database.slots_bounded:
        fix = "run ALTER SYSTEM SET max_slot_wal_keep_size = '10GB', or what the disk can spare, and reload"
        yield f"while no worker runs, the slot may fill the server's disk: {fix}"
    if not (database.may_replicate or database.is_superuser):
        yield f'the role {database.role} may not replicate: run ALTER ROLE "{database.role}" REPLICATION'
    if name not in database.publications and not database.may_create:
        fix = f'run GRANT CREATE ON DATABASE "{database.name}" TO "{database.role}"'
        yield f"the role {database.role} may not create the publication {name}: {fix}"
    slot = database.slots.get(name)
    if slot is None and len(database.slots) >= database.slots_max:
        yield f"all {database.slots_max} replication slots of the server are taken: raise max_replication_slots"
    if slot is not None and (slot.plugin, slot.database) != ("pgoutput", database.name):
        yield f"the slot {name} is somebody else's: drop it there, or name the replica otherwise"


def _table(found: Catalog, target: TableInfo) -> Iterator[str]:
    if not target.is_owner:
        fix = f'let replicas.….dsn log in as its owner, or run GRANT OWNER TO "{found.database.role}", with its name'
        yield f"is not owned by the role {found.database.role}, which so cannot publish it: {fix}"
    for part in target.parts:
        yield from unlogged(part)
        yield from unidentified(part, target, found.database.version)
