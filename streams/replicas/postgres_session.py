"""Connections to a Postgres replica: few, reused, with every wait bounded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock
from typing import Any

import psycopg

from streams.address import shown
from streams.errors import StoreUnavailable
from streams.replicas.postgres_errors import translated
from streams.rows.canonical import SESSION

CONNECTIONS_MAX = 8
WAIT_SECONDS_MAX = 60
CONNECT_SECONDS_MAX = 10
# A peer that vanished without closing is noticed after this, not after the kernel's two hours.
SILENT_MS_MAX = 30_000

_SETTINGS = {
    **SESSION,
    "statement_timeout": "120s",
    "lock_timeout": "15s",
    "idle_in_transaction_session_timeout": "120s",
    # The guard's proof needs every statement to see what was committed before it began (ADR 0002).
    "default_transaction_isolation": "read committed",
}
# Stricter levels that the database asks for are kept; only "off" would answer before a write is durable.
_DURABLE = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"


class Session:
    """One connection, in the canonical session, and the batch tables it has made so far."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.batches: set[str] = set()


class Sessions:
    """The connections of one replica, shared by its tables; safe for threads. Opened when first needed."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.place = shown(dsn)
        self._slots = BoundedSemaphore(CONNECTIONS_MAX)
        self._lock = Lock()
        self._idle: list[Session] = []
        self._users = 0

    def enter(self) -> None:
        """One more table uses these connections."""
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        """One table fewer; after the last one every connection is closed."""
        with self._lock:
            self._users -= 1
            idle, self._idle = (self._idle, []) if self._users <= 0 else ([], self._idle)
        for session in idle:
            session.connection.close()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A connection for one piece of work. Raises StoreUnavailable or Refused for every error of Postgres in it."""
        if not self._slots.acquire(timeout=WAIT_SECONDS_MAX):
            raise StoreUnavailable(
                f"All {CONNECTIONS_MAX} connections to the Postgres replica at {self.place} are busy.",
                "Look for statements that hang there; work goes on when one ends.",
            )
        try:
            with self._translating():
                session = self._take()
                try:
                    yield session
                except psycopg.Error:
                    # Its batch tables may describe a table that has changed since: the next one starts afresh.
                    session.connection.close()
                    raise
                finally:
                    self._give_back(session)
        finally:
            self._slots.release()

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise translated(error, self.place) from None

    def _take(self) -> Session:
        with self._lock:
            while self._idle:
                session = self._idle.pop()
                if not session.connection.closed:
                    return session
        return Session(self._connect())

    def _give_back(self, session: Session) -> None:
        with self._lock:
            if self._users > 0 and not session.connection.closed:
                self._idle.append(session)
                return
        session.connection.close()

    def _connect(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(
            self._dsn,
            autocommit=True,
            application_name="holdtrue",
            connect_timeout=CONNECT_SECONDS_MAX,
            client_encoding="UTF8",
            tcp_user_timeout=SILENT_MS_MAX,
        )
        try:
            for name, value in _SETTINGS.items():
                connection.execute("SELECT set_config(%s, %s, false)", (name, value))
            connection.execute(_DURABLE)
        except psycopg.Error:
            connection.close()
            raise
        return connection
