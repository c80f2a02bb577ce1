"""Names and errors of the Postgres store, without a server."""

from __future__ import annotations

import psycopg
import pytest

from streams.address import shown
from streams.errors import StoreUnavailable
from streams.replicas.base import Refused
from streams.replicas.postgres_errors import blames_row, row_reason, translated
from streams.replicas.postgres_sql import NAME_BYTES_MAX, Statements, version_name
from tests.support.shapes import make_shape


def test_version_tables_are_named_after_their_target() -> None:
    """Schema included, so that two schemas do not meet."""
    assert version_name("public.orders") == "public.orders"
    assert version_name("a_b.c") != version_name("a.b_c")


def test_long_names_are_cut_and_stay_apart() -> None:
    """Within Postgres's 63 bytes, also where characters take several."""
    names = {version_name(f"public.{'ö' * 40}{end}") for end in "xy"}
    assert len(names) == 2
    assert max(len(name.encode()) for name in names) <= NAME_BYTES_MAX


def test_own_columns_give_way_to_key_columns() -> None:
    """A table may have a key called token."""
    statements = Statements(
        make_shape({"token": "int4", "token_": "int4"}, ["token", "token_"]), "public.t", "holdtrue"
    )
    assert statements.token_column == "token__"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.OperationalError("connection failed: Connection refused"), StoreUnavailable),
        (psycopg.errors.AdminShutdown(), StoreUnavailable),
        (psycopg.errors.DiskFull(), StoreUnavailable),
        (psycopg.errors.DeadlockDetected(), StoreUnavailable),
        (psycopg.errors.SerializationFailure(), StoreUnavailable),
        (psycopg.errors.LockNotAvailable(), StoreUnavailable),
        (psycopg.errors.QueryCanceled(), StoreUnavailable),
        (psycopg.errors.ReadOnlySqlTransaction(), StoreUnavailable),
        (psycopg.errors.InsufficientPrivilege(), Refused),
        (psycopg.errors.UndefinedTable(), Refused),
        (psycopg.ProgrammingError("missing = after secret"), Refused),
    ],
)
def test_errors_are_told_apart(error: psycopg.Error, kind: type[Exception]) -> None:
    """What passes is waited for, what does not is refused; both say where and what to do, and repeat nothing."""
    found = translated(error, "db:5432/orders")
    assert type(found) is kind
    assert "db:5432/orders" in found.what
    assert found.hint
    assert "secret" not in str(found)
    assert not blames_row(error)


@pytest.mark.parametrize("error", [psycopg.errors.CheckViolation(), psycopg.errors.RaiseException()])
def test_errors_of_rows_are_reasons(error: psycopg.Error) -> None:
    """Integrity and what a trigger raises."""
    assert blames_row(error)
    assert row_reason(error, ("id",)) == f"{type(error).__name__} ({error.sqlstate})"


def test_a_place_is_shown_without_its_secrets() -> None:
    """Host, port, database."""
    assert shown("postgresql://me:secret@db:6000/orders") == "db:6000/orders"
    assert shown("host=db password=secret dbname=orders") == "db:5432/orders"
    assert shown("postgresql://me:secret@db/orders?nonsense=secret") == "the configured address"
