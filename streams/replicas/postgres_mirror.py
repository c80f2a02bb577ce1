"""A mirror of a Postgres replica's tables, kept from its log: filled from one snapshot, compared at the owners' marks.

What the snapshot shows of a transaction is in what was read there, and its changes are passed over in the log; the
others' count, and are newer than what was read (decision 17).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg

from streams.address import shown
from streams.changes.visibility import Looks, Snapshot
from streams.checks.mark import OwnersMark, unequal
from streams.checks.request import RUN_SECONDS_MAX
from streams.errors import HoldtrueError, StoreUnavailable
from streams.replicas.base import Held
from streams.replicas.log import Compared
from streams.replicas.pgoutput import UNCHANGED, Begin, Mark
from streams.replicas.postgres_errors import translated
from streams.replicas.postgres_log import Logged, Row
from streams.replicas.postgres_slot import connect
from streams.rows.canonical import SESSION, encode
from streams.rows.types import Kind, kind_of
from streams.versions.mirror import Mirror

log = logging.getLogger(__name__)

# Rows that are read between two reads of the log.
CHUNK: Final = 2_000
# Keys named for one partition at a mark; of more, the owner visits all.
NAMED_MAX: Final = 10_000
# Keys that change while the tables are read, at most.
NEWER_MAX: Final = 1_000_000
LOOK_SECONDS: Final = 1.0
_LOOK = "SELECT pg_current_snapshot()::text, (pg_current_wal_insert_lsn() - '0/0')::bigint"


class Mirrored(NamedTuple):
    """A table, and what its digests hang on.

    digest: of key and row. partition_of: gives what tells a key's partition, or raises HoldtrueError while that is not
    known. read: what the store holds for keys.
    """

    logged: Logged
    digest: Callable[[bytes, bytes], bytes]
    mapping: str
    partitions: int
    partition_of: Callable[[], Callable[[bytes], int]]
    read: Callable[[Sequence[bytes]], Mapping[bytes, Held]]


class PostgresMirror:
    """For one thread. Raises psycopg.Error; the follower begins anew then. `tables`: by SOT table."""

    def __init__(self, dsn: str, name: str, folder: Path, tables: Mapping[str, Mirrored]) -> None:
        self._dsn = dsn
        self._name = name
        self._folder = folder
        self._tables = tables
        self._mirrors: dict[str, Mirror] = {}
        self._partition_of: dict[str, Callable[[bytes], int]] = {}
        self._connection: psycopg.Connection[Any] | None = None
        self._looks = Looks()
        self._rows: Iterator[tuple[str, bytes, bytes]] | None = None
        # What was read there; None before, and when the log is past everything that it shows.
        self._snapshot: Snapshot | None = None
        # Transactions that came before there was a snapshot, which has to show them.
        self._before: set[int] = set()
        # Keys whose changes are newer than what is read of them; only while it is read.
        self._newer: set[tuple[str, bytes]] = set()
        self._look_at = 0.0
        self._is_shown = False
        self.is_filled = False
        self._compared: list[Compared] = []

    def taken(self) -> list[Compared]:
        """What was compared since it was last asked."""
        compared, self._compared = self._compared, []
        return compared

    def fill(self) -> None:
        """Read some more of the tables; to be called until `is_filled`, after the log has begun to be followed."""
        try:
            if not self.is_filled and self._is_begun():
                self._fill()
        except psycopg.Error as error:
            raise translated(error, shown(self._dsn)) from None

    def _fill(self) -> None:
        assert self._rows is not None
        chunk = list(islice(self._rows, CHUNK))
        for table, key, line in chunk:
            if (table, key) not in self._newer:
                self._put(table, key, self._tables[table].digest(key, line))
        if len(chunk) < CHUNK:
            self.is_filled = True
            self._newer.clear()
            self._leave()
            log.info("the mirror of %s is filled", ", ".join(self._tables))

    def on_begin(self, begin: Begin) -> None:
        """Is the transaction in what was read?"""
        if self._snapshot is not None and self.is_filled and begin.lsn > self._snapshot.lsn:
            self._snapshot = None
        if self._rows is None:
            self._before.add(begin.xid)
        self._is_shown = self._rows is None or (self._snapshot is not None and self._snapshot.shows(begin.xid))

    def on_row(self, row: Row) -> None:
        """Take the change in, unless it was read."""
        if self._is_shown:
            return
        if not self.is_filled:
            self._note_newer(row)
        self._put(row.table, row.key, self._digest(row))

    def _note_newer(self, row: Row) -> None:
        if len(self._newer) >= NEWER_MAX:
            raise StoreUnavailable(
                f"The tables of the replica at {shown(self._dsn)} change faster than they can be read.",
                "It is tried again; without that only the digests kept from its log are missing.",
            )
        self._newer.add((row.table, row.key))

    def on_mark(self, mark: Mark) -> None:
        """Compare, if it is an owner's of ours and everything is here."""
        if mark.prefix != self._name or not self.is_filled or self._is_shown:
            return
        try:
            owners = OwnersMark.decode(mark.content)
        except ValueError:
            return  # somebody else's
        mirrored = self._tables.get(owners.table)
        if mirrored is None or owners.mapping != mirrored.mapping or owners.partition >= mirrored.partitions:
            return
        mirror = self._mirrors[owners.table]
        buckets = unequal(mirror.sums(owners.partition), owners.sums)
        found = ((key, digest) for bucket in buckets for key, digest in mirror.bucket(owners.partition, bucket))
        keys = dict(islice(found, NAMED_MAX + 1))
        named = keys if len(keys) <= NAMED_MAX else None
        seconds = max(0.0, time.time() - owners.at)
        self._compared.append(Compared(owners.table, owners.partition, buckets, named, owners.at, seconds))

    def close(self) -> None:
        """Nobody needs it any more."""
        self._leave()
        for mirror in self._mirrors.values():
            mirror.close()

    def _is_begun(self) -> bool:
        """Whether the tables are being read: begun when everything is over that was in progress at the first look."""
        if self._rows is not None:
            return True
        if time.monotonic() < self._look_at or not self._is_known_where():
            return False
        self._look_at = time.monotonic() + LOOK_SECONDS
        if self._connection is None:
            self._mirrors = {
                table: Mirror(self._folder / table, each.partitions) for table, each in self._tables.items()
            }
            self._connection = connect(self._dsn)
            for name, value in SESSION.items():
                self._connection.execute("SELECT set_config(%s, %s, false)", [name, value])
            self._connection.execute("SELECT set_config('statement_timeout', %s, false)", [f"{RUN_SECONDS_MAX}s"])
        self._connection.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        text, lsn = self._connection.execute(_LOOK).fetchone() or ("0:0:", 0)
        snapshot = Snapshot.parse(text, lsn)
        self._before = {xid for xid in self._before if not snapshot.shows(xid)}
        if self._before or not self._looks.at(snapshot).settled:
            self._connection.execute("ROLLBACK")
            return False
        self._snapshot = snapshot
        self._rows = self._read(self._connection)
        return True

    def _is_known_where(self) -> bool:
        """Whether the partitions of keys can be told; not while Kafka has no record of a table."""
        try:
            for table, mirrored in self._tables.items():
                if table not in self._partition_of:
                    self._partition_of[table] = mirrored.partition_of()
        except HoldtrueError:
            self._look_at = time.monotonic() + LOOK_SECONDS
            return False
        return True

    def _read(self, connection: psycopg.Connection[Any]) -> Iterator[tuple[str, bytes, bytes]]:
        for table, mirrored in self._tables.items():
            index = mirrored.logged.shape.key_index
            with connection.cursor() as cursor, cursor.copy(mirrored.logged.content) as copy:
                for line in copy:
                    content = bytes(line)[:-1]
                    cells = content.split(b"\t")
                    yield table, b"\t".join([cells[place] for place in index]), content

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _put(self, table: str, key: bytes, digest: bytes | None) -> None:
        self._mirrors[table].put(self._partition_of[table](key), key, digest)

    def _digest(self, row: Row) -> bytes | None:
        if row.cells is None:
            return None
        mirrored = self._tables[row.table]
        shape = mirrored.logged.shape
        cells = [row.cells[name] for name in shape.target_columns]
        if UNCHANGED in cells:
            # Not in the log. What is there now is no older, and whatever is newer comes in the log, too.
            held = mirrored.read([row.key]).get(row.key)
            return None if held is None or held.row is None else mirrored.digest(row.key, encode(held.row))
        types = [column.type for column in shape.source_columns]
        texts = [_canonical(cell, kind) for cell, kind in zip(cells, types, strict=True)]
        return mirrored.digest(row.key, encode(texts))


def _canonical(cell: bytes | None, type_name: str) -> str | None:
    """The canonical text of a value that Postgres has printed: as `rows.types.canonical_sql` selects it."""
    if cell is None:
        return None
    text = cell.decode()
    if kind_of(type_name) is Kind.numeric and "." in text:
        return text.rstrip("0").rstrip(".")
    return text
