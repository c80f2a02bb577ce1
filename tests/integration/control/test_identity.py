"""Who may ask which log the source writes."""

from __future__ import annotations

import psycopg
import pytest

from streams.errors import StoreUnavailable
from streams.sot.identity import identity
from tests.support.postgres_server import cluster


def test_any_role_may_ask_for_the_identity_of_the_source(server: str) -> None:
    """No right has to be granted; the position is the log's end, and goes on with it."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE ROLE plain LOGIN")
        before = identity(server.replace("holdtrue:unused", "plain"), application="tests")
        connection.execute("SELECT pg_logical_emit_message(true, 'tests', 'on')")
    after = identity(server.replace("holdtrue:unused", "plain"), application="tests")
    assert (after.system, after.timeline) == (before.system, before.timeline)
    assert after.timeline == 1
    assert after.lsn > before.lsn


def test_a_promoted_standby_is_on_the_next_timeline_at_once() -> None:
    """A standby tells nothing; once promoted it is another log of the same cluster, before any checkpoint."""
    with cluster(shared_buffers="32MB") as primary, cluster(shared_buffers="32MB") as standby:
        primary.initialise()
        primary.start()
        first = identity(primary.dsn, application="tests")
        standby.copy_of(primary, "-R")
        standby.start()
        with pytest.raises(StoreUnavailable):
            identity(standby.dsn, application="tests")
        with psycopg.connect(standby.dsn, autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")
        second = identity(standby.dsn, application="tests")
        assert (second.system, second.timeline) == (first.system, first.timeline + 1)
