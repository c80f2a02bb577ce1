"""Which drift is which: the same difference seen again is the same drift."""

from __future__ import annotations

from hashlib import blake2b


def drift_id(replica: str, table: str, key: bytes | str) -> str:
    """The id of the drift of one key (or of a place, such as `4@topic[2]`, where a record has no key)."""
    place = key if isinstance(key, bytes) else key.encode()
    return blake2b(b"\x00".join((replica.encode(), table.encode(), place)), digest_size=10).hexdigest()
