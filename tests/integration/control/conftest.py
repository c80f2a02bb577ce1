"""One private Postgres for the tests of this folder, and a fresh control database in it for each test."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import psycopg
import pytest

from streams.control.database import Database
from streams.control.materialise import Materialiser
from streams.plan.check import load_plan
from streams.plan.model import Plan
from tests.integration.control.records import SCHEMAS
from tests.support.postgres_server import postgres_server
from tests.unit.plan.plans import EXAMPLE

_numbers = count()


@pytest.fixture(scope="session")
def plan() -> Plan:
    """The example plan."""
    return load_plan(EXAMPLE)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """DSN of a server of our own."""
    with postgres_server() as dsn:
        yield dsn


@pytest.fixture
def dsn(server: str) -> str:
    """DSN of an empty database."""
    name = f"control{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    return server.replace("/postgres", f"/{name}")


@pytest.fixture
def database(dsn: str, plan: Plan) -> Iterator[Database]:
    """A control database with its schema."""
    database = Database(dsn, application="tests")
    database.migrate(plan.name)
    yield database
    database.close()


@pytest.fixture
def materialiser(database: Database, plan: Plan) -> Materialiser:
    """Takes records into that database."""
    return Materialiser(database, plan, SCHEMAS)
