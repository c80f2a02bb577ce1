"""Why a benchmark gives no figure."""

from __future__ import annotations

from streams.errors import HoldtrueError


class BenchError(HoldtrueError):
    """A run did not end as it must: no figure is better than a wrong one."""
