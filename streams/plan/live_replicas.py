"""`plan check --live`: the plan beside what a replica's store says about itself. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from streams.plan.catalog import Catalog, ColumnInfo, TableInfo
from streams.plan.draft import Draft
from streams.plan.finding import Finding
from streams.plan.live_log import log_findings, stream_findings
from streams.plan.load import Path_
from streams.plan.losses import Loss
from streams.plan.mapping import MappingError, Shape
from streams.plan.model import DynamoReplica, Plan, PostgresReplica, TableMapping
from streams.plan.modifiers import takes
from streams.plan.text import listed, quoted
from streams.plan.types import DynamoInfo, KeyAttribute, key_attribute

_WRITES = ("SELECT", "INSERT", "UPDATE", "DELETE")
# Of a table that somebody else writes. Ordered repairs need what the others do, and say so.
_READS = ("SELECT",)


def postgres_findings(
    plan: Plan, draft: Draft, name: str, replica: PostgresReplica, source: Catalog, found: Catalog
) -> Iterator[Finding]:
    """Everything about a Postgres replica that keeps the plan from being worked with."""
    root: Path_ = ("replicas", name)
    written = any(mapping.mode != "verify" for mapping in replica.tables.values())
    if written and not _may_create_in(found, replica.token_schema):
        yield _cannot_create(draft, (*root, "token_schema"), found, replica.token_schema)
    for table, mapping in replica.tables.items():
        path: Path_ = (*root, "tables", table)
        target = mapping.target(table, "postgres")
        if _is_source(source, found) and target in plan.tables:
            message = f"writes to {quoted(target)} of the source of truth itself: it is the same database"
            yield draft.finding("contradictory", path, message)
        shape = _shape(plan, source, table, mapping)
        if shape is not None and target in found.tables:
            ours = mapping.mode != "verify"
            yield from _shape_findings(draft, path, shape, source.tables[table], found.tables[target], ours=ours)
            yield from _privileges(draft, path, found, found.tables[target], _WRITES if ours else _READS)
            yield from _row_security(draft, path, found, found.tables[target])
            yield from _labels(draft, path, found.tables[target], source, found)
        elif target not in found.tables and mapping.mode == "verify":
            message = f"{target} is not in the replica: under mode verify whoever writes it creates it"
            yield draft.finding("missing", path, message)
        elif target not in found.tables and not _may_create_in(found, target.partition(".")[0]):
            yield _cannot_create(draft, path, found, target.partition(".")[0])
    yield from log_findings(plan, draft, name, replica, found)


def dynamo_findings(
    plan: Plan, draft: Draft, name: str, replica: DynamoReplica, source: Catalog,
    found: Mapping[str, DynamoInfo],
) -> Iterator[Finding]:  # fmt: skip
    """Keys that DynamoDB cannot have, or that a table has otherwise, and streams; `found`: the tables that exist."""
    for table, mapping in replica.tables.items():
        path: Path_ = ("replicas", name, "tables", table)
        target = mapping.target(table, "dynamodb")
        shape = _shape(plan, source, table, mapping)
        if shape is not None:
            yield from _dynamo_key(draft, path, shape, target, found[target].key if target in found else None)
        if target in found and mapping.validation.replica_log:
            yield from stream_findings(draft, (*path, "validation", "replica_log"), target, found[target].stream)


def _dynamo_key(
    draft: Draft, path: Path_, shape: Shape, target: str, found: tuple[KeyAttribute, ...] | None
) -> Iterator[Finding]:
    columns = [shape.source_columns[index] for index in shape.key_index]
    expected = tuple(zip(shape.target_key, (key_attribute(column.type) for column in columns), strict=True))
    for column in columns:
        if key_attribute(column.type) is None:
            message = f"the key column {quoted(column.name)} is a {column.type}, which no DynamoDB key can be"
            yield draft.finding("contradictory", path, f"{message}: keep this table in another kind of replica")
    if found not in (None, expected):
        wanted = listed(f"{name} ({kind})" for name, kind in expected)
        message = f"the table {target} has the key {listed(map(str, found or ()))}, but the plan's is {wanted}"
        yield draft.finding("contradictory", path, f"{message}: name another table, or let holdtrue create it")


def _shape(plan: Plan, source: Catalog, table: str, mapping: TableMapping) -> Shape | None:
    """The shape where it can be built; what keeps it from that is a finding about the source."""
    info = source.tables.get(table)
    try:
        return Shape.build(table, plan.tables[table].key, info.mapped_columns, mapping) if info else None
    except MappingError:
        return None


def _is_source(source: Catalog, found: Catalog) -> bool:
    one, other = source.database, found.database
    return bool(one.system_identifier) and (one.system_identifier, one.name) == (other.system_identifier, other.name)


def _may_create_in(found: Catalog, schema: str) -> bool:
    return found.database.schemas.get(schema, found.database.may_create)


def _cannot_create(draft: Draft, path: Path_, found: Catalog, schema: str) -> Finding:
    role, database = found.database.role, found.database.name
    place = f'SCHEMA "{schema}"' if schema in found.database.schemas else f'DATABASE "{database}"'
    message = f'the role {role} may not create in {schema}: run GRANT CREATE ON {place} TO "{role}"'
    return draft.finding("invalid", path, message)


def _privileges(
    draft: Draft, path: Path_, found: Catalog, target: TableInfo, needed: Sequence[str]
) -> Iterator[Finding]:
    lacking = [privilege for privilege in needed if privilege not in target.privileges]
    if lacking:
        role = found.database.role
        fix = f'run GRANT {", ".join(lacking)} ON {target.name} TO "{role}"'
        yield draft.finding("invalid", path, f"the role {role} lacks {listed(lacking)} on {target.name}: {fix}")


def _row_security(draft: Draft, path: Path_, found: Catalog, target: TableInfo) -> Iterator[Finding]:
    if target.row_security:
        fix = (
            f'run ALTER ROLE "{found.database.role}" BYPASSRLS, or ALTER TABLE {target.name} DISABLE ROW LEVEL SECURITY'
        )
        message = f"{target.name} has row security, which hides rows from this role and refuses its writes"
        yield draft.finding("invalid", path, f"{message}: {fix}")


def _shape_findings(
    draft: Draft, path: Path_, shape: Shape, source: TableInfo, target: TableInfo, *, ours: bool
) -> Iterator[Finding]:
    """ours: we write it, so that it must take every row."""
    if target.relkind not in ("r", "p"):
        yield draft.finding("contradictory", path, f"{target.name} in the replica is not a table")
        return
    for column, name in zip(shape.source_columns, shape.target_columns, strict=True):
        expected = source.column(column.name)
        assert expected is not None
        in_key = column.name in shape.key_columns
        for message in _column(target, name, expected, shape.loss_of(column), in_key=in_key, ours=ours):
            yield draft.finding("contradictory", (*path, "columns"), f"{target.name} in the replica {message}")
    for message in (*(_foreign_columns(target, shape) if ours else ()), *_target_key(target, shape)):
        yield draft.finding("contradictory", path, f"{target.name} in the replica {message}")


def _labels(draft: Draft, path: Path_, target: TableInfo, source: Catalog, found: Catalog) -> Iterator[Finding]:
    """Values that the enums of a replica's table lack, where the source has enums of the same names."""
    for name in sorted({column.type for column in target.columns if column.sort == "enum"}):
        known = found.database.enums.get(name, ())
        lacking = [label for label in source.database.enums.get(name, ()) if label not in known]
        if lacking:
            fix = "; ".join(f'ALTER TYPE "{name}" ADD VALUE {_literal(label)}' for label in lacking)
            yield draft.finding(
                "contradictory", path, f"the replica lacks values of the type {quoted(name)}: run {fix}"
            )


