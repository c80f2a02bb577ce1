"""Where a partition's state lies: ordered bytes on local disk, written in atomic steps.

A seam for the simulator, which opens states by the thousand; workers keep RocksDB.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from rocksdict import BlockBasedOptions, Cache, Options, Rdict, ReadOptions, WriteBatch

from streams.errors import HoldtrueError

# Per partition: two 8 MiB write buffers and 8 MiB of blocks keep 16 partitions of a worker under 400 MB.
_WRITE_BUFFER_BYTES = 8 << 20
_BLOCK_CACHE_BYTES = 8 << 20


class StateBroken(HoldtrueError):
    """The local state cannot be opened or read."""


class Changes(Protocol):
    """What one atomic write changes."""

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key."""

    def delete(self, key: bytes) -> None:
        """Remove a key."""


class Disk(Protocol):
    """Keys and values in the order of the keys' bytes; for one thread."""

    def get(self, keys: list[bytes]) -> list[bytes | None]:
        """The values of `keys`, in their order; None where there is none."""

    def items(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Keys from `start` on, with their values, in order."""

    def changes(self) -> Changes:
        """An empty write."""

    def write(self, changes: Changes) -> None:
        """Make all of the changes, or none."""

    def close(self) -> None:
        """Flush and give the folder free for another process."""


class RocksDisk:
    """RocksDB in a folder."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = Rdict(str(path), _options())
        except Exception as error:  # rocksdict raises bare Exception for every failure
            raise StateBroken(
                f"The version table in {path} cannot be opened: {error}.",
                "Is another worker with the same --instance running? If the folder is damaged, delete it: it is "
                "recovered from the changelog topic.",
            ) from error

    def get(self, keys: list[bytes]) -> list[bytes | None]:
        """In one call for all keys."""
        return self._db.get(keys)  # type: ignore[no-any-return]

    def items(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """A RocksDB iterator."""
        return self._db.items(from_key=start, read_opt=ReadOptions())  # type: ignore[no-any-return]

    def changes(self) -> Changes:
        """A RocksDB write batch."""
        return WriteBatch(raw_mode=True)  # type: ignore[no-any-return]

    def write(self, changes: Changes) -> None:
        """One write batch."""
        self._db.write(changes)

    def close(self) -> None:
        """RocksDB flushes what it holds in memory."""
        self._db.close()


def _options() -> Options:
    options = Options(raw_mode=True)
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(2)
    options.set_keep_log_file_num(2)
    table = BlockBasedOptions()
    table.set_block_cache(Cache(_BLOCK_CACHE_BYTES))
    table.set_bloom_filter(10, block_based=False)
    options.set_block_based_table_factory(table)
    return options
