"""Hashes of two tables: what is equal is passed over, what differs is named key by key, in bounded portions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.checks.buckets import (
    BITS_MAX,
    FETCH_ROWS,
    PORTION_ROWS,
    ROWS_FEW,
    Sum,
    differing,
    finer_by,
    hashes,
    portions,
    rows_of,
    sums,
    unequal,
)


def test_lines_become_sums_and_hashes() -> None:
    """A key of two columns keeps its tab; a negative bucket and a sum of more than 64 bits are numbers, too."""
    large = b"-99999999999999999999"
    assert sums([b"-3\t2\t" + large, b"0\t1\t5"]) == {-3: Sum(2, large), 0: Sum(1, b"5")}
    assert hashes([b"a\tb\t-7", b"\t8"]) == {b"a\tb": b"-7", b"": b"8"}


def test_a_bucket_is_unequal_by_rows_by_hashes_or_by_being_there() -> None:
    """With as many rows as its fetch would give on the larger side."""
    source = {1: Sum(2, b"9"), 2: Sum(1, b"9"), 3: Sum(1, b"9"), 4: Sum(7, b"1")}
    replica = {1: Sum(2, b"9"), 2: Sum(3, b"9"), 3: Sum(1, b"8"), 5: Sum(1, b"1")}
    assert unequal(source, replica) == {2: 3, 3: 1, 4: 7, 5: 1}
    assert rows_of(source) == 11


def test_keys_of_one_side_and_keys_with_other_rows_differ() -> None:
    """In order of their bytes."""
    assert differing({b"a": b"1", b"b": b"2", b"c": b"3"}, {b"b": b"2", b"c": b"4", b"0": b"1"}) == [b"0", b"a", b"c"]


@given(st.dictionaries(st.integers(), st.integers(1, 2 * PORTION_ROWS), max_size=20))
def test_portions_are_bounded_and_leave_nothing_out(pending: dict[int, int]) -> None:
    """A bucket that is larger than a portion is one by itself."""
    parts = list(portions(pending))
    assert {n: rows for part in parts for n, rows in part.items()} == pending
    assert sum(map(len, parts)) == len(pending)
    assert all(sum(part.values()) <= PORTION_ROWS or len(part) == 1 for part in parts)


def test_few_rows_are_fetched_and_many_are_looked_at_more_closely() -> None:
    """Down to buckets of a few rows each, or of one number."""
    assert finer_by({1: FETCH_ROWS}, 20) == 0
    assert finer_by({1: FETCH_ROWS + 1}, 0) == 0
    assert finer_by(dict.fromkeys(range(5_000), ROWS_FEW), 20) == 0
    assert finer_by(dict.fromkeys(range(5_000), 8 * ROWS_FEW), 20) == 4
    assert finer_by(dict.fromkeys(range(5_000), 8 * ROWS_FEW), 2) == 2
    assert finer_by({1: 10**9}, 60) == BITS_MAX
