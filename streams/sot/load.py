"""How busy the source of truth is, by its own view of who is at work there."""

from __future__ import annotations

from typing import Final, NamedTuple

import psycopg

from streams.sot.connection import connect, unavailable

# What we ask ourselves is not what we give way to. Who may not see what others do sees their sessions without a state.
_LOAD: Final = """
SELECT count(*) FILTER (WHERE state = 'active' AND application_name NOT LIKE 'holdtrue%'),
       count(*) FILTER (WHERE state IS NULL),
       current_setting('max_connections')::int
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


class Load(NamedTuple):
    """active: statements of others that run at this moment. hidden: sessions of which that is not to be seen.

    connections_max: how many sessions the server takes.
    """

    active: int
    hidden: int
    connections_max: int


def load(dsn: str, *, application: str) -> Load:
    """Asked now. Raises SotUnavailable."""
    try:
        with connect(dsn, application=application) as connection:
            row = connection.execute(_LOAD).fetchone()
    except psycopg.Error as error:
        raise unavailable(dsn, error) from None
    assert row is not None
    return Load(*(int(str(value)) for value in row))
