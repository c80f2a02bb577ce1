"""The two Postgres servers: the source of truth, and the one that holds the replica and the control database."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from streams.local import account, packages
from streams.local.process import Account, Command, await_left
from streams.local.service import REQUEST_SECONDS, Service, UnhealthyError
from streams.local.site import Site

USER = "postgres"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_connections": 100,
    "max_replication_slots": 20,
    "max_wal_senders": 20,
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "log_line_prefix": "%m [%p] ",
}


# How long children of a killed server may take to notice; a server that starts too early says why it ended.
LEFTOVER_SECONDS = 15.0


class Postgres(Service):
    """A Postgres with logical decoding, on TCP with a password only."""

    databases: ClassVar[tuple[str, ...]]
    settings: ClassVar[dict[str, str]] = {}
    # SIGTERM would wait for every client to leave; SIGINT disconnects them, SIGQUIT leaves recovery to the next start.
    signals = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._account = account.for_postgres()

    def endpoint(self) -> str:
        """Host and port."""
        return self.site.address(self.name)

    def dsn(self, database: str) -> str:
        """A URL with the password in it: never for a message."""
        return f"postgresql://{USER}:{quote(self.site.password)}@{self.site.address(self.name)}/{database}"

    @property
    def _data(self) -> Path:
        return self.site.data / self.name / "pgdata"

    def prepare(self) -> None:
        """Create the database cluster, beside its place and then renamed, so that half a cluster is never started."""
        home = self.site.home(self.name)
        if self._account is not None:
            account.open_path(packages.postgres_bin() / "postgres")
            account.open_path(home / "pgdata")
            os.chown(home, self._account.uid, self._account.gid)
        self._await_leftovers()
        if not (self._data / "PG_VERSION").exists():
            fresh = home / "pgdata.new"
            shutil.rmtree(fresh, ignore_errors=True)
            self._initialise(fresh)
            fresh.rename(self._data)

    def _await_leftovers(self) -> None:
        """After a kill, the server's children end a moment later; until then a new server refuses to start.

        Each has a session of its own; what they share is that they work in the data folder.
        """
        await_left(self._data.resolve(), LEFTOVER_SECONDS)

    def _initialise(self, folder: Path) -> None:
        handle, name = tempfile.mkstemp(dir=folder.parent)
        try:
            os.write(handle, self.site.password.encode())
            _give(handle, self._account)
            self.run_tool(_initdb(folder, name), "creating the database cluster", self._account)
        finally:
            os.close(handle)
            Path(name).unlink()

    def command(self) -> Command:
        """`postgres` itself, in the foreground of its own session."""
        settings = {**_SETTINGS, **self.settings, "port": self.site.ports[self.name]}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        program = str(packages.postgres_bin() / "postgres")
        return Command((program, "-D", str(self._data), *options), account=self._account)

    def check(self) -> None:
        """Log in and run a query."""
        if self._query("postgres", "SELECT 1") != [(1,)]:
            raise UnhealthyError("SELECT 1 did not answer 1")

    def complete(self) -> None:
        """Create the databases that are not there yet."""
        present = {name for (name,) in self._query("postgres", "SELECT datname::text FROM pg_database")}
        for database in self.databases:
            if database not in present:
                self._query("postgres", f'CREATE DATABASE "{database}"')

    def _query(self, database: str, statement: str) -> list[tuple[object, ...]]:
        import psycopg

        with psycopg.connect(self.dsn(database), connect_timeout=int(REQUEST_SECONDS), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


class Sot(Postgres):
    """The source of truth."""

    name = "sot"
    ports = ("sot",)
    databases = ("sot",)


class Replica(Postgres):
    """The Postgres replica, and beside it the control database."""

    name = "replica"
    ports = ("replica",)
    databases = ("replica", "control")
    # A slot on a replica must not fill its disk while nobody reads it: what it loses is found by the scrub.
    settings: ClassVar = {"max_slot_wal_keep_size": "4GB"}


def _initdb(folder: Path, password_file: str) -> tuple[str, ...]:
    # The builtin locale gives the same order of texts on every machine.
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    login = (f"--username={USER}", "--auth=scram-sha-256", f"--pwfile={password_file}")
    return (str(packages.postgres_bin() / "initdb"), f"--pgdata={folder}", *locale, *login, "--no-instructions")


def _give(handle: int, owner: Account | None) -> None:
    if owner is not None:
        os.fchown(handle, owner.uid, owner.gid)
