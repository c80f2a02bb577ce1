"""Slot and publication in a Postgres replica whose own log is followed: made, looked after, removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, LiteralString

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from streams.address import shown
from streams.replicas.base import Refused
from streams.replicas.log import LogTaken
from streams.replicas.postgres_errors import translated
from streams.replicas.postgres_log import Logged
from streams.replicas.postgres_prepare import LOCK
from streams.replicas.postgres_session import CONNECT_SECONDS_MAX, SILENT_MS_MAX

# A slot is made when every transaction that is in progress has ended.
STATEMENT_TIMEOUT: Final = "30s"
# Whoever waits for the lock of a table has its writers wait behind.
LOCK_TIMEOUT: Final = "2s"
# What Postgres calls a slot that cannot be used any more, ever.
LOST: Final = "lost"
_EXISTS, _MISSING = "42710", "42704"

_SERVER: LiteralString = (
    "SELECT current_setting('wal_level'), current_setting('max_slot_wal_keep_size'), pg_is_in_recovery()"
)
_SLOT: LiteralString = """
SELECT active, coalesce(plugin, '') = 'pgoutput' AND database = current_database(), coalesce(wal_status, ''),
       pg_wal_lsn_diff(pg_current_wal_insert_lsn(), confirmed_flush_lsn)::bigint
FROM pg_replication_slots WHERE slot_name = %s
"""
# Those of which everything is published.
_PUBLISHED: LiteralString = """
SELECT n.nspname, c.relname FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.pubname = %s AND r.prqual IS NULL AND r.prattrs IS NULL
AND p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AND NOT p.puballtables
"""
# Whether changes of a table are in the log, and by which columns they say whose they are.
_TABLE: LiteralString = """
SELECT c.relkind::text, c.relpersistence = 'p', c.relreplident::text,
       ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid
             AND a.attnum = ANY((i.indkey::int2[])[0:i.indnkeyatts - 1])
             WHERE i.indrelid = c.oid AND i.indimmediate
             AND CASE c.relreplident WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s
