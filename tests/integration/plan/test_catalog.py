"""Reading catalogs, and `plan check --live`, on a real Postgres."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from streams.connectors import source as prepare
from streams.control.database import ControlRefused, Database, kept_by
from streams.errors import StoreUnavailable
from streams.plan.catalog import PartInfo, PublicationInfo
from streams.plan.check import load_plan
from streams.plan.draft import Draft
from streams.plan.finding import Finding
from streams.plan.live import CONTROL_TABLE, control_findings
from streams.plan.load import parse_document
from streams.plan.model import Plan
from streams.sot import catalog
from streams.sot.catalog import connected, not_empty, read_catalog
from tests.support.postgres_server import _free_port as free_port
from tests.unit.plan.plans import EXAMPLE

pytestmark = pytest.mark.stack

ACCOUNTS, HISTORY = "public.pgbench_accounts", "public.pgbench_history"
TELLERS = "public.pgbench_tellers"
TABLES = """
CREATE TABLE pgbench_accounts (aid int NOT NULL PRIMARY KEY, bid int, abalance int, filler char(84));
CREATE TABLE pgbench_tellers (tid int NOT NULL PRIMARY KEY, bid int, tbalance int, filler char(84));
CREATE TABLE pgbench_branches (bid int NOT NULL PRIMARY KEY, bbalance int, filler char(88));
CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
"""
PLAN = EXAMPLE.read_text().partition("  lookup:")[0]
WITH_REDIS = PLAN + "  cache:" + EXAMPLE.read_text().partition("  cache:")[2]


@pytest.fixture
def sot(dsn: str) -> Iterator[str]:
    """A database with pgbench's tables."""
    yield from _database(dsn, "sot", TABLES)


@pytest.fixture
def replica(dsn: str) -> Iterator[str]:
    """An empty database on the same server."""
    yield from _database(dsn, "replica", "")


