"""The stream of a Postgres replica's own log.

Whoever streams holds the slot, so that there is one follower; it ends with its connection, however that ends. What is
not confirmed is sent again to the next one.
"""

from __future__ import annotations

import select
import struct
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.sql import SQL, Composed, Identifier, Literal

from streams.address import shown
from streams.replicas.log import LogLost, Read
from streams.replicas.postgres_errors import translated
from streams.replicas.postgres_log import Logged, LogReader
from streams.replicas.postgres_slot import LogSlot, connect
from streams.rows.canonical import SESSION

# The server gives up a follower that says nothing for a minute (wal_sender_timeout).
ALIVE_SECONDS: Final = 10.0
CONFIRM_SECONDS: Final = 1.0
WATCH_SECONDS: Final = 10.0
# What one read takes at most, so that what it found is handed on in time.
READ_SECONDS_MAX: Final = 0.5
_IN_USE = "55006"


class LogStream:
    """The log of one replica; for one thread. name: of slot and publication. `tables`: SOT table → as it is there."""

    def __init__(self, dsn: str, name: str, tables: Mapping[str, Logged], reader: LogReader) -> None:
        self._dsn = dsn
        self._tables = tuple(tables)
        self._reader = reader
        self._place = shown(dsn)
        self._slot = LogSlot(name, self._place, tables)
        self._plain: psycopg.Connection[Any] | None = None
        self._stream: psycopg.Connection[Any] | None = None
        self._confirmed = self._said = self._through = 0
        self._said_at = self._watched_at = 0.0
        # How much of its log the server keeps for the slot.
        self.behind_bytes = 0

    def open(self) -> Collection[str]:
        """Begin to follow; every table where the slot is new, so that nothing from before this moment will come.

        Raises LogTaken, Refused where it cannot be followed as things are, and StoreUnavailable.
        """
        try:
            with self._translating():
                self._plain = connect(self._dsn)
                is_new = self._slot.set_up(self._plain)
                self._stream = connect(self._dsn, streams=True)
                self._start(self._stream)
                return self._tables if is_new else ()
        except BaseException:
            self.close()
            raise

    def read(self, seconds: float) -> Read:
        """What comes within so many seconds; sooner where something has come. Raises LogLost, StoreUnavailable."""
        with self._translating():
            stream = self._opened()
            self._watch()
            self._say_alive(stream)
            if not self._drain(stream) and select.select([stream.pgconn.socket], [], [], seconds)[0]:
                stream.pgconn.consume_input()
                self._drain(stream)
            changes, self._reader.changes = self._reader.changes, 0
            return Read(self._reader.taken(), self._through, changes)

    def confirm(self, through: int) -> None:
        """Everything before is done with: it is not sent again, and the server may forget it."""
        self._confirmed = max(self._confirmed, through)

    def close(self) -> None:
        """Let another one follow. Harmless when called twice."""
        for connection in (self._stream, self._plain):
            if connection is not None:
                with suppress(psycopg.Error):
                    connection.close()
        self._stream = self._plain = None

    def _opened(self) -> psycopg.Connection[Any]:
        assert self._stream is not None, "open comes first"
        return self._stream

    def _start(self, stream: psycopg.Connection[Any]) -> None:
        for name, value in SESSION.items():
            _simple(stream, SQL("SET {} = {}").format(Identifier(name), Literal(value)))
        started = SQL(
            "START_REPLICATION SLOT {} LOGICAL 0/0 (proto_version '1', publication_names {}, messages 'true')"
        )
        result = stream.pgconn.exec_(
            started.format(Identifier(self._slot.name), Literal(self._slot.name)).as_bytes(stream)
        )
        if result.status == ExecStatus.COPY_BOTH:
            stream.pgconn.nonblocking = 1
            return
        state = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
        if state == _IN_USE:
            raise self._slot.taken()
        raise LogLost(
            f"The log of the Postgres replica at {self._place} cannot be followed now: {state or 'no answer'}.",
            "It is tried again; see the server's log if it goes on.",
        )

    def _drain(self, stream: psycopg.Connection[Any]) -> bool:
        """Take in what is there; whether there was anything."""
        until, came = time.monotonic() + READ_SECONDS_MAX, False
        while True:
            size, data = stream.pgconn.get_copy_data(1)
            if size < 0:
                raise self._ended(stream)
            if size == 0:
                return came
            came = True
            self._take(stream, bytes(data))
            if not self._reader.is_inside and time.monotonic() > until:
                return came

    def _take(self, stream: psycopg.Connection[Any], data: bytes) -> None:
        if data[:1] == b"w":
            self._reader.take(data[25:])
            self._through = max(self._through, self._reader.through)
        elif data[:1] == b"k":
            end, wants_answer = struct.unpack_from(">q8xB", data, 1)
            if not self._reader.is_inside:
                self._through = max(self._through, end)
            if wants_answer:
                self._say(stream)

    def _ended(self, stream: psycopg.Connection[Any]) -> LogLost:
        result = stream.pgconn.get_result()
        state = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode() if result is not None else ""
        return LogLost(
            f"The log of the Postgres replica at {self._place} is not sent any more: {state or 'the server ended it'}.",
            "It is followed again from where it was; see the server's log if that happens often.",
        )

    def _say_alive(self, stream: psycopg.Connection[Any]) -> None:
        since = time.monotonic() - self._said_at
        if since > ALIVE_SECONDS or (since > CONFIRM_SECONDS and self._confirmed > self._said):
            self._say(stream)

    def _say(self, stream: psycopg.Connection[Any]) -> None:
        self._said, self._said_at = self._confirmed, time.monotonic()
        status = struct.pack(">cqqqqB", b"r", self._confirmed, self._confirmed, self._confirmed, 0, 0)
        stream.pgconn.put_copy_data(status)
        stream.pgconn.flush()

    def _watch(self) -> None:
        """Is everything still published that is to be, and how much log is kept? Raises LogLost."""
        if time.monotonic() - self._watched_at < WATCH_SECONDS:
            return
        self._watched_at = time.monotonic()
        assert self._plain is not None, "open comes first"
        behind = self._slot.behind_bytes(self._plain)
        if behind is None:
            raise LogLost(
                f"Somebody has changed the slot or the publication {self._slot.name} in the replica at {self._place}.",
                "They are made anew; what was changed there meanwhile is left to the scrub.",
            )
        self.behind_bytes = behind

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise translated(error, self._place) from None


def _simple(stream: psycopg.Connection[Any], statement: Composed) -> None:
    """A statement to a walsender, which knows the simple protocol only."""
    stream.pgconn.exec_(statement.as_bytes(stream))