"""


class LogSlot:
    """Slot and publication of one name, for these tables. Methods raise psycopg.Error beside what they name."""

    def __init__(self, name: str, place: str, tables: Mapping[str, Logged]) -> None:
        self.name = name
        self.place = place
        self._tables = list(tables.values())

    def set_up(self, connection: psycopg.Connection[Any]) -> bool:
        """Have both as they must be; whether the slot is new, so that it saw nothing of what was before.

        Raises LogTaken, and Refused where the log cannot be followed as things are.
        """
        found = connection.execute(_SLOT, [self.name]).fetchone()
        if found is not None and found[0]:
            raise self.taken()
        self._require(connection)
        with connection.transaction():
            connection.execute(LOCK)
            has_changed = self._publish(connection)
        if found is not None and (has_changed or found[2] == LOST or not found[1]):
            drop_slot(connection, self.name)
            found = None
        if found is None:
            self._make(connection)
        return found is None

    def behind_bytes(self, connection: psycopg.Connection[Any]) -> int | None:
        """How much log is kept for the slot; None where somebody has changed slot or publication."""
        found = connection.execute(_SLOT, [self.name]).fetchone()
        if found is None or not self._is_published(connection):
            return None
        return found[3] or 0

    def taken(self) -> LogTaken:
        """That another one has the slot."""
        return LogTaken(f"Another worker follows the log of the replica at {self.place}.", "This one stands by.")

    def _require(self, connection: psycopg.Connection[Any]) -> None:
        """Raises Refused where the log has not what it takes, or the slot could fill the disk."""
        level, bound, is_standby = _one(connection, _SERVER)
        if level != "logical" or is_standby:
            raise Refused(
                f"The log of the Postgres replica at {self.place} cannot be followed: "
                f"{'it is a standby' if is_standby else f'its wal_level is {level}'}.",
                "Name the primary, set wal_level = logical there and restart it; or take validation.replica_log out.",
            )
        if bound == "-1":
            raise Refused(
                f"A slot on the Postgres replica at {self.place} could fill its disk: max_slot_wal_keep_size is -1.",
                "Set max_slot_wal_keep_size there, such as to 10GB, and reload; or take validation.replica_log out.",
            )
        for logged in self._tables:
            self._require_table(connection, logged)

    def _require_table(self, connection: psycopg.Connection[Any], logged: Logged) -> None:
        why = _unfit(_one(connection, _TABLE, *logged.target), logged)
        if why:
            raise Refused(
                f"The log of {'.'.join(logged.target)} in the replica at {self.place} cannot be followed: {why}.",
                "See `holdtrue plan check --live`, or take validation.replica_log of the table out.",
            )

    def _publish(self, connection: psycopg.Connection[Any]) -> bool:
        """Whether anything had to be changed: then the log before this moment may lack something."""
        if self._is_published(connection):
            return False
        for logged in self._tables:
            # Old tokens tell whether a new one is larger.
            connection.execute(SQL("ALTER TABLE {} REPLICA IDENTITY FULL").format(Identifier(*logged.versions)))
        for statement in self._publication(connection):
            connection.execute(statement)
        return True

    def _is_published(self, connection: psycopg.Connection[Any]) -> bool:
        wanted = {name for logged in self._tables for name in (logged.target, logged.versions)}
        if set(connection.execute(_PUBLISHED, [self.name]).fetchall()) != wanted:
            return False
        return all(_one(connection, _TABLE, *logged.versions)[2] == "f" for logged in self._tables)

    def _publication(self, connection: psycopg.Connection[Any]) -> Iterator[Composed]:
        names = sorted(name for logged in self._tables for name in (logged.target, logged.versions))
        publication, tables = Identifier(self.name), SQL(", ").join(Identifier(*name) for name in names)
        if connection.execute("SELECT FROM pg_publication WHERE pubname = %s", [self.name]).fetchone() is None:
            yield SQL("CREATE PUBLICATION {} FOR TABLE {}").format(publication, tables)
            return
        yield SQL("ALTER PUBLICATION {} SET TABLE {}").format(publication, tables)
        yield SQL("ALTER PUBLICATION {} SET (publish = 'insert, update, delete, truncate')").format(publication)

    def _make(self, connection: psycopg.Connection[Any]) -> None:
        try:
            connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [self.name])
        except psycopg.Error as error:
            if error.sqlstate != _EXISTS:
                raise
            raise self.taken() from None


def connect(dsn: str, *, streams: bool = False) -> psycopg.Connection[Any]:
    """A connection for following; `streams`: one that can send the log, and knows simple statements only."""
    more = {"replication": "database"} if streams else {}
    connection: psycopg.Connection[Any] = psycopg.connect(
        psycopg.conninfo.make_conninfo(dsn, **more), autocommit=True, application_name="holdtrue log",
        connect_timeout=CONNECT_SECONDS_MAX, client_encoding="UTF8", tcp_user_timeout=SILENT_MS_MAX,
    )  # fmt: skip
    for setting, value in () if streams else (("statement_timeout", STATEMENT_TIMEOUT), ("lock_timeout", LOCK_TIMEOUT)):
        connection.execute("SELECT set_config(%s, %s, false)", [setting, value])
    return connection


def drop_log(dsn: str, name: str) -> bool:
    """Remove slot and publication of a replica whose log is not followed any more; whether there was a slot.

    One that somebody reads at this moment is left. Raises Refused, StoreUnavailable.
    """
    try:
        with connect(dsn) as connection:
            found = connection.execute(_SLOT, [name]).fetchone()
            if found is None or found[0]:
                return False
            drop_slot(connection, name)
            connection.execute(SQL("DROP PUBLICATION IF EXISTS {}").format(Identifier(name)))
            return True
    except psycopg.Error as error:
        raise translated(error, shown(dsn)) from None


def is_read(dsn: str, name: str) -> bool:
    """Whether somebody reads the slot at this moment. Raises Refused, StoreUnavailable."""
    try:
        with connect(dsn) as connection:
            found = connection.execute(_SLOT, [name]).fetchone()
            return found is not None and bool(found[0])
    except psycopg.Error as error:
        raise translated(error, shown(dsn)) from None


def drop_slot(connection: psycopg.Connection[Any], name: str) -> None:
    """Drop the slot if it is there. Raises psycopg.Error."""
    try:
        connection.execute("SELECT pg_drop_replication_slot(%s)", [name])
    except psycopg.Error as error:
        if error.sqlstate != _MISSING:
            raise


def _unfit(found: tuple[Any, ...], logged: Logged) -> str:
    kind, is_logged, identity, columns = found
    if kind != "r":
        return "it is partitioned" if kind == "p" else "it is no table"
    if not is_logged:
        return "it is unlogged"
    names_key = identity == "f" or set(logged.shape.target_key) <= set(columns)
    return "" if names_key else "its replica identity does not name the key"


def _one(connection: psycopg.Connection[Any], query: LiteralString, *values: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(query, values).fetchone()
    return row if row is not None else (None, None, None, ())
