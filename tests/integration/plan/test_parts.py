"""What the catalog shows of tables and partitions, on a real Postgres: whether the log tells of all their rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from streams.connectors.parts import look
from streams.drift.continuity import Part

pytestmark = pytest.mark.stack
ROOT, FLAT = "public.root", "public.flat"
TABLES = """
CREATE TABLE root (k text, id int, n int DEFAULT 5, PRIMARY KEY (k, id)) PARTITION BY LIST (k);
CREATE TABLE flat (id int PRIMARY KEY);
"""


@pytest.fixture
def database(dsn: str) -> Iterator[psycopg.Connection[DictRow]]:
    """A database with a root that has no partition yet, and an ordinary table."""
    with psycopg.connect(dsn, autocommit=True) as server:
        server.execute("CREATE DATABASE parts")
        own = urlsplit(dsn)._replace(path="/parts").geturl()
        with psycopg.connect(own, autocommit=True, row_factory=dict_row) as connection:
            connection.execute(TABLES)
            yield connection
        server.execute("DROP DATABASE parts WITH (FORCE)")


def found(database: psycopg.Connection[DictRow]) -> dict[str, Part]:
    """The partitions of the root by their names."""
    parts = look(database, [ROOT, FLAT, "public.nope"]).parts
    assert set(parts) == {ROOT}
    names = {row["oid"]: row["name"] for row in database.execute("SELECT oid::text, relname AS name FROM pg_class")}
    return {names[oid]: part for oid, part in parts[ROOT].items()}


def test_a_root_without_partitions_is_known(database: psycopg.Connection[DictRow]) -> None:
    """So that its first one is news; an ordinary table is not."""
    assert found(database) == {}


BORN = "CREATE TABLE p PARTITION OF root"
FILL = "INSERT INTO p VALUES ('a', 1)"
ATTACH = "ALTER TABLE root ATTACH PARTITION p DEFAULT"


@pytest.mark.parametrize(
    ("how", "born"),
    [
        ((f"{BORN} DEFAULT",), True),
        ((f"{BORN} (n DEFAULT 7, CHECK (n > 0)) DEFAULT", FILL), True),
        (("CREATE TABLE p (LIKE root)", FILL, ATTACH), False),
        (("CREATE TABLE p (LIKE root INCLUDING ALL)", ATTACH), False),
        ((f"{BORN} DEFAULT", "ALTER TABLE root DETACH PARTITION p", ATTACH), False),
    ],
    ids=["created", "created with more and filled", "filled and attached", "attached", "detached and attached"],
)
@pytest.mark.parametrize("together", [True, False], ids=["one transaction", "several"])
def test_a_partition_that_is_born_as_one_is_told_from_one_that_was_attached(
    database: psycopg.Connection[DictRow], how: tuple[str, ...], born: bool, together: bool
) -> None:
    """Also within one transaction, and whatever is done to it, or tried, later."""
    if together:
        how = (f"BEGIN; {'; '.join(how)}; COMMIT",)
    for statement in how:
        database.execute(statement.encode())
    assert found(database)["p"].born is born
    with suppress(psycopg.errors.DivisionByZero):
        database.execute(
            "ALTER TABLE root ALTER n SET STATISTICS 7; ALTER TABLE root ALTER id SET STATISTICS 7; SELECT 1/0"
        )
    for statement in (
        "ALTER TABLE root ALTER n TYPE bigint", "ALTER TABLE root ADD x int DEFAULT 3", "TRUNCATE root", "ANALYZE p",
        "VACUUM (FULL, FREEZE) pg_attribute", "VACUUM (FULL, FREEZE) pg_inherits", "VACUUM FULL p",
    ):  # fmt: skip
        database.execute(statement.encode())
        assert found(database)["p"].born is born, statement


def test_what_becomes_of_a_partition_is_seen(database: psycopg.Connection[DictRow]) -> None:
    """At every depth: it has another file, is a partition since another transaction, or is none any more."""
    database.execute(f"{BORN} DEFAULT PARTITION BY RANGE (id)".encode())
    database.execute("CREATE TABLE low PARTITION OF p FOR VALUES FROM (0) TO (10)")
    database.execute("CREATE TABLE high PARTITION OF p FOR VALUES FROM (10) TO (1000)")
    first = found(database)
    assert set(first) == {"p", "low", "high"}
    database.execute("INSERT INTO root VALUES ('a', 1), ('a', 100)")
    assert found(database) == first
    database.execute("TRUNCATE low")
    changed = found(database)
    assert changed["low"].file != first["low"].file
    assert changed["high"] == first["high"]
    database.execute("ALTER TABLE p DETACH PARTITION low")
    database.execute("ALTER TABLE p ATTACH PARTITION low FOR VALUES FROM (0) TO (10)")
    again = found(database)["low"]
    assert not again.born
    assert again.since != first["low"].since
    database.execute("ALTER TABLE p DETACH PARTITION low CONCURRENTLY")
    database.execute("DROP TABLE high")
    assert set(found(database)) == {"p"}
    database.execute("ALTER TABLE root DETACH PARTITION p")
    assert found(database) == {}


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("ALTER TABLE p SET UNLOGGED", "ALTER TABLE p SET LOGGED"),
        ("ALTER TABLE p REPLICA IDENTITY USING INDEX p_other", "ALTER TABLE p REPLICA IDENTITY USING INDEX p_more"),
        ("ALTER TABLE flat REPLICA IDENTITY USING INDEX flat_other", "ALTER TABLE flat REPLICA IDENTITY FULL"),
    ],
)
def test_what_is_not_in_the_log_under_its_key_is_named(
    database: psycopg.Connection[DictRow], wrong: str, right: str
) -> None:
    """A table that is unlogged, or whose deletes do not say of which row they are; also a partition of one."""
    database.execute("""CREATE TABLE p PARTITION OF root (n NOT NULL) FOR VALUES IN ('a');
        CREATE UNIQUE INDEX p_other ON p (n, k) INCLUDE (id); CREATE UNIQUE INDEX p_more ON p (n, id, k);
        ALTER TABLE flat ADD n int NOT NULL; CREATE UNIQUE INDEX flat_other ON flat (n)""")
    tables = [ROOT, FLAT]
    assert look(database, tables).unlogged == set()
    database.execute(wrong.encode())
    assert look(database, tables).unlogged == {FLAT if "flat" in wrong else ROOT}
    database.execute(right.encode())
    assert look(database, tables).unlogged == set()
