"""A light load on a table of a bank: changes of every kind, all the time, with pauses for those who compare."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

KEYS = 2_000
REST_SECONDS = 0.004


class Load:
    """Inserts, updates, deletes and moves keys 1 to KEYS of a table (id int, note text) until stopped.

    rest: seconds after each change.
    """

    def __init__(self, dsn: str, table: str, seed: int = 1, rest: float = REST_SECONDS) -> None:
        self._dsn = dsn
        self._table = table
        self._rest = rest
        self._random = random.Random(seed)
        self._stopped = threading.Event()
        self._turn = threading.Lock()
        self._failed: BaseException | None = None
        self.changes = 0
        self._thread = threading.Thread(target=self._run, name="load")
        self._thread.start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, the SOT does not change."""
        with self._turn:
            yield

    def stop(self) -> None:
        """End it. Raises what ended it before."""
        self._stopped.set()
        self._thread.join(30)
        if self._failed is not None:
            raise self._failed

    def _run(self) -> None:
        try:
            with psycopg.connect(self._dsn, autocommit=True) as sot:
                while not self._stopped.wait(self._rest):
                    with self._turn:
                        self._change(sot)
                    self.changes += 1
        except BaseException as error:
            self._failed = error

    def _change(self, sot: psycopg.Connection[tuple[object, ...]]) -> None:
        key, other = self._random.randint(1, KEYS), self._random.randint(1, KEYS)
        match self._random.random():
            case kind if kind < 0.6:
                self._execute(sot, "UPDATE {} SET note = %s WHERE id = %s", f"change {self.changes}", key)
            case kind if kind < 0.75:
                self._execute(sot, "DELETE FROM {} WHERE id = %s", key)
            case kind if kind < 0.95:
                self._execute(sot, "INSERT INTO {} VALUES (%s, %s) ON CONFLICT DO NOTHING", key, f"new {self.changes}")
            case _:
                free = "UPDATE {0} SET id = %s WHERE id = %s AND NOT EXISTS (SELECT FROM {0} WHERE id = %s)"
                self._execute(sot, free, other, key, other)

    def _execute(self, sot: psycopg.Connection[tuple[object, ...]], statement: str, *values: object) -> None:
        sot.execute(statement.format(self._table), values)  # type: ignore[arg-type]
