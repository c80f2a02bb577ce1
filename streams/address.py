"""Where a Postgres is, as messages name it: host, port and database, never anything that may be a secret."""

from __future__ import annotations

import re

import psycopg
from psycopg.conninfo import conninfo_to_dict

UNREADABLE = "the configured address"
# A password with an unescaped @, / or : moves into the parts beside it; what does not look like a host, a port and a
# name is not shown.
_HOST = re.compile(r"[A-Za-z0-9_.:%,/-]+")
_NAME = re.compile(r"[A-Za-z0-9_.$ -]*")


# What libpq says when it cannot connect, as far as it is said again.
_REASONS = (
    "password authentication failed",
    "Connection refused",
    "timeout expired",
    "does not exist",
    "failed to resolve host",
    "could not translate host name",
    "no pg_hba.conf entry",
    "server closed the connection unexpectedly",
    "the database system is starting up",
    "too many clients already",
)


def connection_reason(error: BaseException) -> str:
    """Why a connection could not be made, in words that are known: a driver's own text may repeat the DSN."""
    text = str(error)
    return next((known for known in _REASONS if known in text), type(error).__name__)


def shown(dsn: str) -> str:
    """`host:port/database` of a DSN, or UNREADABLE where it cannot be told for sure."""
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.Error:
        return UNREADABLE
    host = str(parts.get("host") or "localhost")
    port = str(parts.get("port") or 5432)
    name = str(parts.get("dbname") or "")
    looks_right = _HOST.fullmatch(host) and re.fullmatch(r"[0-9,]+", port) and _NAME.fullmatch(name)
    if not looks_right or (not host.startswith("/") and "/" in host) or dsn.count("@") > 1:
        return f"{UNREADABLE} (percent-encode @ / : in its user and password)"
    return f"{host}:{port}/{name}"
