"""Where the plan hides keys: which keys records of drift are about, found by looking through source and replica.

A record has the HMAC of a key, and nobody keeps a list of which belongs to which. So every key there is now is hidden
in the same way and compared. A repair costs one pass over the keys for that, however many it is of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from streams.drift.names import Names
from streams.validation.target import Target

LISTED_KEYS = 1_000
# Of a key that was found in neither: replica and source are alike.
GONE = "its key is neither in the source nor in the replica any more"


def find_keys(target: Target, names: Names, wanted: Collection[bytes]) -> dict[bytes, bytes]:
    """The keys, by what stands for them in records, of those that source or replica have now."""
    left, found = set(wanted), dict[bytes, bytes]()
    for key in _keys(target) if left else ():
        if (shown := names.shown(key)) in left:
            found[shown] = key
            left.discard(shown)
            if not left:
                break
    return found


def _keys(target: Target) -> Iterator[bytes]:
    """Every key of the source, then every one that the replica lists."""
    with target.sot.scanning() as rows:
        for row in rows:
            yield row.key
    for listed in target.store.keys(LISTED_KEYS * target.partitions):
        yield from (key for key in listed if key is not None)
