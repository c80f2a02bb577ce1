"""Tables and partitions of a plan, as far as the log does not tell of them.

A partition that is attached brings rows that are in no log under its root; one that is detached, dropped or truncated
alone takes rows away without a record. An unlogged one is not in the log at all, and a replica identity without the
primary key says of a deleted row anything but its key. What the catalog shows of it is read here, without a lock.
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
     WHERE n.nspname || '.' || c.relname = ANY(%s)
    UNION ALL
    SELECT tree.name, h.inhrelid, h.xmin::text
      FROM tree JOIN pg_inherits h ON h.inhparent = tree.part AND NOT h.inhdetachpending
)
SELECT tree.name, tree.part::text, tree.since, c.relfilenode::text AS file,
       c.relkind = 'p' AS divided, c.relkind = 'p' OR c.relkind = 'r' AND c.relpersistence = 'p' AND NOT EXISTS (
           SELECT FROM pg_index i JOIN pg_index k ON k.indrelid = i.indrelid AND k.indisprimary
            WHERE i.indrelid = c.oid AND i.indisreplident AND c.relreplident = 'i'
              AND NOT (k.indkey::int2[])[:k.indnkeyatts - 1] <@ (i.indkey::int2[])[:i.indnkeyatts - 1]) AS logged,
       EXISTS (SELECT FROM pg_attribute a JOIN pg_attribute s ON s.attrelid = a.attrelid AND s.attnum = -1
                WHERE a.attrelid = tree.part AND a.attnum > 0 AND a.attinhcount > 0
                  AND a.xmin = s.xmin AND a.cmin = s.cmin AND a.xmax = '0') AS born
  FROM tree JOIN pg_class c ON c.oid = tree.part
"""


class Published(NamedTuple):
    """Tables of a plan whose every change is published, with their oid; and the partitions of those that have any."""

    tables: dict[str, int]
    parts: Parts


class Look(NamedTuple):
    """Partitions of the partitioned tables, at every depth, by oid.

    unlogged: tables of which, or of a partition of which, not every change is in the log under its whole key.
    """

    parts: dict[str, dict[str, Part]]
    unlogged: set[str]


def look(connection: psycopg.Connection[dict[str, Any]], tables: Iterable[str]) -> Look:
    """At those of the tables that are there. Raises psycopg.Error."""
    found = Look({}, set())
    for row in connection.execute(_PARTS, [list(tables)]):
        name, oid, divided = row.pop("name"), row.pop("part"), row.pop("divided")
        part = Part(**row)
        if not part.logged:
            found.unlogged.add(name)
        # Rows come in any order: a partition's before its root's, too.
        if part.since:
            found.parts.setdefault(name, {})[oid] = part
        elif divided:
            found.parts.setdefault(name, {})
    return found
