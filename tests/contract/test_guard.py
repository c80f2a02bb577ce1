"""The guard's decision, the same on every store: only a larger token writes."""

from __future__ import annotations

import pytest

from streams.replicas.base import Held, Outcome, ReplicaTable, Result
from streams.rows.canonical import encode
from tests.contract.harness import Harness, MakeTable
from tests.support.shapes import make_shape
from tests.support.writes import bury, put, token

SHAPE = make_shape({"id": "int8", "owner": "text", "balance": "numeric", "active": "bool"}, ["id"])
ANN, ANNA = ("1", "Ann", "10.5", "t"), ("1", "Anna", None, "f")


@pytest.fixture
def table(make_table: MakeTable) -> ReplicaTable:
    return make_table(SHAPE)


def test_an_empty_batch_has_no_results(table: ReplicaTable) -> None:
    """Nothing in, nothing out."""
    assert table.apply([]) == []


def test_a_first_write_is_applied_and_read_back_with_its_token(table: ReplicaTable) -> None:
    """What was written is what `read` gives: content and token."""
    assert table.apply([put(SHAPE, ANN, token(5))]) == [Result(Outcome.applied)]
    assert table.read([b"1"]) == {b"1": Held(token(5), ANN)}


@pytest.mark.parametrize("newer", [token(6), token(5, refresh=1), token(0, epoch=2), token(2**63 + 5)])
def test_a_larger_token_replaces_the_row(table: ReplicaTable, newer: object) -> None:
    """Epoch counts before offset, offset before refresh; offsets may use all of their 64 bits."""
    table.apply([put(SHAPE, ANN, token(5))])
    assert table.apply([put(SHAPE, ANNA, newer)]) == [Result(Outcome.applied)]  # type: ignore[arg-type]
    assert table.read([b"1"]) == {b"1": Held(newer, ANNA)}  # type: ignore[arg-type]


@pytest.mark.parametrize("older", [token(4, refresh=9), token(5, refresh=0), token(99, epoch=0)])
def test_a_smaller_token_is_stale_and_leaves_everything(table: ReplicaTable, older: object) -> None:
    """The loser is told what is stored; the row stays."""
    stored = token(5, refresh=1)
    table.apply([put(SHAPE, ANN, stored)])
    assert table.apply([put(SHAPE, ANNA, older)]) == [Result(Outcome.stale, stored)]  # type: ignore[arg-type]
    assert table.apply([bury(b"1", older)]) == [Result(Outcome.stale, stored)]  # type: ignore[arg-type]
    assert table.read([b"1"]) == {b"1": Held(stored, ANN)}


def test_the_same_write_again_is_a_duplicate(table: ReplicaTable) -> None:
    """A replay of a row or of a delete changes nothing and says so."""
    batch = [put(SHAPE, ANN, token(5)), bury(b"2", token(6))]
    table.apply(batch)
    assert table.apply(batch) == [Result(Outcome.duplicate, token(5)), Result(Outcome.duplicate, token(6))]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_an_equal_token_with_other_content_is_a_conflict(table: ReplicaTable, index: int) -> None:
    """Other content, a delete of a live row, and a row for a tombstone: none is written."""
    table.apply([put(SHAPE, ANN, token(5)), bury(b"2", token(5))])
    write = [put(SHAPE, ANNA, token(5)), bury(b"1", token(5)), put(SHAPE, ("2", "Bob", "1", "t"), token(5))][index]
    assert table.apply([write]) == [Result(Outcome.conflict, token(5))]
    assert table.read([b"1", b"2"]) == {b"1": Held(token(5), ANN), b"2": Held(token(5), None)}


def test_a_delete_leaves_a_tombstone_that_still_guards(table: ReplicaTable) -> None:
    """After a delete an older write of the row stays out, a newer one brings it back."""
    table.apply([put(SHAPE, ANN, token(5))])
    assert table.apply([bury(b"1", token(7))]) == [Result(Outcome.applied)]
    assert table.apply([put(SHAPE, ANNA, token(6))]) == [Result(Outcome.stale, token(7))]
    assert table.read([b"1"]) == {b"1": Held(token(7), None)}
    assert table.apply([put(SHAPE, ANNA, token(8))]) == [Result(Outcome.applied)]
    assert table.read([b"1"]) == {b"1": Held(token(8), ANNA)}


