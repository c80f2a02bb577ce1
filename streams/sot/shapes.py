"""The shapes of a replica's tables, from the plan and the SOT's catalog."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from streams.errors import HoldtrueError
from streams.plan.catalog import TableInfo
from streams.plan.mapping import MappingError, Shape
from streams.plan.model import Plan, TableMapping
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
    shapes, unfit = find_shapes(plan, replica, tables)
    for error in unfit.values():
        raise error
    return shapes


def find_shapes(
    plan: Plan, replica: str, tables: Collection[str] | None = None
) -> tuple[dict[str, Shape], dict[str, HoldtrueError]]:
    """Table → shape, and table → why it has none: NoSuchTable, NotCarried or MappingError.

    Raises what connecting raises.
    """
    mapped = plan.replicas[replica].tables
    mappings = {table: mapping for table, mapping in mapped.items() if tables is None or table in tables}
    with connected(plan.source.dsn.resolve(), "the source of truth") as connection:
        found = read_tables(connection, list(mappings))
    shapes: dict[str, Shape] = {}
    unfit: dict[str, HoldtrueError] = {}
    for table, mapping in mappings.items():
        try:
            shapes[table] = _shape(table, plan.tables[table].key, found.get(table), mapping)
        except (NoSuchTable, NotCarried, MappingError) as error:
            unfit[table] = error
    return shapes, unfit


def _shape(table: str, key: Sequence[str], found: TableInfo | None, mapping: TableMapping) -> Shape:
    if found is None:
        raise NoSuchTable(f"The SOT has no table {table}.", "Run `holdtrue plan check --live`.")
    shape = Shape.build(table, key, found.mapped_columns, mapping)
    _refuse(shape, found)
    return shape


def _refuse(shape: Shape, table: TableInfo) -> None:
    read = {column.name for column in shape.read_columns}
    for column in table.columns:
        if column.name not in read or (column.name in shape.asked and askable(column.type, column.sort, column.held)):
            continue
        if (reason := refusal(column.type, column.sort)) is not None:
            raise NotCarried(
                f"The column {column.name} of {table.name} has the type {column.shown}, which is not carried by "
                f"itself, because {reason}.",
                "Run `holdtrue plan check --live`, which says what can be done about it.",
            )
