"""Tokens that come beside rows which somebody else has written, and tokens that go: no row is touched by either."""

from __future__ import annotations

import pytest
from psycopg.sql import SQL, Identifier

from streams.replicas.base import Held, Outcome, ReplicaTable, Result
from tests.contract.fix_postgres import PostgresHarness
from tests.contract.harness import Harness, MakeTable
from tests.support.shapes import make_shape
from tests.support.writes import bury, put, token

SHAPE = make_shape({"id": "int8", "owner": "text", "amount": "numeric"}, ["id"])
ANN, ANNA, BOB = ("1", "Ann", "1.5"), ("1", "Anna", "1.5"), ("2", "Bob", None)


@pytest.fixture
def table(make_table: MakeTable) -> ReplicaTable:
    return make_table(SHAPE)


def test_a_row_without_a_token_gets_one(harness: Harness, table: ReplicaTable) -> None:
    """From then on the guard knows how old it is."""
    harness.plant(table, b"1", ANN)
    harness.plant(table, b"2", BOB)
    stamps = [put(SHAPE, ANN, token(5)), put(SHAPE, BOB, token(6))]
    assert [each.outcome for each in table.stamp(stamps)] == [Outcome.applied, Outcome.applied]
    assert table.read([b"1", b"2"]) == {b"1": Held(token(5), ANN), b"2": Held(token(6), BOB)}
    assert table.apply([put(SHAPE, ANNA, token(4))]) == [Result(Outcome.stale, token(5))]
    assert [each.outcome for each in table.stamp(stamps)] == [Outcome.duplicate, Outcome.duplicate]


def test_another_row_gets_none_and_stays(harness: Harness, table: ReplicaTable) -> None:
    """Nor does a key that has no row, nor one that a tombstone is for."""
    harness.plant(table, b"1", ANNA)
    table.apply([bury(b"3", token(3))])
    stamps = [put(SHAPE, ANN, token(5)), put(SHAPE, BOB, token(5)), put(SHAPE, ("3", "C", None), token(5))]
    assert [each.outcome for each in table.stamp(stamps)] == [Outcome.conflict] * 3
    assert table.read([b"1", b"2", b"3"]) == {b"1": Held(None, ANNA), b"3": Held(token(3), None)}


def test_a_larger_token_stays_and_a_smaller_one_is_replaced(harness: Harness, table: ReplicaTable) -> None:
    """In one batch, beside one whose row is another."""
    table.apply([put(SHAPE, ANN, token(9)), put(SHAPE, BOB, token(2)), put(SHAPE, ("3", "Cy", None), token(2))])
    stamps = [put(SHAPE, ANN, token(5)), put(SHAPE, BOB, token(5)), put(SHAPE, ("3", "Cyd", None), token(5))]
    first, second, third = table.stamp(stamps)
    assert (first, second.outcome, third.outcome) == (
        Result(Outcome.stale, token(9)), Outcome.applied, Outcome.conflict,
    )  # fmt: skip
    assert table.read([b"2", b"3"]) == {b"2": Held(token(5), BOB), b"3": Held(token(2), ("3", "Cy", None))}


def test_what_has_its_token_is_only_read(postgres_harness: PostgresHarness) -> None:
    """An adoption that is made again, as after a kill, writes what the first one had not."""
    table = postgres_harness.make_table(SHAPE)
    for row in (ANN, BOB):
        postgres_harness.plant(table, row[0].encode(), row)
    stamps = [put(SHAPE, ANN, token(5)), put(SHAPE, BOB, token(6))]
    assert [each.outcome for each in table.stamp(stamps[:1])] == [Outcome.applied]
    with postgres_harness.admin.transaction():
        versions = SQL("SELECT 1 FROM {} WHERE id = 1 FOR UPDATE").format(
            Identifier(table._sql.token_schema, table.target)
        )
        postgres_harness.admin.execute(versions)
        assert [each.outcome for each in table.stamp(stamps)] == [Outcome.duplicate, Outcome.applied]


def test_nothing_to_stamp_is_no_question(table: ReplicaTable) -> None:
    """An empty batch is answered without the store."""
    assert table.stamp([]) == []


def test_tokens_and_tombstones_go_and_rows_stay(harness: Harness, table: ReplicaTable) -> None:
    """What is removed was ours; asked again, there is nothing left. Another table's are not touched."""
    other = harness.make_table(SHAPE)
    for each in (table, other):
        each.apply([put(SHAPE, ANN, token(5)), put(SHAPE, BOB, token(6)), bury(b"3", token(7))])
    assert table.drop_tokens() == 3
    assert (table.count(), other.count()) == (2, 2)
    assert other.read([b"1", b"3"]) == {b"1": Held(token(5), ANN), b"3": Held(token(7), None)}
    table.prepare()  # of Postgres the version table is gone
    assert table.read([b"1", b"2", b"3"]) == {b"1": Held(None, ANN), b"2": Held(None, BOB)}
    assert table.drop_tokens() == 0
