from __future__ import annotations

import pytest

from streams.connectors.source import endpoints_of
from streams.errors import UsageError


def test_endpoints_come_from_the_dsn() -> None:
    """Host, port, user, password, database and TLS mode are taken apart; the port has Postgres' default."""
    found = endpoints_of("postgresql://me:geheim@db.example/sot?sslmode=verify-full", "http://r")
    assert (found.host, found.port, found.user, found.password) == ("db.example", "5432", "me", "geheim")
    assert (found.database, found.sslmode, found.converter_url) == ("sot", "verify-full", "http://r")


def test_password_reference_replaces_the_password() -> None:
    """A reference that Connect resolves itself is sent instead of the password."""
    assert endpoints_of("postgresql://me:geheim@db/sot", "", "${env:SOT}").password == "${env:SOT}"


@pytest.mark.parametrize(
    ("dsn", "says"),
    [
        ("postgresql://me:geheim@/sot", "lacks host"),
        ("host=/tmp user=me password=geheim dbname=sot", "socket"),
        ("postgresql://:geheim@db", "lacks dbname, user"),
        ("geheim geheim", "does not hold a Postgres DSN"),
    ],
)
def test_dsn_that_connect_cannot_use_is_refused_without_showing_it(dsn: str, says: str) -> None:
    """The error says what is missing and never contains the password."""
    with pytest.raises(UsageError, match=says) as caught:
        endpoints_of(dsn, "http://r")
    assert "geheim" not in str(caught.value)
