"""Digests: of a row under its key, and of a bucket of keys.

A digest is a keyed BLAKE2b over key, mapping version and canonical row: whoever can read digests cannot test guesses of
a row's content without the plan's digest key. A bucket digest is the sum of its keys' digests modulo 2**128, so that it
changes in O(1) with every write and does not depend on order (design, Version table).
"""

from __future__ import annotations

from hashlib import blake2b
from zlib import crc32

DIGEST_BYTES = 16
BUCKETS = 1024
_MODULUS = 1 << (8 * DIGEST_BYTES)


class Digester:
    """Digests the rows of one table under one mapping; cheap enough for every change (about 1 µs a row).

    `version` says what digests can be compared at all: those of one mapping under one key.
    """

    def __init__(self, mapping_version: str, secret: bytes = b"") -> None:
        key = blake2b(digest_size=6, key=secret[:64], person=b"holdtrue version").hexdigest()
        self.version = f"{mapping_version}.{key}" if secret else mapping_version
        # The hash's state after key and mapping version: each row starts from a copy of it.
        self._start = blake2b(mapping_version.encode() + b"\x00", digest_size=DIGEST_BYTES, key=secret[:64])

    def digest(self, key: bytes, row: bytes) -> bytes:
        """Digest of a row's canonical bytes under its key's canonical bytes; 16 bytes."""
        state = self._start.copy()
        # A canonical line holds no newline, so the separator makes (key, row) injective.
        state.update(key + b"\n" + row)
        return state.digest()


def bucket_of(key: bytes) -> int:
    """The bucket of a key, the same on every run and machine."""
    return crc32(key) % BUCKETS


def shift(total: bytes, removed: bytes | None, added: bytes | None) -> bytes:
    """A bucket digest after one of its keys changed from `removed` to `added` (None: no row)."""
    value = int.from_bytes(total, "big") - int.from_bytes(removed or b"", "big") + int.from_bytes(added or b"", "big")
    return (value % _MODULUS).to_bytes(DIGEST_BYTES, "big")
