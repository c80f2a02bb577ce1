"""Partitions of the plan's tables, as far as the log does not tell of them.

A partition that is attached brings rows that are in no log under its root; one that is detached, dropped or truncated
alone takes rows away without a record. What the catalog shows of it is read here, without a lock on any of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import psycopg

from streams.drift.continuity import Part, Parts

# Attaching and detaching rewrite the row of every column in the catalog. One that is inherited and stands as it was
# written with those of the system columns, which nothing rewrites, says that the table was born as this partition.
_PARTS: Final = """
WITH RECURSIVE tree AS (
    SELECT n.nspname || '.' || c.relname AS name, c.oid AS part, '' AS since
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'p' AND n.nspname || '.' || c.relname = ANY(%s)
    UNION ALL
    SELECT tree.name, h.inhrelid, h.xmin::text
      FROM tree JOIN pg_inherits h ON h.inhparent = tree.part AND NOT h.inhdetachpending
)
SELECT tree.name, tree.part::text, tree.since, c.relfilenode::text AS file,
       c.relpersistence = 'p' AND c.relkind <> 'f' AS logged,
       EXISTS (SELECT FROM pg_attribute a JOIN pg_attribute s ON s.attrelid = a.attrelid AND s.attnum = -1
                WHERE a.attrelid = tree.part AND a.attnum > 0 AND a.attinhcount > 0
                  AND a.xmin = s.xmin AND a.cmin = s.cmin AND a.xmax = '0') AS born
  FROM tree JOIN pg_class c ON c.oid = tree.part
"""


class Published(NamedTuple):
    """Tables of a plan whose every change is published, with their oid; and the partitions of those that have any."""

    tables: dict[str, int]
    parts: dict[str, dict[str, Part]]


def parts(connection: psycopg.Connection[dict[str, Any]], tables: Iterable[str]) -> dict[str, dict[str, Part]]:
    """The partitions, by oid and at every depth, of those tables that are partitioned. Raises psycopg.Error."""
    found: dict[str, dict[str, Part]] = {}
    for row in connection.execute(_PARTS, [list(tables)]):
        of, oid = found.setdefault(row.pop("name"), {}), row.pop("part")
        if row["since"]:
            of[oid] = Part(**row)
    return found


def unlogged(found: Parts) -> set[str]:
    """Tables with a partition whose changes are not in the log."""
    return {table for table, of in found.items() if not all(part.logged for part in of.values())}
