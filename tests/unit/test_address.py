"""What messages say of a DSN."""

from __future__ import annotations

import pytest

from streams.address import shown


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
