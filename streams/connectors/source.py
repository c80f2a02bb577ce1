"""What the connector needs in the source of truth: its address, the signal table, the publication, and its slot.

The publication is made here, in SQL, and not by Debezium: adding a table to a publication needs its owner, which a
replication user seldom is, and what is published should change when somebody asks for it, not when a task starts.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from streams.address import require_readable, shown
from streams.connectors.errors import SourceNotSuitable, SourceUnavailable, reason
from streams.connectors.parts import Published, look
from streams.connectors.render import Endpoints, as_regex
from streams.connectors.slot import drop_lost, slot
from streams.errors import UsageError
from streams.plan.model import Plan

CONNECT_SECONDS: Final = 10
STATEMENT_MS: Final = 30_000
# Filters and column lists of publications, which must be seen to be refused, came with 15.
SERVER_VERSION_MIN: Final = 150_000
# Enough for any signal; Debezium's own example is 2,048, which a long list of conditions exceeds.
SIGNAL_COLUMNS: Final[LiteralString] = "id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data text"

_TABLES: Final = """
SELECT n.nspname || '.' || c.relname AS name, c.oid::bigint AS oid,
       r.prqual IS NOT NULL OR r.prattrs IS NOT NULL AS partial
  FROM pg_publication p
  JOIN pg_publication_rel r ON r.prpubid = p.oid
  JOIN pg_class c ON c.oid = r.prrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE p.pubname = %s
"""
_PUBLICATION: Final = """
SELECT puballtables OR EXISTS (SELECT FROM pg_publication_namespace s WHERE s.pnpubid = p.oid) AS open,
       pubinsert AND pubupdate AND pubdelete AND pubtruncate AND pubviaroot AS whole
  FROM pg_publication p
 WHERE pubname = %s
"""
# By what the server says (SQLSTATE) while it is prepared.
_HINTS: Final = {
    "42501": "The user of source.dsn needs CREATE on the database, REPLICATION, and to own the plan's tables "
    "(or let their owner run `holdtrue connectors apply` once); `holdtrue plan check --live` names what is missing.",
    "42P01": "Correct the plan's tables, or create it: `holdtrue plan check --live` names every one that is not there.",
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `prepare` did: names of tables newly published and no longer published, and what was made.

    asked: those of the added whose rows the connector was asked to copy; one without a slot copies all of its own.
    slot_dropped: the slot had lost its log; the connector would wait for it, and makes another one.
    """

    signal_table_created: bool
    publication_created: bool
    added: tuple[str, ...]
    removed: tuple[str, ...]
    asked: tuple[str, ...] = ()
    slot_dropped: bool = False


def endpoints_of(dsn: str, converter_url: str, password: str = "") -> Endpoints:
    """The connector's endpoints from a DSN. `password` replaces the DSN's: a reference that Connect itself resolves.

    Raises UsageError, without the DSN, when it is none or does not say where the database is.
    """
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}
    except psycopg.ProgrammingError:
        raise UsageError("source.dsn does not hold a Postgres DSN.", "Write it as postgresql://user@host/db.") from None
    missing = [name for name in ("host", "dbname", "user") if not parts.get(name)]
    if missing or parts["host"].startswith("/"):
        lacking = f"lacks {', '.join(missing)}" if missing else "names a socket folder"
        raise UsageError(
            f"source.dsn {lacking}: Kafka Connect reaches the SOT over TCP.", "Name host, user and dbname."
        )
    return Endpoints(
        host=parts["host"],
        port=parts.get("port", "5432"),
        user=parts["user"],
        password=password or parts.get("password", ""),
        database=parts["dbname"],
        converter_url=converter_url,
        sslmode=parts.get("sslmode", ""),
    )


def connect(dsn: str) -> psycopg.Connection[dict[str, Any]]:
    """A connection to the SOT with bounded waits. Raises SourceUnavailable, which names host and database only."""
    require_readable(dsn, "the source of truth")
    try:
        return psycopg.connect(
            dsn,
            autocommit=True,
            row_factory=dict_row,
            connect_timeout=CONNECT_SECONDS,
            application_name="holdtrue-connectors",
            options=f"-c statement_timeout={STATEMENT_MS} -c lock_timeout={STATEMENT_MS} -c quote_all_identifiers=off",
        )
    except psycopg.Error as error:
        raise SourceUnavailable(
            f"The source of truth at {shown(dsn)} did not answer: {reason(error)}.",
            "Check that it runs, that source.dsn in the plan names it, and that the password is right.",
        ) from None


def unpublished(connection: psycopg.Connection[dict[str, Any]], plan: Plan) -> tuple[str, ...]:
    """Tables of the plan that a connector with a slot has not been told all of: they are not published, or in part.

    While `prepare` publishes them it must not run: it would read the request to copy their rows and not know them.
    Raises SourceUnavailable.
    """
    if slot(connection, plan.source.slot) is None:
        return ()
    whole = published(connection, plan).tables
    return tuple(table for table in plan.tables if table not in whole)


def published(connection: psycopg.Connection[dict[str, Any]], plan: Plan) -> Published:
    """Tables of the plan whose every change is published; one made anew has another oid. Raises SourceUnavailable."""
    try:
        state = connection.execute(_PUBLICATION, [plan.source.publication]).fetchone()
        rows = connection.execute(_TABLES, [plan.source.publication]).fetchall()
        found = look(connection, plan.tables)
    except psycopg.Error as error:
        raise SourceUnavailable(f"The SOT did not show what it publishes: {reason(error)}.", "Try again.") from None
    # A publication that leaves out kinds of changes publishes no table whole.
    whole = {row["name"]: row["oid"] for row in rows if state and state["whole"] and not row["partial"]}
    return Published({name: whole[name] for name in plan.tables if name in whole.keys() - found.unlogged}, found.parts)


