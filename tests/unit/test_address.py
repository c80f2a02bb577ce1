"""What messages say of a DSN."""

from __future__ import annotations

import pytest

from streams.address import UNREADABLE, require_readable, shown
from streams.errors import StoreUnavailable


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        ("postgresql://u:secret@db.example.com:6000/shop", "db.example.com:6000/shop"),
        ("host=10.0.0.1 dbname=shop password=secret", "10.0.0.1:5432/shop"),
        ("postgresql:///shop", "localhost:5432/shop"),
        ("host=/run/postgresql dbname=shop", "/run/postgresql:5432/shop"),
    ],
)
def test_a_dsn_is_named_by_host_port_and_database(dsn: str, said: str) -> None:
    """Enough to find the server."""
    assert shown(dsn) == said


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://postgres:S3CRET@Y3CRET@127.0.0.1:16301/sot",
        "postgresql://postgres:S3CRET/Y3CRET@127.0.0.1:16301/sot",
        "postgresql://postgres:S3CRET:Y3CRET@127.0.0.1/sot",
        "postgresql://postgres:S3CRET#Y3CRET@127.0.0.1/sot",
        "postgresql://postgres:S3CRET?Y3CRET@127.0.0.1/sot",
        "postgresql://postgres:S3CRET%Y3CRET@127.0.0.1/sot",
        "S3CRET Y3CRET",
    ],
)
def test_a_password_that_was_not_escaped_is_never_shown(dsn: str) -> None:
    """A common mistake must not put the password into logs."""
    assert "3CRET" not in shown(dsn)


@pytest.mark.parametrize("dsn", ["S3CRET", "%zz", "postgresql://h:99999/shop", "postgresql://h:S3CRET/shop", "port=0"])
def test_a_dsn_that_cannot_be_read_is_told_and_not_shown(dsn: str) -> None:
    """A port that none can be is one of them: libpq would fail at it as at a server that is away."""
    with pytest.raises(StoreUnavailable, match="The DSN of the control database cannot be read") as caught:
        require_readable(dsn, "the control database")
    assert "postgresql://user:password@host:port/database" in str(caught.value)
    assert "percent-encode" in str(caught.value)
    assert "3CRET" not in str(caught.value)


@pytest.mark.parametrize("dsn", ["postgresql://a,b:5433/shop", "postgresql://a:1,b:2/shop", "dbname=shop", "port=5432"])
def test_a_dsn_that_can_be_read(dsn: str) -> None:
    """Ports can be left out, or be several."""
    require_readable(dsn, "the control database")
    assert shown(dsn) != UNREADABLE
