"""Reads what a Postgres database says about itself: server, role, tables, columns, keys, privileges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row

from streams.address import connection_hint, connection_reason, require_readable, shown
from streams.errors import StoreUnavailable
from streams.plan.catalog import Catalog, ColumnInfo, DatabaseInfo, PartInfo, PublicationInfo, SlotInfo, TableInfo
from streams.rows.types import BASE_TYPE

__all__ = ["Catalog", "ColumnInfo", "DatabaseInfo", "SlotInfo", "TableInfo", "connected", "read_catalog", "read_tables"]

CONNECT_SECONDS: Final = 5
STATEMENT_TIMEOUT: Final = "15s"

_DATABASE: Final = """
SELECT current_database() AS name, current_user AS role, current_setting('wal_level') AS wal_level,
       r.rolsuper AS is_superuser, r.rolreplication AS may_replicate,
       has_database_privilege(current_database(), 'CREATE') AS may_create,
       current_setting('max_replication_slots')::int AS slots_max,
       current_setting('server_version_num')::int AS version,
       coalesce(current_setting('max_slot_wal_keep_size', true), '-1') <> '-1' AS slots_bounded
FROM pg_roles r WHERE r.rolname = current_user
"""
# Execution of pg_control_system may be withheld; then two DSNs are only compared as text.
_IDENTIFIER: Final = """
SELECT CASE WHEN has_function_privilege('pg_control_system()', 'EXECUTE')
            THEN (SELECT system_identifier::text FROM pg_control_system()) ELSE '' END AS identifier
"""
_SLOTS: Final = """
SELECT slot_name AS name, coalesce(plugin, '') AS plugin, coalesce(database, '') AS database, active
FROM pg_replication_slots
"""
_PUBLICATIONS: Final = """
SELECT p.pubname AS name, pg_has_role(p.pubowner, 'USAGE') AS is_owner,
       ARRAY(SELECT t.schemaname || '.' || t.tablename FROM pg_publication_tables t
             WHERE t.pubname = p.pubname) AS tables
FROM pg_publication p
"""
_SCHEMAS: Final = """
SELECT nspname AS name,
       has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, 'USAGE') AS may_create
