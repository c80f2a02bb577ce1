"""Preparing a Postgres table: what is missing is made, what does not fit is refused by name."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import timedelta

import pytest
from psycopg.sql import SQL, Identifier

from streams.plan.mapping import Column, Shape
from streams.plan.tables import Columns, Layout
from streams.replicas.base import Held, Outcome, Refused, Result
from streams.replicas.postgres import PostgresTable
from streams.replicas.postgres_session import Sessions
from tests.contract.fix_postgres import PostgresHarness
from tests.support.shapes import make_shape
from tests.support.writes import bury, put, token

COLUMNS = {"note": "text", "code": "bpchar", "id": "int4"}
SHAPE = make_shape(COLUMNS, ["id"])


def make_target(harness: PostgresHarness, definition: str) -> str:
    harness.admin.execute("CREATE SCHEMA IF NOT EXISTS contract")
    harness.admin.execute("DROP TABLE IF EXISTS contract.given")
    harness.admin.execute(SQL("CREATE TABLE contract.given ({})").format(SQL(definition)))
    return "contract.given"


def test_missing_tables_are_made_with_the_sources_types(postgres_harness: PostgresHarness) -> None:
    """Target and version table, key columns in their own types, the key as primary key."""
    table = postgres_harness.make_table(SHAPE)
    query = """SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull FROM pg_attribute a
               WHERE a.attrelid = %s::regclass AND a.attnum > 0 ORDER BY a.attnum"""
    assert postgres_harness.admin.execute(query, [table.target]).fetchall() == [
        ("note", "text", False),
        ("code", "bpchar", False),
        ("id", "integer", True),
    ]
    assert postgres_harness.admin.execute(query, [f'contract_tokens."{table.target}"']).fetchall() == [
        ("id", "integer", True),
        ("token", "bytea", True),
        ("dead_since", "timestamp with time zone", False),
    ]


def test_an_enum_is_text_and_a_domain_is_what_it_is_over(postgres_harness: PostgresHarness) -> None:
    """The replica need not know the enum; where it does, or has a domain, that is as good."""
    shape = make_shape({"id": "int4", "state": "mood"}, ["id"])
    query = "SELECT format_type(atttypid, -1) FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'state'"
    made = postgres_harness.make_table(shape)
    assert postgres_harness.admin.execute(query, [made.target]).fetchone() == ("text",)
    execute = postgres_harness.admin.execute
    execute("DROP SCHEMA IF EXISTS kinds CASCADE; CREATE SCHEMA kinds; CREATE TYPE kinds.mood AS ENUM ('ok')")
    execute("CREATE DOMAIN kinds.positive AS int4; CREATE DOMAIN kinds.small AS kinds.positive")
    for definition in ("id int4 PRIMARY KEY, state kinds.mood", "id kinds.small PRIMARY KEY, state text"):
        target = make_target(postgres_harness, definition)
        table = postgres_harness.open(shape, target)
        assert table.apply([put(shape, ("7", "ok"), token(1))]) == [Result(Outcome.applied)]
        assert table.read([b"7"]) == {b"7": Held(token(1), ("7", "ok"))}
        execute(SQL("DROP TABLE contract_tokens.{}").format(Identifier(target)))
    execute("DROP TABLE contract.given; DROP SCHEMA kinds CASCADE")


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ("note text, id int4 PRIMARY KEY", "column code: expected bpchar, found no such column"),
        ("note text, code bpchar, id int8 PRIMARY KEY", "column id: expected int4, found int8"),
        (
            "note text GENERATED ALWAYS AS ('x') STORED, code bpchar, id int4 PRIMARY KEY",
            "column note: expected one that can be written, found a generated one",
        ),
        (
            "note text, code bpchar, id int4 PRIMARY KEY, extra uuid NOT NULL",
            "column extra: expected no such column, found uuid NOT NULL without a default",
        ),
        ("note text, code bpchar, id int4", "no unique index on exactly (id)"),
        ("note text, code bpchar, id int4, PRIMARY KEY (id, note)", "no unique index on exactly (id)"),
        ("note text, code bpchar, id int4 PRIMARY KEY DEFERRABLE", "no unique index on exactly (id)"),
    ],
)
def test_another_shape_is_refused_by_name(postgres_harness: PostgresHarness, definition: str, said: str) -> None:
    """The refusal names table, column, expected and found; nothing is changed."""
    target = make_target(postgres_harness, definition)
    with pytest.raises(Refused) as raised:
        postgres_harness.open(SHAPE, target)
    assert said in raised.value.what
    assert "contract.given" in raised.value.what
    assert raised.value.hint


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ("price numeric(12, 2), made timestamp(0), note varchar(200)", ""),
        ("price numeric(20, 4), made timestamp, note text", ""),
        (
            "price numeric(12, 1), made timestamp(0), note varchar(200)",
            "price: expected numeric that holds every value",
        ),
        ("price numeric, made timestamp, note varchar(199)", "note: expected text, found varchar"),
    ],
)
def test_a_narrower_column_is_taken_where_the_mapping_declares_it(
    postgres_harness: PostgresHarness, definition: str, said: str
) -> None:
    """Undeclared, the store would round what the checks compare."""
    columns = [
        Column("id", "int4", False),
        Column("price", "numeric"),
        Column("made", "timestamp"),
        Column("note", "text"),
    ]
    declared = Columns(round={"price": 2, "made": 0}, cut={"note": 200})
    target = make_target(postgres_harness, f"id int4 PRIMARY KEY, {definition}")
    with pytest.raises(Refused) if said else nullcontext() as raised:
        postgres_harness.open(Shape.build("public.t", ["id"], columns, Layout(columns=declared)), target)
    assert raised is None or said in raised.value.what
    if "(" in definition:
        with pytest.raises(Refused, match="expected"):
            postgres_harness.open(Shape.build("public.t", ["id"], columns, Layout()), target)


@pytest.mark.parametrize(
    ("definition", "leaves_out"),
    [("id int4 PRIMARY KEY", "columns.omit: [note, code]"), ("note text, code bpchar, id int8 PRIMARY KEY", None)],
)
def test_columns_that_are_missing_may_be_left_out(
    postgres_harness: PostgresHarness, definition: str, leaves_out: str | None
) -> None:
    """Such as one that is new at the source, for which the worker is held once it is started again."""
    target = make_target(postgres_harness, definition)
    with pytest.raises(Refused) as raised:
        postgres_harness.open(SHAPE, target)
    assert ("columns.omit" in raised.value.hint) == (leaves_out is not None)
    assert (leaves_out or "plan check --live") in raised.value.hint


def test_a_table_with_more_columns_and_another_order_is_taken(postgres_harness: PostgresHarness) -> None:
    """Columns of the target's own stay its own."""
    definition = "own text DEFAULT 'mine', id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code bpchar, note varchar"
    target = make_target(postgres_harness, definition.replace("varchar", "text"))
    table = postgres_harness.open(SHAPE, target)
    assert table.apply([put(SHAPE, ("n", "abc", "7"), token(1))]) == [Result(Outcome.applied)]
    assert table.apply([put(SHAPE, ("m", "abd", "7"), token(2))]) == [Result(Outcome.applied)]
    assert postgres_harness.admin.execute("SELECT * FROM contract.given").fetchall() == [("mine", 7, "abd", "m")]


