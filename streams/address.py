"""Where a server is, as messages name it: never anything that may be a secret."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from streams.errors import StoreUnavailable

UNREADABLE = "the configured address"
# A password with an unescaped @, / or : moves into the parts beside it; what does not look like a host, a port and a
# name is not shown.
_HOST = re.compile(r"[A-Za-z0-9_.:%,/-]+")
_NAME = re.compile(r"[A-Za-z0-9_.$ -]*")
_PORT = re.compile(r"[0-9]{1,5}")


# What libpq says when it cannot connect (it gives no error code), as far as it is said again, and what helps.
_REASONS = {
    "password authentication failed": "Correct the user or the password in the DSN the plan refers to.",
    "no password supplied": "Put the password into the DSN the plan refers to.",
    "no pg_hba.conf entry": "Add an entry for this user and address to the server's pg_hba.conf.",
    "does not exist": "Correct database and role in the DSN, or create them.",
    "Connection refused": "Start the server, or correct host and port in the DSN.",
    "timeout expired": "Check host, port, network and firewall.",
    "failed to resolve host": "Correct the host in the DSN.",
    "could not translate host name": "Correct the host in the DSN.",
    "server closed the connection unexpectedly": "Look at the server's log, and whether the DSN names a Postgres.",
    "the database system is starting up": "Try again when it has started.",
    "too many clients already": "Raise max_connections, or have others connect less.",
}


def connection_reason(error: BaseException) -> str:
    """Why a connection could not be made, in words that are known: a driver's own text may repeat the DSN."""
    return _known(error) or type(error).__name__


def connection_hint(error: BaseException) -> str:
    """What to do about it."""
    return _REASONS.get(_known(error), "Check the DSN the plan refers to, and the server.")


def _known(error: BaseException) -> str:
    text = str(error)
    return next((known for known in _REASONS if known in text), "")


def require_readable(dsn: str, what: str) -> None:
    """Raises StoreUnavailable where `dsn`, that of `what`, is none. It is not repeated: it may be the password."""
    if not _readable(dsn):
        hint = (
            "It must be postgresql://user:password@host:port/database or key=value words; "
            "percent-encode the special characters of a password (@ as %40, % as %25)."
        )
        raise StoreUnavailable(f"The DSN of {what} cannot be read.", hint)


def _readable(dsn: str) -> bool:
    try:
        ports = str(conninfo_to_dict(dsn).get("port") or "").split(",")
    except psycopg.Error:
        return False
    # libpq takes any text for a port, and fails at it like at a server that is away.
    return all(not port or (_PORT.fullmatch(port) and 0 < int(port) < 65536) for port in ports)


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


def without_credentials(url: str) -> str:
    """`url` as it may be shown: user and password left out, and any query, which may hold a key."""
    try:
        parts = urlsplit(url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    except ValueError:
        return "an address that is not a URL"
