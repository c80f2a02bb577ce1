"""How long the token of a deleted row is kept, the same on every store: it goes when no older write can come any more.

What is there is never forgotten, however it came back: without its token any late write, however old, would win.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from streams.replicas.base import Held, Outcome, ReplicaTable, Result
from tests.contract.harness import RETENTION, Harness, MakeTable
from tests.support.shapes import make_shape
from tests.support.writes import bury, put, token

SHAPE = make_shape({"id": "int8", "owner": "text"}, ["id"])
ANN, ANNA = ("1", "Ann"), ("1", "Anna")
ALMOST = RETENTION - timedelta(minutes=5)


@pytest.fixture
def table(make_table: MakeTable) -> ReplicaTable:
    return make_table(SHAPE)


def test_a_tombstone_guards_for_its_retention_and_no_longer(harness: Harness, table: ReplicaTable) -> None:
    """After it nothing is left of the key, so that a store does not grow with what it has ever held."""
    table.apply([bury(b"1", token(7))])
    harness.later(table, ALMOST)
    assert table.apply([put(SHAPE, ANN, token(6))]) == [Result(Outcome.stale, token(7))]
    harness.later(table, timedelta(minutes=10))
    assert table.read([b"1"]) == ({} if harness.forgets else {b"1": Held(token(7), None)})


def test_a_key_that_is_deleted_again_guards_for_the_retention_from_then_on(
    harness: Harness, table: ReplicaTable
) -> None:
    """The later delete may be replayed for as long as any other."""
    table.apply([bury(b"1", token(7))])
    harness.later(table, ALMOST)
    table.apply([bury(b"1", token(8))])
    harness.later(table, ALMOST)
    assert table.read([b"1"]) == {b"1": Held(token(8), None)}


def test_a_row_that_came_back_is_never_forgotten(harness: Harness, table: ReplicaTable) -> None:
    """Nor is one that never went."""
    table.apply([put(SHAPE, ANN, token(5)), put(SHAPE, ("2", "Bob"), token(5))])
    table.apply([bury(b"1", token(7))])
    table.apply([put(SHAPE, ANNA, token(8))])
    harness.later(table, 2 * RETENTION)
    late = [put(SHAPE, ANN, token(6)), put(SHAPE, ("2", "Bill"), token(4))]
    assert table.apply(late) == [Result(Outcome.stale, token(8)), Result(Outcome.stale, token(5))]


def test_a_row_that_a_repair_brought_back_is_never_forgotten(harness: Harness, table: ReplicaTable) -> None:
    """The tombstone was a rogue's, or of a token that cannot be ours."""
    table.apply([bury(b"1", token(9))])
    table.overrule(b"1", token(9), put(SHAPE, ANNA, token(8)))
    harness.later(table, 2 * RETENTION)
    assert table.apply([put(SHAPE, ANN, token(6))]) == [Result(Outcome.stale, token(8))]
    assert table.read([b"1"]) == {b"1": Held(token(8), ANNA)}


@pytest.mark.parametrize("before", [token(9), None], ids=["row", "tokenless"])
def test_a_row_that_a_repair_removed_is_forgotten_like_any_other(
    harness: Harness, table: ReplicaTable, before: object
) -> None:
    """Not before its retention, either."""
    if before is None:
        harness.plant(table, b"1", ANN)
    else:
        table.apply([put(SHAPE, ANN, token(9))])
    table.overrule(b"1", before, bury(b"1", token(8)))  # type: ignore[arg-type]
    harness.later(table, ALMOST)
    assert table.read([b"1"]) == {b"1": Held(token(8), None)}
    harness.later(table, timedelta(minutes=10))
    assert table.read([b"1"]) == ({} if harness.forgets else {b"1": Held(token(8), None)})
