"""Connections to the SOT, in the session whose text output is canonical."""

from __future__ import annotations

import psycopg

from streams.address import connection_reason, require_readable, shown
from streams.errors import HoldtrueError, StoreUnavailable
from streams.rows.canonical import SESSION

CONNECT_SECONDS = 10
STATEMENT_SECONDS = 300
# A scan's snapshot stays open while a run waits for its fence, which is longer than one round may take.
IDLE_SECONDS = 180


class SotChanged(HoldtrueError):
    """The SOT's table is not what it was when the worker began, or may not be read any more."""


class SotUnavailable(StoreUnavailable):
    """The SOT could not be reached or did not answer in time."""


def connect(dsn: str, *, application: str) -> psycopg.Connection[tuple[object, ...]]:
    """A connection in the canonical session; raises SotUnavailable, which names host and database, never a password."""
    settings = {
        **SESSION,
        "statement_timeout": f"{STATEMENT_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
    }
    require_readable(dsn, "the source of truth")
    try:
        connection = psycopg.connect(
            dsn, connect_timeout=CONNECT_SECONDS, application_name=application, autocommit=True
        )
        # One round trip for all of them: a fence connects anew each time.
        calls = ", ".join(["set_config(%s, %s, false)"] * len(settings))
        connection.execute(f"SELECT {calls}".encode(), [word for setting in settings.items() for word in setting])
    except psycopg.OperationalError as error:
        raise unavailable(dsn, error) from None
    return connection


def unavailable(dsn: str, error: BaseException) -> SotUnavailable:
    """The same failure, said without anything secret: drivers like to repeat the DSN."""
    return SotUnavailable(
        f"The source of truth at {shown(dsn)} did not answer: {_reason(error)}.",
        "Check that it runs, that source.dsn in the plan names it, and that the password is right.",
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, psycopg.Error) and error.sqlstate:
        return f"{type(error).__name__} (SQLSTATE {error.sqlstate})"
    return connection_reason(error)
