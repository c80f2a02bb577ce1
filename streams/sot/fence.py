"""The fence: everything the SOT had committed at this moment is in Kafka (design, Validation).

A logical message goes into the log in its own transaction. Seeing it in Kafka would prove nothing about other
partitions; the slot's `confirmed_flush_lsn` passing it does: Debezium confirms only what Kafka has acknowledged.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import psycopg

from streams.errors import NotReady
from streams.sot.connection import connect, unavailable

POLL_SECONDS = 0.02
MESSAGE_PREFIX = "holdtrue"


class _Seen(NamedTuple):
    """The slot at one moment: whether it has confirmed a position, and whether anybody reads it."""

    confirmed: bool
    read: bool


class Unread(NotReady):
    """Nobody reads the slot, so that no fence can pass."""


@dataclass(frozen=True, slots=True)
class Fence:
    """Emits and awaits fences through one slot."""

    dsn: str
    slot: str
    application: str

    def passed(self, deadline: float) -> str:
        """Put a fence into the log now and wait until the slot has confirmed it; its position as `X/Y` text.

        deadline: of `time.monotonic()`. Raises NotReady when it is not passed by then (Unread where nobody reads the
        slot), SotUnavailable when the SOT cannot be asked.
        """
        with self._connected() as connection:
            position = _emit_twice(connection)
            self._wait(connection, position, deadline)
            return position

    def emitted(self) -> str:
        """Put a fence into the log now, for `confirmed_by` to wait for; its position. Raises SotUnavailable."""
        with self._connected() as connection:
            return _emit_twice(connection)

    def confirmed_by(self, position: str, deadline: float) -> None:
        """Wait until the slot has confirmed an emitted fence; raises as `passed` does."""
        with self._connected() as connection:
            self._wait(connection, position, deadline)

    def confirmed(self) -> str | None:
        """The position that the slot has confirmed by now: Kafka has everything before it. None: nobody reads it."""
        with self._connected() as connection:
            row = connection.execute(
                "SELECT confirmed_flush_lsn::text, active FROM pg_replication_slots WHERE slot_name = %s", (self.slot,)
            ).fetchone()
        return str(row[0]) if row is not None and row[0] is not None and row[1] else None

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
        try:
            with connect(self.dsn, application=self.application) as connection:
                yield connection
        except psycopg.OperationalError as error:
            raise unavailable(self.dsn, error) from None

    def _wait(self, connection: psycopg.Connection[tuple[object, ...]], position: str, deadline: float) -> None:
        while not (seen := self._seen(connection, position)).confirmed:
            if time.monotonic() > deadline:
                raise self._late(position, read=seen.read)
            time.sleep(POLL_SECONDS)

    def _late(self, position: str, *, read: bool) -> NotReady:
        if read:
            return NotReady(
                f"The slot {self.slot} has not confirmed {position} in time.",
                "See `holdtrue connectors status`: is the connector running, is Kafka taking its records?",
            )
        return Unread(
            f"Nobody reads the slot {self.slot}: what the source of truth commits does not reach Kafka.",
            "Start Kafka Connect, or its connector: `holdtrue connectors status` says what is wrong.",
        )

    def _seen(self, connection: psycopg.Connection[tuple[object, ...]], position: str) -> _Seen:
        row = connection.execute(
            "SELECT confirmed_flush_lsn >= %s::pg_lsn, active FROM pg_replication_slots WHERE slot_name = %s",
            (position, self.slot),
        ).fetchone()
        if row is None:
            raise NotReady(
                f"The source of truth has no replication slot {self.slot}.", "Run `holdtrue connectors apply`."
            )
        return _Seen(bool(row[0]), bool(row[1]))


def mark(dsn: str, application: str) -> int:
    """Put a message into the log, in a transaction of its own, and wait for nothing.

    The SOT's clock just before, in ms since 1970: once Kafka has a message of this moment or a later one, what was
    committed before has been sent. Raises SotUnavailable.
    """
    try:
        with connect(dsn, application=application) as connection:
            row = connection.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()
            _emit(connection)
    except psycopg.Error as error:
        raise unavailable(dsn, error) from None
    assert row is not None
    return milliseconds(Decimal(str(row[0])))


def milliseconds(seconds: Decimal) -> int:
    """Cut off, not rounded: so does Debezium with the time of a commit, which would come before a rounded mark."""
    return int(seconds * 1000)


def _emit_twice(connection: psycopg.Connection[tuple[object, ...]]) -> str:
    position = _emit(connection)
    # The slot passes a position only when the connector flushes after a later record: give it one, or the fence waits
    # for the next heartbeat (measured: 0.14-0.65 s instead of 0.65-1.26 s).
    _emit(connection)
    return position


def _emit(connection: psycopg.Connection[tuple[object, ...]]) -> str:
    row = connection.execute("SELECT pg_logical_emit_message(true, %s, 'fence')::text", (MESSAGE_PREFIX,)).fetchone()
    assert row is not None
    return str(row[0])