def test_a_delete_of_an_unknown_key_leaves_a_tombstone(table: ReplicaTable) -> None:
    """A delete may come before anything else of its key; it guards all the same."""
    assert table.apply([bury(b"9", token(7))]) == [Result(Outcome.applied)]
    assert table.apply([put(SHAPE, ("9", "x", "1", "t"), token(6))]) == [Result(Outcome.stale, token(7))]
    assert table.count() == 0


def test_a_batch_answers_each_write_in_its_order(table: ReplicaTable) -> None:
    """Winners and losers of one batch do not disturb each other."""
    table.apply([put(SHAPE, (str(n), "old", "1", "t"), token(10 + n)) for n in (4, 2, 3)])
    batch = [
        put(SHAPE, ("3", "new", "1", "t"), token(1)),
        put(SHAPE, ("7", "new", "1", "t"), token(20)),
        bury(b"2", token(21)),
        put(SHAPE, ("4", "old", "1", "t"), token(14)),
        put(SHAPE, ("5", "new", "1", "t"), token(3)),
        bury(b"3", token(13)),
    ]
    assert [result.outcome.value for result in table.apply(batch[:5])] == [
        "stale",
        "applied",
        "applied",
        "duplicate",
        "applied",
    ]
    assert table.apply(batch[5:]) == [Result(Outcome.conflict, token(13))]
    assert table.read([b"2"]) == {b"2": Held(token(21), None)}
    assert table.count() == 4


def test_many_keys_in_one_batch(table: ReplicaTable) -> None:
    """Batches are not bounded by what one call of the store can take."""
    writes = [put(SHAPE, (str(n), f"owner {n}", f"{n}.25", "t"), token(n)) for n in range(1, 1201)]
    assert {result.outcome for result in table.apply(writes)} == {Outcome.applied}
    assert table.count() == 1200
    held = table.read([write.key for write in writes])
    assert held == {write.key: Held(write.token, write.row) for write in writes}


def test_a_row_without_token_is_older_than_anything(harness: Harness, table: ReplicaTable) -> None:
    """An adopted row is replaced by any write, also by a delete."""
    harness.plant(table, b"1", ANN)
    harness.plant(table, b"2", ("2", "Bob", "1", "t"))
    assert table.read([b"1"]) == {b"1": Held(None, ANN)}
    assert table.apply([put(SHAPE, ANNA, token(0, epoch=0)), bury(b"2", token(0, epoch=0))]) == [
        Result(Outcome.applied),
        Result(Outcome.applied),
    ]
    assert table.read([b"1", b"2"]) == {
        b"1": Held(token(0, epoch=0), ANNA),
        b"2": Held(token(0, epoch=0), None),
    }


def test_two_handles_see_one_guard(harness: Harness, table: ReplicaTable) -> None:
    """A second worker meets the tokens of the first."""
    other = harness.again(table)
    table.apply([put(SHAPE, ANN, token(5))])
    assert other.apply([put(SHAPE, ANNA, token(4))]) == [Result(Outcome.stale, token(5))]
    assert other.apply([put(SHAPE, ANNA, token(6))]) == [Result(Outcome.applied)]
    assert table.read([b"1"]) == {b"1": Held(token(6), ANNA)}
    other.close()
    other.close()


@pytest.mark.parametrize("key", ["", "a}b", "x" * 3_000], ids=["empty", "brace", "long"])
def test_a_delete_of_a_key_the_store_cannot_hold_is_done(make_table: MakeTable, key: str) -> None:
    """Whether or not a store can hold it: what is not there is gone, which is no reason for a dead letter."""
    shape = make_shape({"id": "text", "name": "text"}, ["id"])
    table = make_table(shape)
    row = (key, "n")
    first = table.apply([put(shape, row, token(5))])[0]
    assert first.outcome in (Outcome.applied, Outcome.refused)
    assert table.apply([bury(encode((key,)), token(6))]) == [Result(Outcome.applied)]
