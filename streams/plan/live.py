"""`plan check --live`: the plan beside what the source of truth and the control database say about themselves.

Pure: catalog in, findings out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from streams.plan.catalog import Catalog, DatabaseInfo, PartInfo, TableInfo
from streams.plan.draft import Draft
from streams.plan.finding import Finding
from streams.plan.load import Path_
from streams.plan.mapping import shape_problems
from streams.plan.model import Plan, SourceTable, TableMapping
from streams.plan.text import listed, quoted
from streams.plan.types import KEY_TYPES, askable, refusal, strange

# Other names Debezium writes with `_` in place of what Avro does not take (`schema.name.adjustment.mode`).
_AVRO_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII).fullmatch
_NOT_AVRO: Final = re.compile(r"^[^A-Za-z_]|[^A-Za-z0-9_]", re.ASCII)
_RELKINDS: Final = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}
# From this version on Postgres lets no generated column be part of a published table's replica identity.
_GENERATED_REFUSED: Final = 180_000
# Windows of incremental snapshots are rows that Debezium writes and deletes.
_SIGNAL_PRIVILEGES: Final = frozenset(("SELECT", "INSERT", "DELETE"))
# The first that control makes there (streams/control/queries.sql): whose it is, the schema's others are.
CONTROL_TABLE: Final = "holdtrue.meta"


def source_findings(plan: Plan, draft: Draft, catalog: Catalog) -> Iterator[Finding]:
    """Everything about the SOT that keeps the plan from being worked with."""
    yield from _server(plan, draft, catalog)
    for name, declared in plan.tables.items():
        path: Path_ = ("tables", name)
        table = catalog.tables.get(name)
        if table is None:
            message = "is not in the source of truth, or this role may not see its schema; compare name and database"
            yield draft.finding("missing", path, message)
            continue
        yield from _table(plan, draft, path, table, catalog.database.version)
        yield from _key(draft, path, declared, table)
        yield from _permissions(plan, draft, path, catalog, table)
        yield from _mappings(plan, draft, name, declared, table)


def control_findings(plan: Plan, draft: Draft, catalog: Catalog, kept: str | None) -> Iterator[Finding]:
    """What keeps the role of `control.dsn` from making its schema, or from bringing one that is there up to date.

    kept: the plan whose control the database is already; None where it is nobody's, or this role may not read that.
    """
    database, schema, path = catalog.database, CONTROL_TABLE.partition(".")[0], ("control", "dsn")
    table, role = catalog.tables.get(CONTROL_TABLE), database.role
    if kept not in (None, plan.name):
        yield draft.finding("contradictory", path, f"the database is that of the plan {kept}: give each plan its own")
    # Postgres wants this for CREATE SCHEMA IF NOT EXISTS also where the schema is there.
    if not database.may_create:
        fix = f'run GRANT CREATE ON DATABASE "{database.name}" TO "{role}"'
        yield draft.finding("invalid", path, f"the role {role} may not create the schema {schema}: {fix}")
    if table is not None and not table.is_owner:
        fix = f'let control.dsn log in as its owner, or run GRANT OWNER TO "{role}", with its name for OWNER'
        yield draft.finding("invalid", path, f"{table.name} is not owned by the role {role}: {fix}")
    elif not database.schemas.get(schema, True):
        fix = f'run GRANT USAGE, CREATE ON SCHEMA {schema} TO "{role}"'
        yield draft.finding("invalid", path, f"the role {role} may not create in the schema {schema}: {fix}")


def _server(plan: Plan, draft: Draft, catalog: Catalog) -> Iterator[Finding]:
    database = catalog.database
    if database.wal_level != "logical":
        fix = "run ALTER SYSTEM SET wal_level = 'logical' and restart the server"
        yield draft.finding("invalid", ("source",), f"the server has wal_level {database.wal_level}: {fix}")
    if not (database.may_replicate or database.is_superuser):
        fix = f'run ALTER ROLE "{database.role}" REPLICATION'
        yield draft.finding("invalid", ("source", "dsn"), f"the role {database.role} may not replicate: {fix}")
    if plan.source.publication not in database.publications and not database.may_create:
        fix = f'run GRANT CREATE ON DATABASE "{database.name}" TO "{database.role}", or create the publication'
        message = f"the role {database.role} may not create the publication {plan.source.publication}: {fix}"
        yield draft.finding("invalid", ("source", "publication"), message)
    yield from _publication(plan, draft, database)
    if database.unreadable_enums:
        names = listed(map(quoted, database.unreadable_enums))
        message = (
            f"the database has {names}: the connector does not start where there is an enum without values or a domain "
            "over an enum, in whichever schema: drop it, or put the enum itself and a CHECK into the tables"
        )
        yield draft.finding("invalid", ("source",), message)
    yield from _slot(plan, draft, catalog)
    yield from _signal_table(plan, draft, catalog)


def _publication(plan: Plan, draft: Draft, database: DatabaseInfo) -> Iterator[Finding]:
    """One that `connectors apply` would have to change."""
    name, wanted = plan.source.publication, {*plan.tables, plan.source.signal_table}
    found = database.publications.get(name)
    if found is not None and found.tables != wanted and not found.is_owner:
        message = f"{name} has other tables than the plan, and the role {database.role} may not change it"
        fix = "let the owner of publication and tables run `holdtrue connectors apply` once"
        yield draft.finding("invalid", ("source", "publication"), f"{message}: {fix}")


def _slot(plan: Plan, draft: Draft, catalog: Catalog) -> Iterator[Finding]:
    database, name = catalog.database, plan.source.slot
    slot = database.slots.get(name)
    if slot is None and len(database.slots) >= database.slots_max:
        message = f"all {database.slots_max} replication slots of the server are taken: raise max_replication_slots"
        yield draft.finding("invalid", ("source", "slot"), message)
    if slot is not None and (slot.plugin, slot.database) != ("pgoutput", database.name):
        message = (
            f"the slot {name} belongs to {slot.plugin or 'physical replication'} of {slot.database or 'no database'}"
        )
        yield draft.finding("contradictory", ("source", "slot"), f"{message}: name another slot")


def _signal_table(plan: Plan, draft: Draft, catalog: Catalog) -> Iterator[Finding]:
    """What `connectors apply` makes, or what the connector writes to where somebody has made it."""
    database, name, path = catalog.database, plan.source.signal_table, ("source", "signal_table")
    table, schema = catalog.tables.get(name), name.partition(".")[0]
    if table is not None and not table.privileges >= _SIGNAL_PRIVILEGES:
        fix = f"GRANT {', '.join(sorted(_SIGNAL_PRIVILEGES))} ON {name} TO"
        message = f"{name} cannot be written by the role {database.role}: run GRANT USAGE ON SCHEMA {schema} TO"
        yield draft.finding("invalid", path, f'{message} "{database.role}"; {fix} "{database.role}"')
    if table is not None and plan.source.publication not in database.publications and not table.is_owner:
        fix = f"let its owner run CREATE PUBLICATION {plan.source.publication} FOR TABLE …"
        message = f"{name} is not owned by the role {database.role}, which so cannot publish it: {fix}"
        yield draft.finding("invalid", path, message)
    if table is None and not database.schemas.get(schema, database.may_create):
        there = schema in database.schemas
        on = f"USAGE, CREATE ON SCHEMA {schema}" if there else f'CREATE ON DATABASE "{database.name}"'
        message = f"{name} is not there, and the role {database.role} may not create it"
        yield draft.finding("invalid", path, f'{message}: run GRANT {on} TO "{database.role}"')


def _table(plan: Plan, draft: Draft, path: Path_, table: TableInfo, version: int) -> Iterator[Finding]:
    if table.relkind not in ("r", "p"):
        what = _RELKINDS.get(table.relkind, "no table")
        message = f"is {what}; only tables are built yet: leave it out of the plan"
        yield draft.finding("not_built", path, message)
        return
    for part in table.parts:
        what = "" if part.name == table.name else f"has the partition {part.name}, which "
        for problem in (*unlogged(part), *unidentified(part, table, version)):
            yield draft.finding("invalid", path, what + problem)
    for ancestor in sorted({*table.ancestors} & {*plan.tables}):
        message = f"is a partition of {ancestor}, under which all its changes arrive: leave one of the two out"
        yield draft.finding("contradictory", path, message)
    if table.heirs:
        message = f"is inherited by {listed(table.heirs)}, whose rows are read with its own and arrive otherwise"
        yield draft.finding("not_built", path, f"{message}: make them partitions, or leave it out of the plan")
    if table.row_security:
        fix = "give the role BYPASSRLS"
        yield draft.finding("invalid", path, f"has row security, which hides rows from this role: {fix}")
    for one, other in _same_in_avro(table):
        message = f"has the columns {quoted(one)} and {quoted(other)}, which Avro cannot tell apart"
        fix = "rename one in the source of truth, or leave the table out of the plan"
        yield draft.finding("invalid", path, f"{message}, so that the connector fails for every table: {fix}")


def unlogged(part: PartInfo) -> Iterator[str]:
    """Why changes of rows in `part` are not in the log."""
    if part.relkind == "f":
        yield "is a foreign table, so its changes never reach the log: detach it, or leave the table out of the plan"
    elif not part.logged:
        fix = f"run ALTER TABLE {part.name} SET LOGGED, or leave the table out of the plan"
        yield f"is unlogged, so its changes never reach the log: {fix}"


def unidentified(part: PartInfo, table: TableInfo, version: int) -> Iterator[str]:
    """Why its changes may not be made, or do not say of which row they are."""
    generated = {column.name for column in table.columns if column.generated}
    identity, run = part.replica_identity, f"run ALTER TABLE {part.name} REPLICA IDENTITY"
    refused = "so that Postgres refuses updates and deletes once it is published"
    if identity == "n":
        yield f"has replica identity NOTHING, {refused}: {run} DEFAULT"
    elif identity == "d" and table.key_deferrable:
        yield f"has a deferrable primary key and replica identity DEFAULT, {refused}: {run} FULL"
    elif identity == "i" and not set(table.primary_key) <= set(part.identity_columns):
        without = "an index without its whole primary key as replica identity"
        yield f"has {without}, so that deletes do not say which row is gone: {run} DEFAULT"
    elif version >= _GENERATED_REFUSED and (identity == "f" or generated & {*part.identity_columns}) and generated:
        other = "DEFAULT, or USING INDEX with one of other columns that has the whole primary key"
        yield f"has generated columns in its replica identity, {refused}: {run} {other}"


def _same_in_avro(table: TableInfo) -> Iterator[tuple[str, str]]:
    """Columns that Debezium writes under one name; it reads all of them, whatever the plan leaves out."""
    known: dict[str, str] = {}
    for column in table.columns:
        other = known.setdefault(_NOT_AVRO.sub("_", column.name), column.name)
        if other != column.name:
            yield other, column.name


def _key(draft: Draft, path: Path_, declared: SourceTable, table: TableInfo) -> Iterator[Finding]:
    if not table.primary_key:
        fix = f"add a primary key (ALTER TABLE {table.name} ADD PRIMARY KEY …), or leave the table out of the plan"
        message = f"has no primary key, so its rows cannot be told apart, ordered or checked: {fix}"
        yield draft.finding("missing", (*path, "key"), message)
    elif set(declared.key) != set(table.primary_key):
        given, real = listed(map(quoted, declared.key)), listed(map(quoted, table.primary_key))
        yield draft.finding("contradictory", (*path, "key"), f"says {given}, but the primary key is {real}")
    for name in declared.key:
        column = table.column(name)
        if column is not None and column.type not in KEY_TYPES and not column.is_enum:
            message = f"has the key column {name} of type {column.shown}: checks by such a key are not built yet"
            yield draft.finding("not_built", (*path, "key"), f"{message}; use a key of integers, text, uuid or bytea")


def _permissions(plan: Plan, draft: Draft, path: Path_, catalog: Catalog, table: TableInfo) -> Iterator[Finding]:
    role = catalog.database.role
    if "SELECT" not in table.privileges:
        schema = table.name.partition(".")[0]
        fix = f'run GRANT USAGE ON SCHEMA {schema} TO "{role}"; GRANT SELECT ON {table.name} TO "{role}"'
        yield draft.finding("invalid", path, f"cannot be read by the role {role}: {fix}")
    if plan.source.publication not in catalog.database.publications and not table.is_owner:
        fix = f"let its owner run CREATE PUBLICATION {plan.source.publication} FOR TABLE …"
        yield draft.finding("invalid", path, f"is not owned by the role {role}, which so cannot publish it: {fix}")


def _mappings(plan: Plan, draft: Draft, name: str, declared: SourceTable, table: TableInfo) -> Iterator[Finding]:
    for replica, copies in plan.replicas.items():
        mapping = copies.tables.get(name)
        if mapping is not None:
            path: Path_ = ("replicas", replica, "tables", name)
            # Without its primary key a table is refused above; that its columns do not fit would be noise.
            for problem in shape_problems(declared.key, table.mapped_columns, mapping) if table.primary_key else ():
                yield draft.finding("contradictory", (*path, *problem.path), problem.message)
            yield from _types(draft, path, mapping, table)


def _types(draft: Draft, path: Path_, mapping: TableMapping, table: TableInfo) -> Iterator[Finding]:
    filtered = {condition.column for condition in mapping.where}
    for column in table.columns:
        leave_out = f"leave the column out (columns.omit: [{column.name}])"
        if column.name in mapping.columns.omit and column.name not in filtered:
            continue
        if not _AVRO_NAME(column.name):
            message = (
                f"column {quoted(column.name)} has a name that Avro does not carry (only letters, digits and _, no "
                f"digit first), which is not built yet: {leave_out}, or rename it in the source of truth"
            )
            yield draft.finding("not_built", (*path, "columns"), message)
        elif column.name in mapping.columns.ask and askable(column.type, column.sort, column.held):
            continue
        elif (reason := refusal(column.type, column.sort)) is not None:
            or_else = "or keep its value in a column of another type"
            if column.sort and (others := strange(column.held)):
                reason += f", and it holds {listed(others)}, which no column can have"
            if askable(column.type, column.sort, column.held):
                or_else = f"or have it read from the source at every change (columns.ask: [{column.name}])"
            message = (
                f"column {quoted(column.name)} has the type {column.shown}, which is not carried by itself, because "
                f"{reason}: {leave_out}, {or_else}; see docs/types.md"
            )
            yield draft.finding("not_built", (*path, "columns"), message)
        elif column.generated and column.name in table.primary_key:
            message = (
                f"column {quoted(column.name)} is generated, so Postgres does not put it into the log, and a key that "
                "is not there tells no rows apart: give the table a primary key of other columns, or leave it out"
            )
            yield draft.finding("not_built", (*path, "columns"), message)
        elif column.generated:
            message = (
                f"column {quoted(column.name)} is generated, and Postgres does not put it into the log: {leave_out}, "
                f"or have it read from the source at every change (columns.ask: [{column.name}])"
            )
            yield draft.finding("not_built", (*path, "columns"), message)