def test_rows_that_are_there_already_are_adopted_without_token(postgres_harness: PostgresHarness) -> None:
    """An existing replica keeps its rows; they carry no token until something is written."""
    target = make_target(postgres_harness, "note text, code bpchar, id int4 PRIMARY KEY")
    postgres_harness.admin.execute("INSERT INTO contract.given VALUES ('n', 'abc', 1)")
    table = postgres_harness.open(SHAPE, target)
    assert table.read([b"1"]) == {b"1": Held(None, ("n", "abc", "1"))}


def test_workers_may_prepare_at_the_same_time(postgres_harness: PostgresHarness) -> None:
    """Every worker of a group prepares when it starts."""
    sessions = [Sessions(postgres_harness.dsn) for _ in range(6)]
    tables = [PostgresTable(each, SHAPE, "contract.together", "contract_tokens") for each in sessions]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda table: table.prepare(), tables))
    assert tables[0].count() == 0
    for table in tables:
        table.close()


@pytest.mark.parametrize("name", ["token", 'a "quoted" %s column', "ключ", "n", "c0"])
def test_any_column_name_may_be_a_key(postgres_harness: PostgresHarness, name: str) -> None:
    """Names are quoted, and those the store uses itself give way."""
    shape = make_shape({"c1": "text", name: "text"}, [name])
    table = postgres_harness.make_table(shape)
    assert table.apply([put(shape, ("v", "k%"), token(1))]) == [Result(Outcome.applied)]
    assert table.read([b"k%"]) == {b"k%": Held(token(1), ("v", "k%"))}
    assert list(table.scan(1)) == [[(b"k%", Held(token(1), ("v", "k%")))]]


def test_a_long_table_name_gets_a_version_table_of_its_own(postgres_harness: PostgresHarness) -> None:
    """Names are cut by Postgres at 63 bytes; two that begin alike must not share version rows."""
    one, two = (postgres_harness.open(SHAPE, f"contract.{'a' * 60}{end}") for end in "xy")
    one.apply([put(SHAPE, ("n", "abc", "1"), token(1))])
    assert two.read([b"1"]) == {}


def test_renamed_columns_are_written_under_their_new_names(postgres_harness: PostgresHarness) -> None:
    """The key too."""
    shape = make_shape({"id": "int4", "balance": "numeric"}, ["id"], rename={"id": "account", "balance": "saldo"})
    table = postgres_harness.make_table(shape)
    table.apply([put(shape, ("1", "2.5"), token(1))])
    found = postgres_harness.admin.execute(
        SQL("SELECT account, saldo::text FROM {}").format(Identifier(*table.target.split(".")))
    )
    assert found.fetchall() == [(1, "2.5")]
    assert table.read([b"1"]) == {b"1": Held(token(1), ("1", "2.5"))}


def test_old_tombstones_can_be_forgotten_and_live_rows_never(postgres_harness: PostgresHarness) -> None:
    """Version rows of the dead go after their retention; until then they stay."""
    table = postgres_harness.make_table(SHAPE)
    table.apply([put(SHAPE, ("n", "abc", "1"), token(1)), bury(b"2", token(1))])
    assert table.forget_tombstones(timedelta(hours=1)) == 0
    assert table.forget_tombstones(timedelta(0)) == 1
    assert table.read([b"1", b"2"]) == {b"1": Held(token(1), ("n", "abc", "1"))}
