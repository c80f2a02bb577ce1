"""The statements of queries.sql by name, as bytes: psycopg takes them as they are, and they hold no values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def statements() -> Mapping[str, bytes]:
    """All statements by name."""
    _, *parts = _NAME.split((files("streams.control") / "queries.sql").read_text(encoding="utf-8"))
    return MappingProxyType({name: body.strip().encode() for name, body in zip(parts[::2], parts[1::2], strict=True)})


def query(name: str) -> bytes:
    """The statement `name`; a name that is not there is a defect (KeyError)."""
    return statements()[name]


@cache
def migrations() -> tuple[bytes, ...]:
    """The steps that make the schema, in order; the schema's version is how many of them have been taken."""
    folder = files("streams.control") / "migrations"
    found = sorted((entry.name, entry) for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple(entry.read_bytes() for _, entry in found)