def _literal(label: str) -> str:
    return "'" + label.replace("'", "''") + "'"


def _column(
    target: TableInfo, name: str, expected: ColumnInfo, less: Loss | None, *, in_key: bool, ours: bool
) -> Iterator[str]:
    found, kept = target.column(name), f" ({less})" if less is not None else ""
    if found is None:
        yield f"has no column {quoted(name)}; expected is {expected.shown}"
    elif found.generated and ours:
        yield f"computes the column {quoted(name)} itself, so it cannot be written"
    elif found.numbered and ours:
        yield (
            f"numbers the column {quoted(name)} itself, so it cannot be written: run ALTER TABLE {target.name} ALTER "
            f"COLUMN {quoted(name)} SET GENERATED BY DEFAULT"
        )
    elif not takes(found.column, expected.column, less):
        yield f"has the column {quoted(name)} as {found.shown}; expected is {expected.shown}{kept}"
    elif expected.nullable and not found.nullable and not in_key and ours:
        yield f"has the column {quoted(name)} NOT NULL, but in the source of truth it may be NULL"


def _foreign_columns(target: TableInfo, shape: Shape) -> Iterator[str]:
    for column in target.columns:
        if column.name not in shape.target_columns and not (column.nullable or column.has_default or column.generated):
            yield f"has a column {quoted(column.name)} that needs a value the plan does not give"


def _target_key(target: TableInfo, shape: Shape) -> Iterator[str]:
    expected = listed(map(quoted, shape.target_key))
    if set(target.primary_key) != set(shape.target_key):
        found = listed(map(quoted, target.primary_key)) or "none"
        yield f"has the primary key {found}; expected is {expected}"
    elif target.key_deferrable:
        yield "has a deferrable primary key, which guarded writes cannot use: make it NOT DEFERRABLE"
