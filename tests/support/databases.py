"""A bank's databases, named after it, and the environment that leads there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg.sql import SQL, Identifier

from streams.local.stack import Stack

# Variable → what follows the bank's name in the database's.
DATABASES = {"HOLDTRUE_SOT_DSN": "", "HOLDTRUE_REPLICA_DSN": "", "HOLDTRUE_CONTROL_DSN": "_control"}


def environment(stack: Stack, name: str, folder: Path, sot: str = "") -> dict[str, str]:
    """The environment of a bank's commands. sot: another server than the stack's."""
    env = {**os.environ, **stack.endpoints().environment(), **({"HOLDTRUE_SOT_DSN": sot} if sot else {})}
    for variable, ending in DATABASES.items():
        env[variable] = _in_database(env[variable], name + ending)
    env["HOLDTRUE_WORKER_DIR"] = str(folder / "workers")
    env["HOLDTRUE_PLAN"] = str(folder / f"{name}.yaml")
    return env


def create(env: Mapping[str, str]) -> None:
    """SOT, replica and control database, empty."""
    for server, name in _databases(env):
        server.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))


def drop(env: Mapping[str, str]) -> None:
    """All of them, whoever is still connected."""
    for server, name in _databases(env):
        server.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))


def _databases(env: Mapping[str, str]) -> Iterator[tuple[psycopg.Connection[Any], str]]:
    for variable in DATABASES:
        name = urlsplit(env[variable]).path.removeprefix("/")
        with closing(psycopg.connect(_in_database(env[variable], "postgres"), autocommit=True)) as server:
            yield server, name


def _in_database(dsn: str, database: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))
