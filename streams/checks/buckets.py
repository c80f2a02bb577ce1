"""What the hashes of two tables say: which buckets differ, and which keys in them. Decisions only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

# Rows for each bucket at which it is better to ask for the rows than for smaller buckets.
ROWS_FEW = 16
# Rows that are fetched without asking for smaller buckets, whatever the number of buckets they are in.
FETCH_ROWS = 20_000
# Rows of a portion of buckets, fetched and compared together, some 100 bytes each; a bucket alone may have more.
PORTION_ROWS = 100_000
# How much finer one look may be than the one before.
BITS_MAX = 14


class Sum(NamedTuple):
    """A bucket of one side: its rows, and the sum of their hashes."""

    rows: int
    hashes: bytes


Sums = Mapping[int, Sum]
Hashes = Mapping[bytes, bytes]


def sums(lines: Iterable[bytes]) -> dict[int, Sum]:
    """Bucket → its sum, from the lines of `rows.hashes.sums_sql`."""
    cells = (line.split(b"\t") for line in lines)
    return {int(number): Sum(int(rows), hashes) for number, rows, hashes in cells}


def hashes(lines: Iterable[bytes]) -> dict[bytes, bytes]:
    """Key → its row's hash, from the lines of `rows.hashes.rows_sql`."""
    parts = (line.rpartition(b"\t") for line in lines)
    return {key: row_hash for key, _, row_hash in parts}


def rows_of(found: Sums) -> int:
    """The rows of all buckets."""
    return sum(bucket.rows for bucket in found.values())


def unequal(source: Sums, replica: Sums) -> dict[int, int]:
    """The buckets that differ, in order, each with the rows that its fetch would give on the larger side."""
    numbers = sorted(n for n in source.keys() | replica.keys() if source.get(n) != replica.get(n))
    return {n: max(each[n].rows for each in (source, replica) if n in each) for n in numbers}


def differing(source: Hashes, replica: Hashes) -> list[bytes]:
    """The keys that only one side has, or whose rows differ, in order."""
    return sorted(key for key in source.keys() | replica.keys() if source.get(key) != replica.get(key))


def portions(pending: Mapping[int, int]) -> Iterator[dict[int, int]]:
    """The buckets in portions of at most PORTION_ROWS rows, or of one bucket."""
    portion: dict[int, int] = {}
    for number, rows in pending.items():
        if portion and sum(portion.values()) + rows > PORTION_ROWS:
            yield portion
            portion = {}
        portion[number] = rows
    if portion:
        yield portion


def finer_by(portion: Mapping[int, int], shift: int) -> int:
    """By how many bits smaller buckets should be before rows are fetched; 0: fetch them now."""
    rows = sum(portion.values())
    if shift == 0 or rows <= FETCH_ROWS or rows <= ROWS_FEW * len(portion):
        return 0
    return min(shift, BITS_MAX, max(1, (rows // (ROWS_FEW * len(portion))).bit_length()))
