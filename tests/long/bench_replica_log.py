"""What following a Postgres replica's own log costs: `python -m tests.long.bench_replica_log [ROWS]`.

One table on a server of its own, filled and changed through the store's own guarded writes; the follower is driven in
one thread, as in a worker.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from streams.checks.mark import OwnersMark
from streams.replicas.postgres import PostgresTable
from streams.replicas.postgres_log import LogReader
from streams.replicas.postgres_mirror import Mirrored, PostgresMirror
from streams.replicas.postgres_session import Sessions
from streams.replicas.postgres_stream import LogStream
from streams.rows.digest import BUCKETS, Digester, bucket_of
from tests.support.postgres_server import cluster
from tests.support.shapes import make_shape
from tests.support.writes import put, token

NAME, TABLE, PARTITIONS = "holdtrue_bench_reports_log", "public.account", 4
SHAPE = make_shape(
    {"id": "int8", "name": "text", "city": "text", "amount": "numeric", "at": "timestamptz", "note": "text"},
    ["id"],
    TABLE,
)
BATCH, ROUNDS, CHANGES = 5_000, 9, 20_000


class Figures(NamedTuple):
    """fill_seconds: until the mirror is filled. compare_seconds: of all buckets of all partitions, each round.

    rows_read: of the table, by the server, for all these comparisons. unequal: buckets found so.
    cpu_seconds_per_change: of the follower's thread, for changes of ours that it read.
    """

    rows: int
    fill_seconds: float
    compare_seconds: list[float]
    rows_read: int
    unequal: int
    cpu_seconds_per_change: float


def partition_of(key: bytes) -> int:
    """Any that is the same for all."""
    return zlib.crc32(b"p" + key) % PARTITIONS


def measured(rows: int) -> Figures:
    """The figures for a table of so many rows."""
    with (
        cluster(wal_level="logical", max_slot_wal_keep_size="4GB", fsync="off") as server,
        tempfile.TemporaryDirectory() as at,
    ):
        server.initialise()
        server.start()
        return _Bench(server.dsn, Path(at)).run(rows)


class _Bench:
    def __init__(self, dsn: str, folder: Path) -> None:
        self._dsn = dsn
        self._digester = Digester("1")
        self._table = PostgresTable(Sessions(dsn), SHAPE, TABLE)
        self._table.prepare()
        self._sums = [[0] * BUCKETS for _ in range(PARTITIONS)]
        self._known: dict[bytes, int] = {}
        self._offset = 0
        logged = self._table.logged
        mirrored = Mirrored(logged, self._digester.digest, "1", PARTITIONS, lambda: partition_of, self._table.read)
        self._mirror = PostgresMirror(dsn, NAME, folder / "mirror", {TABLE: mirrored})
        reader = LogReader({TABLE: logged}, on_row=self._mirror.on_row, on_begin=self._mirror.on_begin,
                           on_mark=self._mirror.on_mark)  # fmt: skip
        self._stream = LogStream(dsn, NAME, {TABLE: logged}, reader)

    def run(self, rows: int) -> Figures:
        for first in range(0, rows, BATCH):
            self._write(range(first, min(first + BATCH, rows)), "begin")
        self._stream.open()
        started = time.monotonic()
        while not self._mirror.is_filled:
            self._stream.read(0.0)
            self._mirror.fill()
        fill = time.monotonic() - started
        before = self._rows_read()
        compared = [self._compare() for _ in range(ROUNDS)]
        read, unequal = self._rows_read() - before, sum(each[1] for each in compared)
        cpu = self._follow_changes(rows)
        self._stream.close()
        self._mirror.close()
        self._table.close()
        return Figures(rows, fill, [each[0] for each in compared], read, unequal, cpu)

    def _write(self, keys: Any, name: str) -> None:
        writes = []
        for key in keys:
            self._offset += 1
            row = (str(key), f"{name} {key}", "Trondheim", "12.5", "2026-01-01 00:00:00+00", "a note of some words")
            writes.append(put(SHAPE, row, token(self._offset)))
            self._account(writes[-1].key, self._digester.digest(writes[-1].key, writes[-1].line))
        self._table.apply(writes)

    def _account(self, key: bytes, digest: bytes) -> None:
        sums, bucket, new = self._sums[partition_of(key)], bucket_of(key), int.from_bytes(digest, "big")
        sums[bucket] = (sums[bucket] + new - self._known.get(key, 0)) % (1 << 128)
        self._known[key] = new

    def _compare(self) -> tuple[float, int]:
        """Seconds from the first owner's noting of its digests to the last comparison; unequal buckets."""
        started, found = time.monotonic(), []
        for partition in range(PARTITIONS):
            sums = list(self._sums[partition])
            self._table.mark(NAME, OwnersMark(time.time(), partition, TABLE, "1", sums).encode())
        while len(found) < PARTITIONS:
            self._stream.read(0.1)
            found += self._mirror.taken()
        return time.monotonic() - started, sum(len(each.buckets) for each in found)

    def _follow_changes(self, rows: int) -> float:
        """CPU seconds of this thread for each change, while another one makes 1,000 a second in batches of 100."""
        stopped = threading.Event()

        def load() -> None:
            for first in range(0, CHANGES, 100):
                began = time.monotonic()
                self._write([(first + n) * 7_919 % rows for n in range(100)], f"change {first}")
                time.sleep(max(0.0, 0.1 - (time.monotonic() - began)))
            stopped.set()

        thread = threading.Thread(target=load)
        thread.start()
        began, changes = time.thread_time(), 0
        while not stopped.is_set() or changes < 2 * CHANGES:
            changes += self._stream.read(0.5).changes
        thread.join()
        return (time.thread_time() - began) / CHANGES

    def _rows_read(self) -> int:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute("SELECT pg_stat_force_next_flush()")
            query = (
                "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'account'"
            )
            found = connection.execute(query).fetchone()
            return int(found[0]) if found else 0


def main() -> None:
    """Print them."""
    figures = measured(int(sys.argv[1]) if len(sys.argv) > 1 else 500_000)
    print(f"{figures.rows} rows, {PARTITIONS} partitions: filled in {figures.fill_seconds:.1f} s")
    spread = f"{min(figures.compare_seconds) * 1000:.1f} to {max(figures.compare_seconds) * 1000:.1f}"
    print(f"comparison: median {statistics.median(figures.compare_seconds) * 1000:.1f} ms ({spread}), "
          f"{figures.rows_read} rows read, {figures.unequal} buckets unequal")  # fmt: skip
    print(f"following: {figures.cpu_seconds_per_change * 1e6:.0f} µs CPU a change, "
          f"{figures.cpu_seconds_per_change * 1e5:.1f} % of a core at 1,000 changes/s")  # fmt: skip


if __name__ == "__main__":
    main()
