"""Somebody else who brings a table (id int, note text) from one Postgres to another, some time after it has changed."""

from __future__ import annotations

import threading

import psycopg

REST_SECONDS = 0.3
LAST = 2**31 - 1


class OtherWriter:
    """Compares the table, or its rows up to this key, and writes what differs, again and again until stopped."""

    def __init__(self, sot: str, replica: str, table: str, upto: int = LAST) -> None:
        self._sot = sot
        self._replica = replica
        self._table = table
        self._upto = upto
        self._stopped = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="other writer")
        self._thread.start()

    def stop(self) -> None:
        """End it. Raises what ended it before."""
        self._stopped.set()
        self._thread.join(30)
        if self._failed is not None:
            raise self._failed

    def _run(self) -> None:
        try:
            while not self._stopped.wait(REST_SECONDS):
                copy(self._sot, self._replica, self._table, self._upto)
        except BaseException as error:
            self._failed = error


def copy(sot: str, replica: str, table: str, upto: int = LAST) -> None:
    """Bring the table, or its rows up to this key, to what the source has now."""
    query = f"SELECT id, note FROM {table} WHERE id <= {upto:d}"
    with psycopg.connect(sot) as source, psycopg.connect(replica) as target:
        there = dict(target.execute(query).fetchall())  # type: ignore[call-overload]
        wanted = dict(source.execute(query).fetchall())  # type: ignore[call-overload]
        with target.cursor() as cursor:
            gone = [(key,) for key in there.keys() - wanted.keys()]
            cursor.executemany(f"DELETE FROM {table} WHERE id = %s", gone)  # type: ignore[arg-type]
            upsert = (
                f"INSERT INTO {table} (id, note) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET note = excluded.note"
            )
            new = [row for row in wanted.items() if row[0] not in there or there[row[0]] != row[1]]
            cursor.executemany(upsert, new)  # type: ignore[arg-type]
