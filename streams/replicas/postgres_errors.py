"""What an error of Postgres means for a replica: one row refused, the store away, or the table unusable.

Messages of Postgres can repeat row values and driver messages can repeat a DSN, so neither is passed on: what is said
comes from the SQLSTATE and from names of columns and constraints.
"""

from __future__ import annotations

import re

import psycopg

from streams.address import connection_reason
from streams.errors import HoldtrueError, StoreUnavailable
from streams.replicas.base import Refused

# Classes of SQLSTATE that blame a row: cardinality (two spellings of one key), data, integrity, view check, limits of
# size and depth, and what a trigger raises.
_ROW_CLASSES = frozenset({"21", "22", "23", "44", "54", "P0"})
# Classes that pass: connection, transaction rollback (deadlock, serialization), resources, operator, system, internal.
_PASSING_CLASSES = frozenset({"08", "40", "53", "57", "58", "XX"})
_PASSING_STATES = frozenset({"55P03", "25006"})  # lock_not_available; a server that became a standby
_CONTEXT_COLUMN = re.compile(r"^COPY [^,]+, line \d+, column c(\d+)")


class RowRefused(Exception):
    """A transaction failed on the content of one of its rows; `reason` names SQLSTATE and column, never a value."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def blames_row(error: psycopg.Error) -> bool:
    """Whether another row in its place could have been stored."""
    return (error.sqlstate or "")[:2] in _ROW_CLASSES


def row_reason(error: psycopg.Error, columns: tuple[str, ...]) -> str:
    """Why a row was refused, such as `NotNullViolation (23502), column balance`."""
    parts = [named(error)]
    column = error.diag.column_name or _copied_column(error, columns)
    if column:
        parts.append(f"column {column}")
    if error.diag.constraint_name:
        parts.append(f"constraint {error.diag.constraint_name}")
    return ", ".join(parts)


def named(error: psycopg.Error) -> str:
    """The error's name with its SQLSTATE."""
    return f"{type(error).__name__} ({error.sqlstate})" if error.sqlstate else type(error).__name__


def translated(error: psycopg.Error, place: str) -> HoldtrueError:
    """The error as the contract knows it; `place` says where without a secret."""
    state = error.sqlstate or ""
    if isinstance(error, psycopg.ProgrammingError) and not state:
        return Refused(
            f"The connection settings of the replica at {place} cannot be read.",
            "Check the DSN: postgresql://user:password@host:port/database.",
        )
    if not state or state[:2] in _PASSING_CLASSES or state in _PASSING_STATES:
        return StoreUnavailable(
            f"The Postgres replica at {place} cannot serve now: {_reason(error)}.", _unavailable_hint(state)
        )
    return Refused(
        f"The Postgres replica at {place} refused the work: {named(error)}{_schema_detail(error)}.",
        "Compare the role's privileges and the table with the plan: `holdtrue plan check --live`.",
    )


def _reason(error: psycopg.Error) -> str:
    return named(error) if error.sqlstate else connection_reason(error)


def _unavailable_hint(state: str) -> str:
    if state[:2] == "53":
        return "Free disk space or connections on the replica; a worker goes on by itself."
    if state == "55P03":
        return "Another session holds locks on the table; a worker goes on when it ends."
    if state[:2] == "40":
        return "Another writer met the same rows; the batch is sent again."
    if state == "25006":
        return "The server accepts no writes: point the replica's DSN at the primary."
    return "Check that the server runs and that the replica's DSN names it; a worker that runs goes on by itself."


def _schema_detail(error: psycopg.Error) -> str:
    # Class 42 is about names and privileges only, so its message holds no row value.
    return f": {error.diag.message_primary}" if (error.sqlstate or "").startswith("42") else ""


def _copied_column(error: psycopg.Error, columns: tuple[str, ...]) -> str:
    """The column COPY was reading, which it tells in its context under the batch table's own name."""
    found = _CONTEXT_COLUMN.match(error.diag.context or "")
    return columns[int(found.group(1))] if found else ""
