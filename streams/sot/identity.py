"""Which log the source of truth writes, and how far."""

from __future__ import annotations

from typing import NamedTuple

import psycopg

from streams.sot.connection import connect, unavailable

# Any role may call these (seen on Postgres 15 and 18); the timeline of the last checkpoint would lag after a promotion.
_IDENTITY = """
SELECT (pg_control_system()).system_identifier::text,
       ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint,
       pg_current_wal_insert_lsn() - '0/0'
"""


class Identity(NamedTuple):
    """system: identifier of the cluster. timeline, lsn: of the end of its log."""

    system: str
    timeline: int
    lsn: int


def identity(dsn: str, *, application: str) -> Identity:
    """Asked now. Raises SotUnavailable, also for a standby that is not promoted (yet)."""
    try:
        with connect(dsn, application=application) as connection:
            row = connection.execute(_IDENTITY).fetchone()
    except psycopg.OperationalError as error:
        raise unavailable(dsn, error) from None
    assert row is not None
    return Identity(str(row[0]), int(str(row[1])), int(str(row[2])))
