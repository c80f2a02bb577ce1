"""Rows a Postgres table cannot hold: each is refused alone, with a reason that names the column and no value."""

from __future__ import annotations

import pytest
from psycopg.sql import SQL, Identifier

from streams.plan.mapping import Column, Shape
from streams.plan.tables import Columns, Layout
from streams.replicas.base import Held, Outcome, Result
from streams.replicas.postgres import PostgresTable
from tests.contract.fix_postgres import PostgresHarness
from tests.support.shapes import make_shape
from tests.support.writes import bury, put, token

COLUMNS = {"id": "int4", "small": "numeric", "mood": "text", "word": "text"}
SHAPE = Shape.build(
    "public.contract", ["id"], [Column(name, kind) for name, kind in COLUMNS.items()],
    Layout(columns=Columns(round={"small": 1})),
)  # fmt: skip
GOOD = ("5", "happy", "hello")


@pytest.fixture
def table(postgres_harness: PostgresHarness) -> PostgresTable:
    """A target made by somebody else, narrower than the source, as the mapping has it, with constraints of its own."""
    target = postgres_harness.make_table(SHAPE).target
    name = Identifier(*target.split("."))
    alter = "ALTER TABLE {} ALTER word SET NOT NULL, ADD CONSTRAINT friendly CHECK (mood <> 'angry'), ADD UNIQUE (mood)"
    postgres_harness.admin.execute(SQL(alter).format(name))
    postgres_harness.admin.execute(SQL("ALTER TABLE {} ALTER small TYPE numeric(4, 1)").format(name))
    return postgres_harness.open(SHAPE, target)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("5", "happy", None), "NotNullViolation (23502), column word"),
        (("5", "angry", "secret"), "CheckViolation (23514), constraint friendly"),
        (("98765.5", "calm", "w"), "NumericValueOutOfRange (22003), column small"),
        (("not a number", "calm", "w"), "InvalidTextRepresentation (22P02), column small"),
        (("5", "taken", "w"), "UniqueViolation (23505), constraint {name}_mood_key"),
        (("5", "nul\x00", "w"), "CharacterNotInRepertoire (22021)"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_with_its_column(
    table: PostgresTable, row: tuple[str, str, str | None], reason: str
) -> None:
    """SQLSTATE, column or constraint, and nothing of the row; no token is left behind."""
    table.apply([put(SHAPE, ("99", "5", "taken", "w"), token(1))])
    expected = reason.format(name=table.target.split(".")[1])
    assert table.apply([put(SHAPE, ("1", *row), token(1))]) == [Result(Outcome.refused, None, expected)]
    assert table.read([b"1"]) == {}
    assert table.overrule(b"1", None, put(SHAPE, ("1", *row), token(1))) == Result(Outcome.refused, None, expected)
    assert table.read([b"1"]) == {}


@pytest.mark.parametrize("bad", [{0}, {99}, {31, 32}, {0, 50, 99}, set(range(100))])
def test_refused_rows_do_not_keep_the_rest_of_the_batch(table: PostgresTable, bad: set[int]) -> None:
    """Whatever is wrong with some, every other key is applied, deletes included; a loser is just stale."""
    table.apply([put(SHAPE, ("90", "1", "mood 90", "old"), token(1)), put(SHAPE, ("91", "1", None, "old"), token(90))])
    writes = [put(SHAPE, (str(n), "1", "angry" if n in bad else None, "w"), token(2)) for n in range(100)]
    if 90 not in bad:
        writes[90] = bury(b"90", token(2))
    outcomes = [result.outcome for result in table.apply(writes)]
    for n, outcome in enumerate(outcomes):
        usual = Outcome.refused if n in bad else Outcome.applied
        assert outcome is (Outcome.stale if n == 91 else usual), n
    held = table.read([b"90", b"91"])
    assert held[b"91"] == Held(token(90), ("91", "1", None, "old"))
    assert held[b"90"] == (Held(token(1), ("90", "1", "mood 90", "old")) if 90 in bad else Held(token(2), None))


def test_an_enum_value_the_target_lacks_is_refused(postgres_harness: PostgresHarness) -> None:
    """Known values of an enum are carried as their text, an unknown one is the row's problem alone."""
    execute = postgres_harness.admin.execute
    execute("DROP TYPE IF EXISTS contract_mood CASCADE")
    execute("CREATE TYPE contract_mood AS ENUM ('happy', 'sad'); CREATE SCHEMA IF NOT EXISTS contract")
    execute("DROP TABLE IF EXISTS contract.moods")
    execute("CREATE TABLE contract.moods (id int4 PRIMARY KEY, mood contract_mood)")
    shape = make_shape({"id": "int4", "mood": "contract_mood"}, ["id"])
    table = postgres_harness.open(shape, "contract.moods")
    results = table.apply([put(shape, ("1", "happy"), token(1)), put(shape, ("2", "bored"), token(1))])
    assert results == [
        Result(Outcome.applied),
        Result(Outcome.refused, None, "InvalidTextRepresentation (22P02), column mood"),
    ]
    assert table.read([b"1", b"2"]) == {b"1": Held(token(1), ("1", "happy"))}


def test_two_spellings_of_one_key_are_applied_one_after_the_other(postgres_harness: PostgresHarness) -> None:
    """Keys that differ as bytes and are equal to Postgres cannot share a statement; they do not fail the batch."""
    shape = make_shape({"id": "float8", "note": "text"}, ["id"])
    table = postgres_harness.make_table(shape)
    results = table.apply([put(shape, ("-0", "a"), token(1)), put(shape, ("0", "b"), token(2))])
    assert [result.outcome for result in results] == [Outcome.applied, Outcome.applied]
    assert table.count() == 1
