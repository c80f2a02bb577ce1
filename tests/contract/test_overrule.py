"""Overruling: a compare-and-set on the stored token, whatever the order says."""

from __future__ import annotations

import pytest

from streams.replicas.base import Held, Outcome, ReplicaTable, Result
from tests.contract.harness import Harness, MakeTable
from tests.support.shapes import make_shape
from tests.support.writes import bury, put, token

SHAPE = make_shape({"id": "int8", "owner": "text"}, ["id"])
ANN, ANNA = ("1", "Ann"), ("1", "Anna")


@pytest.fixture
def table(make_table: MakeTable) -> ReplicaTable:
    return make_table(SHAPE)


def test_the_expected_token_is_replaced_by_a_smaller_one(table: ReplicaTable) -> None:
    """A token nobody of us wrote gives way, if it is the one that was seen."""
    alien = token(10**9, epoch=77)
    table.apply([put(SHAPE, ANN, alien)])
    assert table.overrule(b"1", alien, put(SHAPE, ANNA, token(5))) == Result(Outcome.applied)
    assert table.read([b"1"]) == {b"1": Held(token(5), ANNA)}


def test_a_live_row_can_be_overruled_by_a_delete_and_a_tombstone_by_a_row(table: ReplicaTable) -> None:
    """Content follows the token in both directions."""
    table.apply([put(SHAPE, ANN, token(9))])
    assert table.overrule(b"1", token(9), bury(b"1", token(5))) == Result(Outcome.applied)
    assert table.read([b"1"]) == {b"1": Held(token(5), None)}
    assert table.overrule(b"1", token(5), put(SHAPE, ANNA, token(4))) == Result(Outcome.applied)
    assert table.read([b"1"]) == {b"1": Held(token(4), ANNA)}


@pytest.mark.parametrize("expected", [token(8), None])
def test_a_token_that_moved_is_left_alone(table: ReplicaTable, expected: object) -> None:
    """What is stored is told; nothing is written, not even under a larger token."""
    table.apply([put(SHAPE, ANN, token(9))])
    answer = table.overrule(b"1", expected, put(SHAPE, ANNA, token(99)))  # type: ignore[arg-type]
    assert answer == Result(Outcome.stale, token(9))
    assert table.read([b"1"]) == {b"1": Held(token(9), ANN)}


def test_expecting_a_token_where_none_is_writes_nothing(table: ReplicaTable) -> None:
    """A key that lost its token is not what was seen."""
    assert table.overrule(b"1", token(9), put(SHAPE, ANNA, token(99))) == Result(Outcome.stale, None)
    assert table.read([b"1"]) == {}


def test_expecting_no_token_takes_an_unknown_key_and_a_planted_row(harness: Harness, table: ReplicaTable) -> None:
    """None is a value that can be compared with too."""
    harness.plant(table, b"2", ("2", "rogue"))
    assert table.overrule(b"1", None, put(SHAPE, ANN, token(5))) == Result(Outcome.applied)
    assert table.overrule(b"2", None, bury(b"2", token(5))) == Result(Outcome.applied)
    assert table.read([b"1", b"2"]) == {b"1": Held(token(5), ANN), b"2": Held(token(5), None)}


def test_an_overruling_write_sent_again_is_a_duplicate(table: ReplicaTable) -> None:
    """After a lost answer the second attempt finds its own write."""
    table.apply([put(SHAPE, ANN, token(9))])
    for outcome in (Outcome.applied, Outcome.duplicate):
        assert table.overrule(b"1", token(9), put(SHAPE, ANNA, token(5))).outcome is outcome
    assert table.overrule(b"1", token(9), put(SHAPE, ANN, token(5))) == Result(Outcome.conflict, token(5))
