"""What a Redis replica's share of applying changes costs; run by hand: `python -m tests.long.bench_redis_store`.

Writes ROWS rows of nine columns in batches to one server and to a cluster of three, in turn, as inserts, updates and
replays, reads them, and prints for each rows/s and the Python CPU per row. Figures are kept in docs/stores.md.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta

from streams.replicas.base import Outcome, Write
from streams.replicas.redis import RedisTable
from streams.replicas.redis_client import connect
from streams.rows.canonical import encode
from streams.versions.entry import Token
from tests.support.redis_cluster import private_cluster
from tests.support.redis_server import private_redis
from tests.support.shapes import make_shape

COLUMNS = {"id": "int8", "amount": "int4", "branch": "int4", "owner": "text", "note": "text", "active": "bool",
           "seen": "timestamptz", "balance": "numeric", "total": "int8"}  # fmt: skip
SHAPE = make_shape(COLUMNS, ["id"])


def main() -> None:
    options = _options()
    with ExitStack() as servers:
        urls = {
            "single": servers.enter_context(private_redis()),
            "cluster": servers.enter_context(private_cluster())[0],
        }
        for number in range(options.rounds):
            for name, url in urls.items():
                _round(RedisTable(SHAPE, connect(url), tombstone_retention=timedelta(hours=1)), name, options, number)


def _round(table: RedisTable, name: str, options: argparse.Namespace, number: int) -> None:
    table.prepare()
    keys = list(range(options.rows))
    random.Random(number).shuffle(keys)
    writes = [_write(key, number, Token(1, number * options.rows + place, 0)) for place, key in enumerate(keys)]
    batches = [writes[at : at + options.batch] for at in range(0, len(writes), options.batch)]
    for what, expected in (("writes", Outcome.applied), ("replays", Outcome.duplicate)):
        _timed(f"{name} {what}", options.rows, lambda wanted=expected: _apply(table, batches, wanted))  # type: ignore[misc]
    _timed(f"{name} reads", options.rows, lambda: [table.read([write.key for write in batch]) for batch in batches])
    _timed(f"{name} keys", options.rows, lambda: sum(map(len, table.keys(options.batch))))
    table.close()


def _apply(table: RedisTable, batches: list[list[Write]], expected: Outcome) -> None:
    for batch in batches:
        assert {result.outcome for result in table.apply(batch)} == {expected}


def _timed(what: str, rows: int, work: Callable[[], object]) -> None:
    begun, cpu = time.perf_counter(), time.process_time()
    work()
    seconds, used = time.perf_counter() - begun, time.process_time() - cpu
    print(f"{what:18} {rows / seconds:10,.0f} rows/s   Python {used / rows * 1e6:5.2f} µs/row", flush=True)


def _write(key: int, number: int, token: Token) -> Write:
    seen, owner = "2024-02-29 23:59:59.123456+00", f"owner of number {key}"
    row = (str(key), str(key * 3), str(number), owner, f"note {number} and more", "t", seen, f"{key}.25", str(key * 11))
    return Write(str(key).encode(), row, encode(row), token)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
