"""The replication slot of the connector, as the source of truth shows it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import psycopg

from streams.connectors.errors import SourceUnavailable, reason

# What Postgres calls a slot that cannot be used any more, ever.
LOST: Final = "lost"
_SLOT: Final = """
SELECT slot_name, plugin, active, restart_lsn::text, confirmed_flush_lsn::text, wal_status, safe_wal_size,
       pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint AS lag_bytes
  FROM pg_replication_slots
 WHERE slot_name = %s AND database = current_database()
"""


@dataclass(frozen=True, slots=True)
class Slot:
    """The replication slot as the SOT shows it; positions are text X/Y, sizes are bytes (None: not told)."""

    slot_name: str
    plugin: str
    active: bool
    restart_lsn: str | None
    confirmed_flush_lsn: str | None
    wal_status: str | None
    safe_wal_size: int | None
    lag_bytes: int | None

    @property
    def lost(self) -> bool:
        """Whether the server has removed log that it still needed."""
        return self.wal_status == LOST

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, as the command line prints them."""
        return asdict(self)


def slot(connection: psycopg.Connection[dict[str, Any]], name: str) -> Slot | None:
    """The slot `name` of this database, or None. Raises SourceUnavailable."""
    try:
        row = connection.execute(_SLOT, [name]).fetchone()
    except psycopg.Error as error:
        raise SourceUnavailable(f"The SOT did not show its slots: {reason(error)}.", "Try again.") from None
    return Slot(**row) if row else None


def drop_lost(connection: psycopg.Connection[dict[str, Any]], name: str) -> bool:
    """Drop the slot if it has lost its log; whether it was. Raises psycopg.Error."""
    found = slot(connection, name)
    if found is None or not found.lost:
        return False
    connection.execute("SELECT pg_drop_replication_slot(%s)", [name])
    return True