def _database(dsn: str, name: str, statements: str) -> Iterator[str]:
    with psycopg.connect(dsn, autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        server.execute(f"CREATE DATABASE {name}".encode())
        own = urlsplit(dsn)._replace(path=f"/{name}").geturl()
        _execute(own, statements)
        yield own
        server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _as(dsn: str, user: str) -> str:
    """The same database for another user (and password)."""
    return re.sub("//[^@]*@", f"//{user}@", dsn)


def _execute(dsn: str, statements: str) -> None:
    if statements:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(statements.encode())


def _check(
    tmp_path: Path, sot: str, replica: str, plan: str = PLAN, *, control: str | None = None, redis: str = ""
) -> tuple[int, dict[str, str], str]:
    """Exit code, path → message of the findings, and stderr of `plan check --live`. `control`: else the source."""
    path = tmp_path / "consistency.yaml"
    path.write_text(plan)
    words = [
        sys.executable,
        "-c",
        "from streams.cli.main import run; run()",
        "--format",
        "json",
        "plan",
        "check",
        "--live",
    ]
    control = control or _as(sot, "holdtrue:unused")
    addresses = {"HOLDTRUE_SOT_DSN": sot, "HOLDTRUE_REPLICA_DSN": replica, "HOLDTRUE_CONTROL_DSN": control}
    environment = {**os.environ, **addresses, "HOLDTRUE_REDIS_URL": redis}
    done = subprocess.run([*words, str(path)], env=environment, capture_output=True, text=True, timeout=60, check=False)
    answer = json.loads(done.stdout)
    assert answer["state"] == ("Blocked" if done.returncode else "Complete")
    return done.returncode, {item["path"]: item["message"] for item in answer["findings"]}, done.stderr


def test_a_catalog_is_read_as_it_is(sot: str) -> None:
    """Types, keys in key order, generated columns, enums, identity and the things a table may be."""
    _execute(
        sot,
        """CREATE TYPE mood AS ENUM ('ok');
        CREATE UNLOGGED TABLE odd (b int, a int, gone int, c numeric(9, 2) DEFAULT 1,
            d int GENERATED ALWAYS AS (a + 1) STORED,
            m mood, PRIMARY KEY (a, b) DEFERRABLE);
        ALTER TABLE odd DROP COLUMN gone; ALTER TABLE odd REPLICA IDENTITY FULL;
        CREATE VIEW seen AS SELECT 1 AS x;""",
    )
    with connected(sot, "the database") as connection:
        catalog = read_catalog(
            connection, [ACCOUNTS, HISTORY, "public.odd", "public.seen", "public.nope", "public.ODD"]
        )
    odd = catalog.tables["public.odd"]
    assert set(catalog.tables) == {ACCOUNTS, HISTORY, "public.odd", "public.seen"}
    assert (odd.primary_key, odd.key_deferrable) == (("a", "b"), True)
    assert odd.parts == (PartInfo("public.odd", "r", logged=False, replica_identity="f"),)
    assert [(c.name, c.shown, c.nullable, c.generated, c.is_enum) for c in odd.columns] == [
        ("b", "integer", False, False, False),
        ("a", "integer", False, False, False),
        ("c", "numeric(9,2)", True, False, False),
        ("d", "integer", True, True, False),
        ("m", "mood", True, False, True),
    ]
    assert catalog.tables[HISTORY].primary_key == ()
    assert catalog.tables["public.seen"].relkind == "v"
    database = catalog.database
    assert (database.name, database.wal_level, database.is_superuser, database.may_create) == (
        "sot",
        "logical",
        True,
        True,
    )
    assert database.system_identifier


def test_partitions_are_what_holds_the_rows_of_a_table(sot: str) -> None:
    """At every depth, each with an identity of its own; a partition knows its ancestors, a table its heirs."""
    _execute(
        sot,
        """CREATE TABLE root (a int, b int NOT NULL, PRIMARY KEY (a)) PARTITION BY RANGE (a);
        CREATE TABLE low PARTITION OF root FOR VALUES FROM (MINVALUE) TO (0) PARTITION BY LIST (a);
        CREATE UNLOGGED TABLE lowest PARTITION OF low DEFAULT;
        CREATE TABLE high PARTITION OF root DEFAULT;
        CREATE UNIQUE INDEX high_b ON high (b, a) INCLUDE (b); ALTER TABLE high REPLICA IDENTITY USING INDEX high_b;
        CREATE TABLE heir () INHERITS (pgbench_accounts);""",
    )
    with connected(sot, "the database") as connection:
        found = read_catalog(connection, ["public.root", "public.low", "public.lowest", ACCOUNTS]).tables
    lowest = PartInfo("public.lowest", "r", logged=False, replica_identity="d")
    assert found["public.root"].relkind == "p"
    assert found["public.root"].primary_key == ("a",)
    assert found["public.root"].parts == (PartInfo("public.high", "r", True, "i", ("a", "b")), lowest)
    assert found["public.low"].parts == found["public.lowest"].parts == (lowest,)
    assert set(found["public.lowest"].ancestors) == {"public.root", "public.low"}
    assert found["public.root"].ancestors == ()
    assert (found["public.root"].heirs, found[ACCOUNTS].heirs) == ((), ("public.heir",))


def test_slots_and_publications_are_seen(sot: str) -> None:
    """What Debezium would use is known by name."""
    _execute(sot, "CREATE PUBLICATION p")
    _execute(sot, "SELECT pg_create_logical_replication_slot('s_catalog', 'pgoutput')")
    with connected(sot, "the database") as connection:
        database = read_catalog(connection, []).database
    _execute(sot, "SELECT pg_drop_replication_slot('s_catalog')")
    assert database.publications == {"p": PublicationInfo(is_owner=True, tables=frozenset())}
    assert (database.slots["s_catalog"].plugin, database.slots["s_catalog"].database) == ("pgoutput", "sot")


def test_a_session_of_the_check_cannot_write(sot: str) -> None:
    """`plan check --live` changes nothing, whatever the role may do."""
    with connected(sot, "the database") as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("CREATE TABLE x (a int)")


def test_a_locked_table_is_not_seen_to_be_empty(sot: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`status` goes on: nothing of the others depends on it."""
    monkeypatch.setattr(catalog, "STATEMENT_TIMEOUT", "200ms")
    with psycopg.connect(sot) as locking:
        locking.execute("CREATE TABLE IF NOT EXISTS locked (id int PRIMARY KEY)")
        locking.commit()
        locking.execute("LOCK TABLE locked IN ACCESS EXCLUSIVE MODE")
        with connected(sot, "the source of truth") as connection:
            assert not_empty(connection, ["public.locked"]) == {"public.locked"}
        locking.rollback()
        with connected(sot, "the source of truth") as connection:
            assert not_empty(connection, ["public.locked"]) == set()


def test_a_fitting_plan_is_clean(tmp_path: Path, sot: str, replica: str) -> None:
    """Exit 0 and no finding; the replica's tables can be created."""
    assert _check(tmp_path, sot, replica)[:2] == (0, {})


def test_everything_that_does_not_fit_is_named(tmp_path: Path, sot: str, replica: str) -> None:
    """A table without a key, a table and a column that are not there, replica tables of another shape: all at once."""
    _execute(replica, "CREATE TABLE pgbench_accounts (aid int8 PRIMARY KEY, bid int, abalance int, filler char(84))")
    plan = PLAN.replace(
        "  # pgbench_history", f"  {HISTORY}: {{key: [tid]}}\n  public.nope: {{key: [id]}}\n  # pgbench_history"
    )
    plan = plan.replace("public.pgbench_tellers: {}", "public.pgbench_tellers: {columns: {omit: [colour]}}")
    code, found, _ = _check(tmp_path, sot, replica, plan)
    assert code == 2
    assert "add a primary key" in found[f"tables.{HISTORY}.key"]
    assert "not in the source of truth" in found["tables.public.nope"]
    assert "colour" in found["replicas.reports.tables.public.pgbench_tellers.columns.omit[0]"]
    assert "aid as bigint; expected is integer" in found[f"replicas.reports.tables.{ACCOUNTS}.columns"]
    assert len(found) == 4


def test_missing_permissions_are_named(tmp_path: Path, sot: str, replica: str) -> None:
    """A role that may only log in learns everything it lacks."""
    _execute(sot, "DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN")
    code, found, _ = _check(tmp_path, _as(sot, "reader"), replica)
    assert code == 2
    assert "may not replicate" in found["source.dsn"]
    assert "GRANT CREATE ON DATABASE" in found["source.publication"]
    assert {path for path in found if path.startswith("tables.")} == {
        f"tables.public.pgbench_{name}" for name in ("accounts", "tellers", "branches")
    }


def test_what_the_owner_prepared_is_not_enough_without_its_rights(tmp_path: Path, sot: str, replica: str) -> None:
    """What the check asks for is what `connectors apply` needs: it is refused before, and not after."""
    plan = load_plan(EXAMPLE)
    with prepare.connect(sot) as connection:
        prepare.prepare(connection, plan)
    role = "CREATE ROLE ltd LOGIN REPLICATION; GRANT SELECT ON ALL TABLES IN SCHEMA public TO ltd"
    _execute(sot, f"DROP ROLE IF EXISTS ltd; {role}")
    ltd = _as(sot, "ltd")
    code, found, _ = _check(tmp_path, ltd, replica)
    assert (code, list(found)) == (2, ["source.signal_table"])
    with prepare.connect(ltd) as connection, pytest.raises(prepare.SourceNotSuitable, match="permission denied"):
        prepare.prepare(connection, plan)
    _execute(sot, found["source.signal_table"].partition("run ")[2])
    assert _check(tmp_path, ltd, replica)[0] == 0
    with prepare.connect(ltd) as connection:
        assert not prepare.prepare(connection, plan).publication_created
    _execute(sot, f"ALTER PUBLICATION {plan.source.publication} DROP TABLE pgbench_tellers")
    code, found, _ = _check(tmp_path, ltd, replica)
    assert (code, list(found)) == (2, ["source.publication"])
    with prepare.connect(ltd) as connection, pytest.raises(prepare.SourceNotSuitable, match="must be owner"):
        prepare.prepare(connection, plan)


def test_preparing_for_a_table_that_is_not_there_says_what_to_do(sot: str) -> None:
    """And nothing about rights."""
    _execute(sot, "DROP TABLE pgbench_tellers")
    with (
        prepare.connect(sot) as connection,
        pytest.raises(prepare.SourceNotSuitable, match="pgbench_tellers") as caught,
    ):
        prepare.prepare(connection, load_plan(EXAMPLE))
    assert "plan check --live" in caught.value.hint
    assert "CREATE on" not in caught.value.hint


def test_the_source_as_its_own_replica_is_refused(tmp_path: Path, sot: str) -> None:
    """Also under another address: the server's identifier tells."""
    code, found, _ = _check(tmp_path, sot, sot.replace("127.0.0.1", "localhost"))
    assert code == 2
    assert ["source of truth itself" in message for message in found.values()] == [True] * 3


def test_row_security_of_a_replica_is_named(tmp_path: Path, sot: str, replica: str) -> None:
    """For the role that it would refuse; what the finding says helps."""
    role = "DROP ROLE IF EXISTS writer; CREATE ROLE writer LOGIN; GRANT CREATE ON DATABASE replica TO writer"
    secured = "ALTER TABLE pgbench_tellers ENABLE ROW LEVEL SECURITY"
    _execute(replica, f"{TABLES}; {role}; GRANT ALL ON ALL TABLES IN SCHEMA public TO writer; {secured}")
    writer, insert = _as(replica, "writer"), "INSERT INTO pgbench_tellers VALUES (1)"
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        _execute(writer, insert)
    code, found, _ = _check(tmp_path, sot, writer)
    assert (code, list(found)) == (2, [f"replicas.reports.tables.{TELLERS}"])
    [message] = found.values()
    _execute(replica, message.partition("run ")[2].partition(", or ")[0])
    with connected(writer, "the replica") as connection:
        assert not read_catalog(connection, [TELLERS]).tables[TELLERS].row_security
    _execute(writer, insert)


def test_what_control_lacks_is_named(replica: str) -> None:
    """The check asks for what control needs: it is refused before, and not after, also where the schema is there."""
    _execute(replica, "DROP ROLE IF EXISTS keeper; CREATE ROLE keeper LOGIN")
    keeper = _as(replica, "keeper")
    for _ in ("the first start", "an upgrade"):
        fix = _refused(keeper)
        assert fix == 'GRANT CREATE ON DATABASE "replica" TO "keeper"'
        _execute(replica, fix)
        assert _control(keeper) == []
        assert _migrated(keeper)
        _execute(replica, "REVOKE CREATE ON DATABASE replica FROM keeper")


def test_a_control_schema_of_another_role_is_named(replica: str) -> None:
    """One that is empty can be used with a right; one with tables, with the rights of their owner."""
    roles = "DROP ROLE IF EXISTS keeper, other; CREATE ROLE keeper LOGIN; CREATE ROLE other LOGIN"
    _execute(replica, f"{roles}; GRANT CREATE ON DATABASE replica TO keeper, other; CREATE SCHEMA holdtrue")
    keeper, other = _as(replica, "keeper"), _as(replica, "other")
    _execute(replica, _refused(keeper))
    assert _control(keeper) == []
    assert _migrated(keeper)
    _execute(replica, _refused(other).partition(", with")[0].replace("OWNER", "keeper"))
    assert _control(other) == []
    assert _migrated(other)


def _control(dsn: str) -> list[Finding]:
    """What the check says of a control database."""
    with connected(dsn, "the control database") as connection:
        found = read_catalog(connection, [CONTROL_TABLE])
        kept = kept_by(connection) if CONTROL_TABLE in found.tables else None
    document = parse_document(PLAN, "p")
    return list(control_findings(Plan.model_validate(document.data), Draft(document), found, kept))


def _refused(dsn: str) -> str:
    """The statement that the only finding names, where control is refused."""
    assert not _migrated(dsn)
    [finding] = _control(dsn)
    return finding.message.partition("run ")[2]


def _migrated(control: str) -> bool:
    """Whether control can start on its database."""
    database = Database(control, application="test")
    try:
        return database.migrate("bank") > 0
    except ControlRefused:
        return False
    finally:
        database.close()


def test_what_is_away_hides_nothing_of_the_others(tmp_path: Path, sot: str, replica: str) -> None:
    """Every finding on stdout, then all that could not be asked, and exit 1."""
    _execute(replica, "CREATE TABLE pgbench_accounts (aid int8 PRIMARY KEY, bid int, abalance int, filler char(84))")
    control, redis = (f"{scheme}://:hunter2@127.0.0.1:{free_port()}/0" for scheme in ("postgresql", "redis"))
    code, found, stderr = _check(tmp_path, sot, replica, WITH_REDIS, control=control, redis=redis)
    assert (code, list(found)) == (1, [f"replicas.reports.tables.{ACCOUNTS}.columns"])
    assert stderr.count("error: ") == 1
    assert "the control database at 127.0.0.1" in stderr
    assert f"127.0.0.1:{urlsplit(redis).port}" in stderr
    assert "not everything could be asked" in stderr
    assert "hunter2" not in stderr


def test_a_plan_is_not_complete_where_a_store_was_not_asked(tmp_path: Path, replica: str) -> None:
    """What is away may contradict it; control says what it lacks, also where the source is away."""
    _execute(replica, "DROP ROLE IF EXISTS keeper; CREATE ROLE keeper LOGIN")
    away = f"postgresql://u:hunter2@127.0.0.1:{free_port()}/db"
    code, found, stderr = _check(tmp_path, away, replica, control=_as(replica, "keeper"))
    assert (code, list(found)) == (1, ["control.dsn"])
    assert "error: the source of truth at" in stderr
    assert "1 finding(s) to settle, and not everything could be asked" in stderr


def test_a_catalog_that_may_not_be_read_is_one_sentence(tmp_path: Path, sot: str, replica: str) -> None:
    """Also where a server hides what everybody sees by default."""
    _execute(replica, "DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN")
    _execute(replica, "REVOKE SELECT ON pg_replication_slots FROM PUBLIC")
    code, found, stderr = _check(tmp_path, sot, _as(replica, "reader"))
    assert (code, found) == (1, {})
    assert "the replica reports at 127.0.0.1" in stderr
    assert "refuses: permission denied for view pg_replication_slots" in stderr


def test_a_wrong_password_is_one_sentence_without_it(tmp_path: Path, sot: str, replica: str, dsn: str) -> None:
    """Exit 1, which database, what to do; the password is nowhere."""
    with psycopg.connect(dsn, autocommit=True) as server:
        row = server.execute("SHOW hba_file").fetchone()
    assert row is not None
    hba = Path(row[0])
    before = hba.read_text()
    hba.write_text("host all locked 127.0.0.1/32 scram-sha-256\n" + before)
    _execute(dsn, "DROP ROLE IF EXISTS locked; CREATE ROLE locked LOGIN PASSWORD 'right'; SELECT pg_reload_conf()")
    try:
        code, found, stderr = _check(tmp_path, _as(sot, "locked:hunter2"), replica)
    finally:
        hba.write_text(before)
        _execute(dsn, "SELECT pg_reload_conf()")
    assert (code, found) == (1, {})
    assert "the source of truth at 127.0.0.1" in stderr
    assert "password authentication failed" in stderr
    assert "hunter2" not in stderr


def test_a_dsn_that_refuses_is_one_sentence(tmp_path: Path, sot: str) -> None:
    """The replica is named, with its address and what to do."""
    code, _, stderr = _check(tmp_path, sot, f"postgresql://u:hunter2@127.0.0.1:{free_port()}/db")
    assert code == 1
    assert "the replica reports at 127.0.0.1" in stderr
    assert "Connection refused" in stderr
    assert "hunter2" not in stderr


@pytest.mark.parametrize(
    "dsn_text", ["hunter2", "postgres//u:hunter2@h", "postgresql://u:hunter2@h:port/db", "host=h hunter2"]
)
def test_a_dsn_that_is_none_is_never_repeated(dsn_text: str) -> None:
    """It may be the password itself."""
    with pytest.raises(StoreUnavailable) as caught, connected(dsn_text, "the database"):
        pass
    assert "hunter2" not in str(caught.value)
