"""What a replica holds of one table, as somebody who follows its log knows it: a digest of each key, a sum per bucket.

The sums are of the same kind as those of the version table (`state.bucket_digest`): where two are equal, so are all the
keys of the bucket. It is filled anew by each follower: nothing here outlives a process.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from streams.rows.digest import BUCKETS, DIGEST_BYTES, bucket_of
from streams.versions.disk import Disk, RocksDisk

# Keys that are kept in memory before they are written together.
STAGED_MAX: Final = 5_000
_MODULUS: Final = 1 << (8 * DIGEST_BYTES)
_PLACE: Final = struct.Struct(">HH")


class Mirror:
    """For one thread. partitions: how many the table has; keys are told apart by theirs and their bucket."""

    def __init__(self, path: Path, partitions: int, open_disk: Callable[[Path], Disk] = RocksDisk) -> None:
        shutil.rmtree(path, ignore_errors=True)
        self._path = path
        self._disk = open_disk(path)
        self._sums = [[0] * BUCKETS for _ in range(partitions)]
        self._staged: dict[bytes, bytes | None] = {}

    def put(self, partition: int, key: bytes, digest: bytes | None) -> None:
        """The replica holds this under the key; None: nothing."""
        self._staged[_PLACE.pack(partition, bucket_of(key)) + key] = digest
        if len(self._staged) >= STAGED_MAX:
            self._write()

    def sums(self, partition: int) -> Sequence[int]:
        """Sum of the digests in each bucket, modulo 2**128."""
        self._write()
        return self._sums[partition]

    def bucket(self, partition: int, bucket: int) -> Iterator[tuple[bytes, bytes]]:
        """Keys of one bucket with their digests."""
        self._write()
        prefix = _PLACE.pack(partition, bucket)
        for key, digest in self._disk.items(prefix):
            if not key.startswith(prefix):
                return
            yield key[_PLACE.size :], digest

    def close(self) -> None:
        """Nobody needs it any more."""
        self._disk.close()
        shutil.rmtree(self._path, ignore_errors=True)

    def _write(self) -> None:
        if not self._staged:
            return
        keys = list(self._staged)
        changes = self._disk.changes()
        for key, old in zip(keys, self._disk.get(keys), strict=True):
            new = self._staged[key]
            self._account(key, old, new)
            if new is not None:
                changes.put(key, new)
            elif old is not None:
                changes.delete(key)
        self._disk.write(changes)
        self._staged.clear()

    def _account(self, key: bytes, old: bytes | None, new: bytes | None) -> None:
        partition, bucket = _PLACE.unpack_from(key)
        total = self._sums[partition][bucket] + int.from_bytes(new or b"", "big") - int.from_bytes(old or b"", "big")
        self._sums[partition][bucket] = total % _MODULUS
