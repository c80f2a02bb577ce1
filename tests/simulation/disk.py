"""Local disks of workers in memory, written in atomic steps; power may be lost before the last writes are on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

# How many writes a disk may lose at a power loss.
UNSYNCED_MAX = 4


class _Changes:
    """One atomic write."""

    def __init__(self) -> None:
        self.steps: list[tuple[bytes, bytes | None]] = []

    def put(self, key: bytes, value: bytes) -> None:
        self.steps.append((key, value))

    def delete(self, key: bytes) -> None:
        self.steps.append((key, None))


class _Folder:
    """What lies in one folder, and how it was before the last writes."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}
        self.earlier: list[dict[bytes, bytes]] = []


class _Disk:
    """A folder, opened. Keeps the contract of `streams.versions.disk.Disk`."""

    def __init__(self, folder: _Folder) -> None:
        self._folder = folder

    def get(self, keys: list[bytes]) -> list[bytes | None]:
        return [self._folder.data.get(key) for key in keys]

    def items(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        data = self._folder.data
        return iter([(key, data[key]) for key in sorted(data) if key >= start])

    def changes(self) -> _Changes:
        return _Changes()

    def write(self, changes: _Changes) -> None:
        folder = self._folder
        folder.earlier = [*folder.earlier[-UNSYNCED_MAX:], folder.data.copy()]
        for key, value in changes.steps:
            if value is None:
                folder.data.pop(key, None)
            else:
                folder.data[key] = value

    def close(self) -> None:
        """What was written stays."""


class Machine:
    """The folders of one worker; they outlive its process."""

    def __init__(self) -> None:
        self._folders: dict[Path, _Folder] = {}

    def open(self, path: Path) -> _Disk:
        """A folder, made when it is not there."""
        return _Disk(self._folders.setdefault(path, _Folder()))

    def wipe(self) -> None:
        """The disk is gone."""
        self._folders.clear()

    def lose_last_writes(self, count: int) -> None:
        """Power loss: each folder is as it was some writes ago, never half of one."""
        for folder in self._folders.values():
            for _ in range(min(count, len(folder.earlier))):
                folder.data = folder.earlier.pop()
