"""The control database: one connection, bounded waits, errors that name no secret, and its schema."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from streams.address import connection_reason, require_readable, shown
from streams.control.queries import migrations, query
from streams.errors import HoldtrueError, StoreUnavailable

CONNECT_SECONDS: Final = 10
STATEMENT_MS: Final = 60_000
LOCK_MS: Final = 30_000

Row = dict[str, Any]
Connection = psycopg.Connection[Row]


class ControlUnavailable(StoreUnavailable):
    """The control database could not be reached or did not answer in time."""


class ControlRefused(HoldtrueError):
    """The control database refused a statement: rights, or a schema that is not ours."""


class Database:
    """The control database at a DSN. Safe to share between threads; one transaction at a time.

    Every call raises ControlUnavailable (trying again later may work) or ControlRefused.
    """

    def __init__(self, dsn: str, *, application: str) -> None:
        self._dsn = dsn
        self._application = application
        self._connection: Connection | None = None
        self._lock = threading.RLock()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction: committed when the block ends, rolled back when it raises. Connects when needed."""
        with self._lock:
            try:
                connection = self._open()
                with connection.transaction():
                    yield connection
            except psycopg.Error as error:
                raise self._named(error) from None

    def rows(self, name: str, values: Mapping[str, Any] | None = None) -> list[Row]:
        """All rows of the named statement."""
        with self.transaction() as connection:
            return connection.execute(query(name), values).fetchall()

    def has_schema(self) -> bool:
        """False where no control worker has ever started."""
        return bool(self.rows("has_schema")[0]["there"])

    def migrate(self, plan: str) -> int:
        """Bring the schema up to this version, for the plan with this name; the version it has then.

        Several processes may do so at once. Raises ControlRefused for the database of another plan or of a newer
        version.
        """
        with self.transaction() as connection:
            connection.execute(query("lock_migration"))
            connection.execute(query("create_meta"))
            found = connection.execute(query("schema_version")).fetchone()
            version = self._checked(found, plan)
            for number, step in enumerate(migrations()[version:], start=version + 1):
                connection.execute(step)
                connection.execute(query("add_version"), {"version": number, "plan": plan})
        return len(migrations())

    def require_plan(self, plan: str) -> None:
        """Raises ControlRefused for the database of another plan or version; `has_schema` must be true."""
        rows = self.rows("schema_version")
        if (version := self._checked(rows[0] if rows else None, plan)) < len(migrations()):
            raise ControlRefused(
                f"The control database at {shown(self._dsn)} has version {version}, older than this holdtrue.",
                "Start control of this version, which brings it up to date: holdtrue worker --control",
            )

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> Connection:
        if self._connection is None or self._connection.closed:
            require_readable(self._dsn, "the control database")
            self._connection = psycopg.connect(
                self._dsn,
                row_factory=dict_row,
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                application_name=self._application,
                options=f"-c statement_timeout={STATEMENT_MS} -c lock_timeout={LOCK_MS} -c timezone=UTC "
                "-c client_min_messages=warning",
            )
        return self._connection

    def _checked(self, found: Row | None, plan: str) -> int:
        if found is None:
            return 0
        if found["plan"] != plan:
            raise ControlRefused(
                f"The control database at {shown(self._dsn)} belongs to the plan {found['plan']}, not to {plan}.",
                "Give each plan a database of its own in control.dsn.",
            )
        if found["version"] > len(migrations()):
            raise ControlRefused(
                f"The control database at {shown(self._dsn)} has version {found['version']}, newer than this holdtrue.",
                "Upgrade holdtrue, or restore the database of this version.",
            )
        return int(found["version"])

    def _named(self, error: psycopg.Error) -> HoldtrueError:
        lost = self._connection is None or self._connection.closed
        if lost or isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            return ControlUnavailable(
                f"The control database at {shown(self._dsn)} did not answer: {_reason(error)}.",
                "Check that it runs, that control.dsn in the plan names it, and that the password is right.",
            )
        return ControlRefused(
            f"The control database at {shown(self._dsn)} refused a statement: {_reason(error)}.",
            "A value does not fit; this is a fault of holdtrue or of what was asked for."
            if isinstance(error, psycopg.DataError)
            else "The user of control.dsn needs CREATE on that database and must own the schema holdtrue.",
        )


def kept_by(connection: Connection) -> str | None:
    """The plan whose control database this is, where its table is there; None if this role may not read it."""
    try:
        found = connection.execute(query("schema_version")).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return None
    return None if found is None else str(found["plan"])


def _reason(error: psycopg.Error) -> str:
    # A server's primary message names objects, never values. Without a server there is only a text that may repeat
    # the DSN, so that known phrases are looked for instead.
    if error.diag.message_primary:
        return error.diag.message_primary.rstrip(".")
    return connection_reason(error)