FROM pg_namespace
"""
_ENUMS: Final = """
SELECT t.typname AS name, array_agg(e.enumlabel::text ORDER BY e.enumsortorder) AS labels
FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid WHERE pg_type_is_visible(t.oid) GROUP BY t.oid, t.typname
"""
_TABLES: Final = """
SELECT c.oid, n.nspname || '.' || c.relname AS name, c.relkind::text, row_security_active(c.oid) AS row_security,
       pg_has_role(c.relowner, 'USAGE') AS is_owner,
       ARRAY(SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
             WHERE has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, p)) AS privileges,
       ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place)
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
             WHERE k.place <= i.indnkeyatts ORDER BY k.place) AS primary_key,
       coalesce(NOT i.indimmediate, false) AS key_deferrable,
       ARRAY(SELECT p.nspname || '.' || a.relname FROM pg_partition_ancestors(c.oid) t
             JOIN pg_class a ON a.oid = t.relid JOIN pg_namespace p ON p.oid = a.relnamespace
             WHERE t.relid <> c.oid) AS ancestors,
       ARRAY(SELECT p.nspname || '.' || h.relname FROM pg_inherits t
             JOIN pg_class h ON h.oid = t.inhrelid JOIN pg_namespace p ON p.oid = h.relnamespace
             WHERE t.inhparent = c.oid AND NOT h.relispartition ORDER BY 1) AS heirs
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE n.nspname || '.' || c.relname = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""
# Of each table what holds its rows: itself, or its partitions at every depth. They alone have an identity in the log.
_PARTS: Final = """
SELECT w.oid AS table_oid, n.nspname || '.' || c.relname AS name, c.relkind::text, c.relpersistence = 'p' AS logged,
       c.relreplident::text AS replica_identity,
       ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid
             AND a.attnum = ANY((i.indkey::int2[])[0:i.indnkeyatts - 1])
             WHERE i.indrelid = c.oid AND i.indisreplident ORDER BY 1) AS identity_columns
FROM unnest(%s::oid[]) w(oid)
CROSS JOIN LATERAL (SELECT relid FROM pg_partition_tree(w.oid) WHERE isleaf UNION SELECT w.oid) t
JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind <> 'p'
ORDER BY 1, 2
"""
_COLUMNS: Final = (
    """
SELECT a.attrelid AS table_oid, a.attname AS name, b.typname AS type, r.typmod, NOT a.attnotnull AS nullable,
       format_type(a.atttypid, a.atttypmod) AS shown, a.attgenerated <> '' AS generated,
       a.atthasdef OR a.attidentity <> '' AS has_default,
       CASE WHEN b.typtype = 'e' THEN CASE a.atttypid WHEN b.oid THEN 'enum' ELSE 'domain over enum' END
            WHEN b.typcategory = 'A' THEN 'array' WHEN b.typtype = 'c' THEN 'composite'
            WHEN b.typtype = 'm' THEN 'multirange' ELSE '' END AS sort,
       a.attidentity = 'a' AS numbered, held.types AS held
FROM pg_attribute a"""
    + BASE_TYPE
    + """
CROSS JOIN LATERAL (
    WITH RECURSIVE part AS (
        SELECT b.oid
        UNION
        SELECT inner_type.oid FROM part JOIN pg_type t ON t.oid = part.oid CROSS JOIN LATERAL (
            SELECT t.typelem WHERE t.typcategory = 'A'
            UNION ALL SELECT t.typbasetype WHERE t.typtype = 'd'
            UNION ALL SELECT f.atttypid FROM pg_attribute f
                      WHERE t.typtype = 'c' AND f.attrelid = t.typrelid AND f.attnum > 0 AND NOT f.attisdropped
            UNION ALL SELECT g.rngsubtype FROM pg_range g WHERE t.oid IN (g.rngtypid, g.rngmultitypid)
        ) AS inner_type (oid)
    )
    SELECT coalesce(array_agg(t.typname::text ORDER BY t.typname), '{}') AS types
    FROM part JOIN pg_type t ON t.oid = part.oid
    WHERE t.typtype = 'b' AND t.typcategory <> 'A'
) AS held
WHERE a.attrelid = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""
)
# Debezium 3.6.3 reads the values of everything in the category of enums when it starts, and fails where there are none.
_UNREADABLE_ENUMS: Final = """
SELECT format_type(t.oid, NULL) AS name FROM pg_type t
WHERE t.typcategory = 'E' AND t.typtype IN ('e', 'd') AND NOT EXISTS (SELECT FROM pg_enum e WHERE e.enumtypid = t.oid)
ORDER BY 1
"""


_EXISTING: LiteralString = """
SELECT n.nspname || '.' || c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname || '.' || c.relname = ANY(%s)
"""


@contextmanager
def connected(dsn: str, what: str) -> Iterator[psycopg.Connection[DictRow]]:
    """A read-only session on `dsn`; `what` names the database in errors. Raises StoreUnavailable without the DSN."""
    require_readable(dsn, what)
    where = shown(dsn)
    try:
        connection = psycopg.connect(dsn, connect_timeout=CONNECT_SECONDS, autocommit=True, row_factory=dict_row)
    except psycopg.Error as error:
        raise _refused(error, what, where) from None
    with connection:
        # The session's default: psycopg's own read_only acts only on transactions it begins itself.
        connection.execute("SET default_transaction_read_only = on")
        connection.execute("SELECT set_config('statement_timeout', %s, false)", (STATEMENT_TIMEOUT,))
        # Types are known by their names as they are, whatever the database is set to.
        connection.execute("SET quote_all_identifiers = off")
        try:
            yield connection
        except psycopg.OperationalError as error:
            reason = type(error).__name__
            raise StoreUnavailable(f"{what} at {where} did not answer: {reason}.", "Try again.") from None
        except psycopg.errors.InsufficientPrivilege as error:
            # The server's sentence names an object, never a value.
            hint = "Give the role of the DSN the right to read it, in that database."
            raise StoreUnavailable(f"{what} at {where} refuses: {error.diag.message_primary}.", hint) from None


def read_catalog(connection: psycopg.Connection[DictRow], tables: Iterable[str]) -> Catalog:
    """The database, and those of `tables` (`schema.table`) that exist in it."""
    return Catalog(_database(connection), read_tables(connection, tables))


def read_tables(connection: psycopg.Connection[DictRow], tables: Iterable[str]) -> dict[str, TableInfo]:
    """Those of `tables` (`schema.table`, exact case) that exist, with columns in the table's order."""
    found = connection.execute(_TABLES, (list(tables),)).fetchall()
    oids = [row["oid"] for row in found]
    columns, parts = _by_table(connection, _COLUMNS, oids), _by_table(connection, _PARTS, oids)
    return {row["name"]: _table(row, columns[row["oid"]], parts[row["oid"]]) for row in found}


def _by_table(
    connection: psycopg.Connection[DictRow], query: LiteralString, oids: list[int]
) -> dict[int, list[dict[str, Any]]]:
    rows: dict[int, list[dict[str, Any]]] = {oid: [] for oid in oids}
    for row in connection.execute(query, (oids,)):
        rows[row.pop("table_oid")].append(row)
    return rows


def existing(connection: psycopg.Connection[DictRow], tables: Iterable[str]) -> set[str]:
    """Those of `tables` that are there, whoever may read them."""
    return {row["name"] for row in connection.execute(_EXISTING, [list(tables)])}


def not_empty(connection: psycopg.Connection[DictRow], tables: Iterable[str]) -> set[str]:
    """Those of `tables` that are not seen to be empty: they have a row, or may not be read, or are not there."""
    return {table for table in tables if not _empty(connection, table)}


def _empty(connection: psycopg.Connection[DictRow], table: str) -> bool:
    query = sql.SQL("SELECT NOT EXISTS (SELECT FROM {}) AS empty").format(sql.Identifier(*table.split(".", 1)))
    try:
        row = connection.execute(query).fetchone()
    except (psycopg.ProgrammingError, psycopg.errors.QueryCanceled):
        return False  # not there, not ours to read, or locked
    return bool(row and row["empty"])


def _table(row: dict[str, Any], columns: list[dict[str, Any]], parts: list[dict[str, Any]]) -> TableInfo:
    known = {name: value for name, value in row.items() if name != "oid"}
    known["privileges"] = frozenset(row["privileges"])
    for name in ("primary_key", "ancestors", "heirs"):
        known[name] = tuple(row[name])
    for part in parts:
        part["identity_columns"] = tuple(part["identity_columns"])
    known["columns"] = tuple(ColumnInfo(**{**column, "held": tuple(column["held"])}) for column in columns)
    return TableInfo(**known, parts=tuple(PartInfo(**part) for part in parts))


def _database(connection: psycopg.Connection[DictRow]) -> DatabaseInfo:
    row = connection.execute(_DATABASE).fetchone()
    identifier = connection.execute(_IDENTIFIER).fetchone()
    assert row is not None
    assert identifier is not None
    return DatabaseInfo(
        **row,
        system_identifier=identifier["identifier"],
        slots={slot.pop("name"): SlotInfo(**slot) for slot in connection.execute(_SLOTS)},
        publications={
            row["name"]: PublicationInfo(row["is_owner"], frozenset(row["tables"]))
            for row in connection.execute(_PUBLICATIONS)
        },
        enums={enum["name"]: tuple(enum["labels"]) for enum in connection.execute(_ENUMS)},
        unreadable_enums=tuple(_names(connection, _UNREADABLE_ENUMS)),
        schemas={schema["name"]: schema["may_create"] for schema in connection.execute(_SCHEMAS)},
    )


def _names(connection: psycopg.Connection[DictRow], query: LiteralString) -> list[str]:
    return [row["name"] for row in connection.execute(query)]


def _refused(error: psycopg.Error, what: str, where: str) -> StoreUnavailable:
    return StoreUnavailable(f"{what} at {where} cannot be reached: {connection_reason(error)}.", connection_hint(error))
