"""Free space, checked before something is written."""

from __future__ import annotations

import shutil
from pathlib import Path

from streams.local.errors import StackError

# With less, a Postgres cannot make the next file of its log (16 MiB), which it does as a whole.
LEAST_BYTES = 20_000_000


def free_bytes(path: Path) -> int:
    """Free space where `path` is or would be created."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def require_space(path: Path, size: int, purpose: str) -> None:
    """Raise StackError unless `size` bytes are free where `path` is."""
    free = free_bytes(path)
    if free < size:
        raise StackError(
            f"Not enough disk space for {purpose} in {path}: {free / 1e6:,.0f} MB free, {size / 1e6:,.0f} MB needed.",
            "Free some space, or choose another place with --data-dir or XDG_CACHE_HOME.",
        )