def prepare(connection: psycopg.Connection[dict[str, Any]], plan: Plan) -> Prepared:
    """Make the signal table, and the publication exactly the plan's tables and the signal table, in one transaction.

    The same transaction asks the connector that has read the others to copy the rows of tables that come to them: the
    request is in the log right behind what publishes them, and cannot be forgotten between the two.
    Raises SourceNotSuitable when the server, a table or the user's rights do not allow it; nothing is left half done.
    """
    try:
        with connection.transaction():
            _check_server(connection)
            dropped = drop_lost(connection, plan.source.slot)
            _check_log(connection, plan)
            asked = unpublished(connection, plan)
            signal = _signal_table(connection, plan.source.signal_table)
            created, added, removed = _publication(connection, plan)
            if asked:
                _ask_for_rows(connection, plan.source.signal_table, asked)
    except psycopg.Error as error:
        raise SourceNotSuitable(
            f"The SOT could not be prepared: {reason(error)}.",
            _HINTS.get(error.sqlstate or "", "`holdtrue plan check --live` says whether the plan fits the SOT."),
        ) from None
    return Prepared(signal, created, added, removed, asked, dropped)


def _check_server(connection: psycopg.Connection[dict[str, Any]]) -> None:
    if connection.info.server_version < SERVER_VERSION_MIN:
        raise SourceNotSuitable(
            f"The SOT runs Postgres {connection.info.server_version // 10_000}; 15 or newer is needed.",
            "Upgrade the server.",
        )
    row = connection.execute("SELECT current_setting('wal_level') AS level").fetchone()
    assert row is not None
    if row["level"] != "logical":
        raise SourceNotSuitable(
            f"The SOT has wal_level={row['level']}: changes cannot be decoded.",
            "Set wal_level=logical in postgresql.conf and restart the server.",
        )


def _check_log(connection: psycopg.Connection[dict[str, Any]], plan: Plan) -> None:
    if outside := look(connection, plan.tables).unlogged:
        raise SourceNotSuitable(
            f"Not every change of {', '.join(sorted(outside))} is in the log under its whole key.",
            "`holdtrue plan check --live` says why, of which partition, and what to do.",
        )


def _signal_table(connection: psycopg.Connection[dict[str, Any]], name: str) -> bool:
    schema, _, table = name.partition(".")
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL AS there", [_quoted(name).as_string()]).fetchone()
    if row is not None and row["there"]:
        return False
    found = connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", [schema]).fetchone()
    if found is None:
        # IF NOT EXISTS would want the right to create schemas even where there is nothing to create.
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(schema, table), sql.SQL(SIGNAL_COLUMNS)))
    return True


def _ask_for_rows(connection: psycopg.Connection[dict[str, Any]], signals: str, tables: Sequence[str]) -> None:
    """An incremental snapshot: rows are read in chunks between the changes, which go on."""
    asked = json.dumps({"type": "incremental", "data-collections": [as_regex(table) for table in tables]})
    statement = sql.SQL("INSERT INTO {} (id, type, data) VALUES (%s, 'execute-snapshot', %s)").format(_quoted(signals))
    connection.execute(statement, [f"holdtrue-{uuid.uuid4()}", asked])


def _publication(
    connection: psycopg.Connection[dict[str, Any]], plan: Plan
) -> tuple[bool, tuple[str, ...], tuple[str, ...]]:
    name, wanted = plan.source.publication, [*plan.tables, plan.source.signal_table]
    state = connection.execute(_PUBLICATION, [name]).fetchone()
    if state is None:
        _publish("CREATE", connection, name, wanted)
        return True, tuple(wanted), ()
    if state["open"]:
        raise SourceNotSuitable(
            f"The publication {name} publishes whole schemas or all tables, so it cannot be filtered to the plan's.",
            "Name another publication in source.publication, or drop this one.",
        )
    rows = {row["name"]: row["partial"] for row in connection.execute(_TABLES, [name])}
    if set(rows) != set(wanted) or any(rows.values()) or not state["whole"]:
        _publish("ALTER", connection, name, wanted)
    added = tuple(table for table in wanted if table not in rows)
    return False, added, tuple(sorted(set(rows) - set(wanted)))


def _publish(verb: LiteralString, connection: psycopg.Connection[dict[str, Any]], name: str, tables: list[str]) -> None:
    listed = sql.SQL(", ").join(_quoted(table) for table in tables)
    # Changes of a partition arrive under the table the plan names, which is the partitioned one.
    options = sql.SQL("publish = 'insert, update, delete, truncate', publish_via_partition_root = true")
    identifier = sql.Identifier(name)
    if verb == "CREATE":
        create = sql.SQL("CREATE PUBLICATION {} FOR TABLE {} WITH ({})").format(identifier, listed, options)
        connection.execute(create)
        return
    connection.execute(sql.SQL("ALTER PUBLICATION {} SET TABLE {}").format(identifier, listed))
    connection.execute(sql.SQL("ALTER PUBLICATION {} SET ({})").format(identifier, options))


def _quoted(name: str) -> sql.Identifier:
    return sql.Identifier(*name.split(".", 1))
