"""Two tables compared by hashes that their servers make: what is equal is never fetched."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import NamedTuple

from streams.checks.buckets import Sum, differing, finer_by, hashes, portions, rows_of, sums, unequal
from streams.errors import HoldtrueError
from streams.rows.hashes import Asked, Found, Grid, Side, asked, bounds_sql, is_indexed, probe_sql, rows_sql, sums_sql

SEED_BITS = 63


class NotAlike(HoldtrueError):
    """The two servers do not hash the same text alike, or do not write it alike."""


class Counted(NamedTuple):
    """Rows of both sides at their moments, and the buckets of `grid` that differ, with their rows."""

    grid: Grid
    sot_rows: int
    replica_rows: int
    unequal: Mapping[int, int]


class Differing(NamedTuple):
    """Keys that differ, and how many of them the SOT has."""

    keys: list[bytes]
    sot_rows: int


class Hashes:
    """Both sides of one run. The seed is the run's own: what collides in one run does not in the next."""

    def __init__(self, source: Asked, replica: Asked) -> None:
        self._source = source
        self._replica = replica
        self._seed = secrets.randbits(SEED_BITS)

    def counted(self, passed: Callable[[], None]) -> Counted:
        """Sums of all rows, made by two servers at once. The replica is looked at when `passed` has returned."""
        grid = self._grid()
        with self._beside(lambda: self._whole(self._source, grid)) as source:
            passed()
            here, here_alike = self._whole(self._replica, grid)
            there, there_alike = source.result()
        if there_alike != here_alike:
            raise NotAlike("The two servers hash one text in two ways, or write it in two encodings.")
        return Counted(grid, rows_of(there), rows_of(here), unequal(there, here))

    def differing(self, counted: Counted) -> Iterator[Differing]:
        """The keys that differ, in portions: of the unequal buckets alone."""
        yield from self._within(counted.grid, counted.unequal)

    def _within(self, grid: Grid, pending: Mapping[int, int]) -> Iterator[Differing]:
        for portion in portions(pending):
            if bits := finer_by(portion, grid.shift):
                finer = grid.finer(bits)
                there, here = self._both(partial(sums_sql, grid=finer, within=(grid, portion)), sums)
                yield from self._within(finer, unequal(there, here))
            else:
                source, replica = self._both(partial(rows_sql, grid=grid, buckets=portion), hashes)
                keys = differing(source, replica)
                yield Differing(keys, sum(key in source for key in keys))

    def _grid(self) -> Grid:
        side = self._source.side
        key = [side.cells[place][1] for place in side.key]
        if not is_indexed(key):
            return Grid.over(key, self._seed, None)
        (least, most), *_ = asked(self._source, bounds_sql(side), lambda lines: [line.split(b"\t") for line in lines])
        return Grid.over(key, self._seed, None if least == b"\\N" else (int(least), int(most)))

    def _whole(self, side: Asked, grid: Grid) -> tuple[dict[int, Sum], list[bytes]]:
        alike = asked(side, probe_sql(self._seed), list)
        return asked(side, sums_sql(side.side, grid), sums), alike

    def _both(self, query: Callable[[Side], str], read: Callable[[Iterable[bytes]], Found]) -> tuple[Found, Found]:
        source = self._source
        with self._beside(lambda: asked(source, query(source.side), read)) as there:
            here = asked(self._replica, query(self._replica.side), read)
            return there.result(), here

    @contextmanager
    def _beside(self, work: Callable[[], Found]) -> Iterator[Future[Found]]:
        """The SOT works while the body does. What the body raises ends it there, too."""
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(work)
            try:
                yield running
            except BaseException:
                # A query that has just ended, or a server that is gone, needs no end.
                with suppress(Exception):
                    self._source.stop()
                raise
