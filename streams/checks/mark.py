"""A mark in a replica's own log: what an owner knows the replica to hold at that point, as a digest of each bucket.

It is put there under the partition's lock, when every write of the owner is in the log before it and none behind it. So
whoever follows the log compares exactly at that point, however late it reads it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from streams.rows.digest import BUCKETS, DIGEST_BYTES

_HEAD: Final = struct.Struct(">dHHH")


class OwnersMark(NamedTuple):
    """at: when it was made, in seconds since 1970. mapping: what the digests were made under."""

    at: float
    partition: int
    table: str
    mapping: str
    sums: Sequence[int]

    def encode(self) -> bytes:
        """As it is put into the log."""
        table, mapping = self.table.encode(), self.mapping.encode()
        head = _HEAD.pack(self.at, self.partition, len(table), len(mapping))
        return head + table + mapping + b"".join(each.to_bytes(DIGEST_BYTES, "big") for each in self.sums)

    @classmethod
    def decode(cls, content: bytes) -> OwnersMark:
        """The inverse. Raises ValueError for what is no mark: anybody may write into the log."""
        try:
            at, partition, table_size, mapping_size = _HEAD.unpack_from(content)
        except struct.error:
            raise ValueError("too short for a mark") from None
        table_end = _HEAD.size + table_size
        digests = content[table_end + mapping_size :]
        if len(digests) != BUCKETS * DIGEST_BYTES:
            raise ValueError("another number of buckets")
        sums = [int.from_bytes(digests[at : at + DIGEST_BYTES], "big") for at in range(0, len(digests), DIGEST_BYTES)]
        table, mapping = content[_HEAD.size : table_end], content[table_end : table_end + mapping_size]
        return cls(at, partition, table.decode(), mapping.decode(), sums)


def unequal(ours: Iterable[int], theirs: Iterable[int]) -> list[int]:
    """The buckets in which two sides differ."""
    return [bucket for bucket, (one, other) in enumerate(zip(ours, theirs, strict=True)) if one != other]
