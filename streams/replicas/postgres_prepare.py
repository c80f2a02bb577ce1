"""Preparing a table of a Postgres replica: creates what is missing, refuses what cannot be written as the plan says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import psycopg

from streams.plan.losses import Loss
from streams.plan.mapping import Column, Shape
from streams.plan.modifiers import takes
from streams.plan.types import stored
from streams.replicas.base import Refused
from streams.replicas.postgres_sql import Statements
from streams.rows.types import BASE_TYPE

# One advisory lock for all preparing of all workers: CREATE … IF NOT EXISTS is not safe against itself.
LOCK: Final = "SELECT pg_advisory_xact_lock(7308613581302001)"
_TABLE = """
SELECT c.oid, c.relkind::text,
       (SELECT json_agg((SELECT json_agg(a.attname) FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(number, place)
                         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
                         WHERE k.place <= i.indnkeyatts))
        FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid
        AND i.indpred IS NULL AND i.indexprs IS NULL)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s
"""
_COLUMNS: Final = (
    "SELECT a.attname, b.typname, r.typmod, format_type(a.atttypid, a.atttypmod), a.attnotnull, "
    "a.atthasdef OR a.attidentity <> '', a.attgenerated <> '' "
    "FROM pg_attribute a" + BASE_TYPE + "WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped"
)
_MORE = "Change the table or its mapping in the plan; `holdtrue plan check --live` lists every difference."

Cursor = psycopg.Cursor[Any]


class Found(NamedTuple):
    """A column of a table that is there; shown: its type as SQL writes it."""

    name: str
    type: str
    modifier: int
    shown: str
    required: bool
    filled: bool
    generated: bool


def prepare(connection: psycopg.Connection[Any], shape: Shape, statements: Statements) -> None:
    """Creates or checks target and version table in one transaction. Raises Refused, and psycopg.Error."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(LOCK)
        _target(cursor, shape, statements)
        _versions(cursor, shape, statements)


def check(connection: psycopg.Connection[Any], shape: Shape, statements: Statements) -> None:
    """Checks a target that somebody else writes; creates nothing. Raises Refused, and psycopg.Error."""
    name = f"{statements.schema}.{statements.name}"
    with connection.transaction(), connection.cursor() as cursor:
        columns = _lookup(cursor, statements.schema, statements.name, shape.target_key)
        if columns is None:
            raise Refused(
                f"{name} is not in the replica, and under mode verify it is not created.",
                "Whoever writes it creates it; or let the plan say `mode: replicate`.",
            )
        _fits(name, columns, shape, written=False)


def _target(cursor: Cursor, shape: Shape, statements: Statements) -> None:
    name = f"{statements.schema}.{statements.name}"
    columns = _lookup(cursor, statements.schema, statements.name, shape.target_key)
    if columns is None:
        _run(cursor, statements.creations())
        return
    _fits(name, columns, shape)
    _refuse(name, _unfilled(columns, shape.target_columns))


def _fits(name: str, columns: dict[str, Found], shape: Shape, *, written: bool = True) -> None:
    pairs = list(zip(shape.source_columns, shape.target_columns, strict=True))
    expected = [(column._replace(name=target), shape.loss_of(column)) for column, target in pairs]
    missing = [column.name for column, target in pairs if target not in columns]
    _refuse(name, _differences(columns, expected, written=written), _without(missing) if missing else _MORE)


def _versions(cursor: Cursor, shape: Shape, statements: Statements) -> None:
    name = f"{statements.token_schema}.{statements.version_name}"
    columns = _lookup(cursor, statements.token_schema, statements.version_name, shape.target_key)
    if columns is None:
        _run(cursor, statements.version_creations())
        return
    keys = [shape.source_columns[index] for index in shape.key_index]
    expected = [column._replace(name=key) for column, key in zip(keys, shape.target_key, strict=True)]
    own = [Column(statements.token_column, "bytea"), Column(statements.dead_column, "timestamptz")]
    _refuse(name, _differences(columns, [(column, None) for column in (*expected, *own)]))


def _run(cursor: Cursor, statements: Iterable[psycopg.sql.Composed]) -> None:
    for statement in statements:
        cursor.execute(statement, ())


def _lookup(cursor: Cursor, schema: str, name: str, key: tuple[str, ...]) -> dict[str, Found] | None:
    """The columns of a table, None when it is missing. Raises Refused when it has no unique index on exactly `key`."""
    found = cursor.execute(_TABLE, (schema, name)).fetchone()
    if found is None:
        return None
    oid, kind, uniques = found
    if kind not in ("r", "p"):
        raise Refused(f"{schema}.{name} in the replica is not a table, so it cannot be written.", _MORE)
    if set(key) not in [set(columns) for columns in uniques or []]:
        raise Refused(
            f"{schema}.{name} in the replica has no unique index on exactly ({', '.join(key)}), the key in the plan.",
            f"Add a primary key on ({', '.join(key)}), not deferrable.",
        )
    return {row[0]: Found(*row) for row in cursor.execute(_COLUMNS, (oid,)).fetchall()}


def _differences(
    found: dict[str, Found], expected: Iterable[tuple[Column, Loss | None]], *, written: bool = True
) -> Iterator[str]:
    """`expected`: each column with what the mapping takes from its values. written: they are to be written by us."""
    for column, less in expected:
        there = found.get(column.name)
        if there is None:
            yield f"column {column.name}: expected {column.type}, found no such column"
        elif not takes(Column(there.name, there.type, modifier=there.modifier), column, less):
            other = there.type not in (column.type, stored(column.type))
            wanted = column.type if other else f"{column.type} that holds every value the mapping gives"
            yield f"column {column.name}: expected {wanted}, found {there.type if other else there.shown}"
        elif there.generated and written:
            yield f"column {column.name}: expected one that can be written, found a generated one"


def _unfilled(found: dict[str, Found], mapped: tuple[str, ...]) -> Iterator[str]:
    for column in found.values():
        if column.name not in mapped and column.required and not column.filled:
            yield f"column {column.name}: expected no such column, found {column.type} NOT NULL without a default"


def _without(missing: Sequence[str]) -> str:
    """A column that is added to a replica which is filled would be empty in the rows that are there."""
    return (
        f"Leave out what is new at the source (columns.omit: [{', '.join(missing)}]), or add it to this table where "
        "the replica begins anew (docs/operations.md, A column that is dropped); `holdtrue plan check --live` lists "
        "every difference."
    )


def _refuse(table: str, differences: Iterable[str], hint: str = _MORE) -> None:
    named = "; ".join(differences)
    if named:
        raise Refused(f"{table} in the replica has another shape than the plan: {named}.", hint)
