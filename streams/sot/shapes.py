"""The shapes of a replica's tables, from the plan and the SOT's catalog."""

from __future__ import annotations

from collections.abc import Collection

from streams.errors import HoldtrueError
from streams.plan.catalog import TableInfo
from streams.plan.mapping import Shape
from streams.plan.model import Plan
from streams.plan.types import askable, refusal
from streams.sot.catalog import connected, read_tables


class NoSuchTable(HoldtrueError):
    """A table of the plan is not in the SOT."""


class NotCarried(HoldtrueError):
    """A mapped column has a type that does not arrive exactly."""


def read_shapes(plan: Plan, replica: str, tables: Collection[str] | None = None) -> dict[str, Shape]:
    """Table → shape, of these tables (None: all of the replica's).

    Raises NoSuchTable, NotCarried, MappingError, and what connecting raises.
    """
    mapped = plan.replicas[replica].tables
    mappings = {table: mapping for table, mapping in mapped.items() if tables is None or table in tables}
    with connected(plan.source.dsn.resolve(), "the source of truth") as connection:
        found = read_tables(connection, list(mappings))
    shapes = {}
    for table, mapping in mappings.items():
        if table not in found:
            raise NoSuchTable(f"The SOT has no table {table}.", "Run `holdtrue plan check --live`.")
        columns = found[table].mapped_columns
        shapes[table] = Shape.build(table, plan.tables[table].key, columns, mapping)
        _refuse(shapes[table], found[table])
    return shapes


def _refuse(shape: Shape, table: TableInfo) -> None:
    read = {column.name for column in shape.read_columns}
    for column in table.columns:
        if column.name not in read or (column.name in shape.asked and askable(column.type, column.sort)):
            continue
        if (reason := refusal(column.type, column.sort)) is not None:
            raise NotCarried(
                f"The column {column.name} of {table.name} has the type {column.shown}, which is not carried by "
                f"itself, because {reason}.",
                "Run `holdtrue plan check --live`, which says what can be done about it.",
            )
