"""The shapes of a replica's tables, from the plan and the SOT's catalog."""

from __future__ import annotations

from streams.errors import HoldtrueError
from streams.plan.mapping import Shape
from streams.plan.model import Plan
from streams.sot.catalog import connected, read_tables


class NoSuchTable(HoldtrueError):
    """A table of the plan is not in the SOT."""


def read_shapes(plan: Plan, replica: str) -> dict[str, Shape]:
    """Table → shape. Raises NoSuchTable, MappingError, and what connecting raises."""
    mappings = plan.replicas[replica].tables
    with connected(plan.source.dsn.resolve(), "the source of truth") as connection:
        found = read_tables(connection, list(mappings))
    shapes = {}
    for table, mapping in mappings.items():
        if table not in found:
            raise NoSuchTable(f"The SOT has no table {table}.", "Run `holdtrue plan check --live`.")
        columns = found[table].mapped_columns
        shapes[table] = Shape.build(table, plan.tables[table].key, columns, mapping)
    return shapes
