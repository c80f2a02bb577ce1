"""Which partitions keys are in, for those who list a whole table."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from streams.errors import HoldtrueError, StoreUnavailable
from streams.kafka.partitions import Partitioner

# In place of the partition of what can be no key of the table (a letter where a number belongs): it is somebody else's.
NOBODYS = -1


def by_partition(opened: Callable[[], Partitioner], keys: Iterable[bytes]) -> dict[int, list[bytes]]:
    """The keys by their partition. Blocks. Raises StoreUnavailable where it cannot be told now.

    That is so while the registry is away, or does not know the topic's keys yet: it is to be asked again.
    """
    grouped: dict[int, list[bytes]] = {}
    try:
        partitioner = opened()
        for key in keys:
            grouped.setdefault(_partition(partitioner, key), []).append(key)
    except HoldtrueError as error:
        raise StoreUnavailable(error.what, error.hint) from None
    return grouped


def _partition(partitioner: Partitioner, key: bytes) -> int:
    try:
        return partitioner.partition(key)
    except (ValueError, TypeError, OverflowError):
        return NOBODYS
