"""What a Postgres replica's share of applying changes costs; run by hand: `python -m tests.long.bench_postgres_store`.

Writes ROWS rows of nine columns in batches, as inserts, twice as updates, then as deletes, and prints for each round
rows/s and the Python CPU per row. With `--dsn` it uses a server that is there, else a private one. Figures are kept in
docs/decisions/0002-postgres-guarded-merge.md.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from contextlib import nullcontext

from streams.replicas.base import Outcome, Write
from streams.replicas.postgres import PostgresTable
from streams.replicas.postgres_session import Sessions
from streams.rows.canonical import encode
from streams.versions.entry import Token
from tests.support.postgres_server import postgres_server
from tests.support.shapes import make_shape

COLUMNS = {
    "id": "int8",
    "amount": "int4",
    "branch": "int4",
    "owner": "text",
    "note": "text",
    "active": "bool",
    "seen": "timestamptz",
    "balance": "numeric",
    "total": "int8",
}
SHAPE = make_shape(COLUMNS, ["id"])


def main() -> None:
    options = _options()
    with nullcontext(options.dsn) if options.dsn else postgres_server() as dsn:
        assert dsn
        sessions = Sessions(dsn)
        table = PostgresTable(sessions, SHAPE, "bench.accounts", "bench_tokens")
        with sessions.session() as session:
            session.connection.execute("DROP SCHEMA IF EXISTS bench, bench_tokens CASCADE")
        table.prepare()
        for number, name in enumerate(["inserts", "updates", "updates again", "deletes", "stale"]):
            _round(table, options, name, number)
        table.close()


def _round(table: PostgresTable, options: argparse.Namespace, name: str, number: int) -> None:
    writes = _writes(options, number)
    expected = Outcome.stale if name == "stale" else Outcome.applied
    begun, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(writes), options.batch):
        results = table.apply(writes[start : start + options.batch])
        assert results[-1].outcome is expected
    seconds, used = time.perf_counter() - begun, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    rate, each = len(writes) / seconds, used / len(writes) * 1e6
    print(f"{name:14} {rate:10,.0f} rows/s   Python {each:5.2f} µs/row   peak {peak} MB", flush=True)
    if name == "updates again":
        _scan(table, options.chunk)


def _scan(table: PostgresTable, chunk: int) -> None:
    begun = time.perf_counter()
    rows = sum(map(len, table.scan(chunk)))
    print(f"{'scan':14} {rows / (time.perf_counter() - begun):10,.0f} rows/s", flush=True)


def _writes(options: argparse.Namespace, number: int) -> list[Write]:
    # The last round is older than everything, so that all of it is stale.
    epoch, keys = (0 if number == 4 else 1), list(range(options.rows))
    if options.order == "random":
        random.Random(number).shuffle(keys)
    return [_write(key, number, Token(epoch, number * options.rows + place, 0)) for place, key in enumerate(keys)]


def _write(key: int, number: int, token: Token) -> Write:
    if number == 3:
        return Write(str(key).encode(), None, b"", token)
    seen, owner = "2024-02-29 23:59:59.123456+00", f"owner of number {key}"
    row = (str(key), str(key * 3), str(number), owner, f"note {number} and more", "t", seen, f"{key}.25", str(key * 11))
    return Write(str(key).encode(), row, encode(row), token)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dsn")
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--batch", type=int, default=5_000)
    parser.add_argument("--chunk", type=int, default=5_000)
    parser.add_argument("--order", choices=["sequential", "random"], default="sequential")
    return parser.parse_args()


if __name__ == "__main__":
    main()
