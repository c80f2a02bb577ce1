"""A control database of a benchmark's own: the stack's may belong to the plan of whoever uses the stack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

from psycopg.sql import SQL, Identifier

from streams.bench import subject
from streams.local.endpoints import Endpoints


@contextmanager
def own_control(endpoints: Endpoints, name: str) -> Iterator[Endpoints]:
    """The same endpoints with an empty control database of this name, which is dropped at the end."""
    database = Identifier(name)
    with subject.connect(endpoints.control_dsn) as server:
        server.execute(SQL("CREATE DATABASE {}").format(database))
        try:
            dsn = urlunsplit(urlsplit(endpoints.control_dsn)._replace(path=f"/{name}"))
            yield replace(endpoints, control_dsn=dsn)
        finally:
            server.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(database))
