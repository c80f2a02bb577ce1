"""Slot, stream and mirror of a Postgres replica's own log, on a server of their own."""

from __future__ import annotations

import random
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from streams.checks.mark import OwnersMark
from streams.errors import HoldtrueError
from streams.replicas import postgres_mirror
from streams.replicas.base import Refused
from streams.replicas.log import Compared, LogLost, LogTaken
from streams.replicas.postgres import PostgresTable
from streams.replicas.postgres_log import LogReader
from streams.replicas.postgres_mirror import Mirrored, PostgresMirror
from streams.replicas.postgres_session import Sessions
from streams.replicas.postgres_slot import drop_log, is_read
from streams.replicas.postgres_stream import LogStream
from streams.rows.canonical import encode
from streams.rows.digest import BUCKETS, Digester, bucket_of
from tests.support.postgres_server import cluster
from tests.support.shapes import key_of, make_shape
from tests.support.wait import wait_until
from tests.support.writes import bury, put, token

NAME = "holdtrue_bank_reports_log"
TABLE = "public.account"
SHAPE = make_shape({"id": "int4", "name": "text", "amount": "numeric", "at": "timestamptz"}, ["id"], TABLE)
PARTITIONS = 2


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    with cluster(wal_level="logical") as server:
        server.initialise()
        server.start()
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            _bound(connection, "1GB")
        yield server.dsn


def _bound(connection: psycopg.Connection[Any], size: str) -> None:
    connection.execute(f"ALTER SYSTEM SET max_slot_wal_keep_size = '{size}'".encode())
    connection.execute("SELECT pg_reload_conf()")
    wait_until(lambda: connection.execute("SHOW max_slot_wal_keep_size").fetchone() == (size,), f"the bound {size}")


@pytest.fixture
def rogue(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """Somebody else; what a test has made is gone after it."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection
        wait_until(lambda: not is_read(dsn, NAME), "the slot to be left")
        drop_log(dsn, NAME)
        connection.execute('DROP TABLE IF EXISTS account, holdtrue."public.account"')


@pytest.fixture
def table(dsn: str, rogue: psycopg.Connection[Any]) -> Iterator[PostgresTable]:
    made = PostgresTable(Sessions(dsn), SHAPE, TABLE)
    made.prepare()
    yield made
    made.close()


def _stream(dsn: str, table: PostgresTable) -> LogStream:
    logged = {TABLE: table.logged}
    return LogStream(dsn, NAME, logged, LogReader(logged))


@contextmanager
def _followed(dsn: str, table: PostgresTable) -> Iterator[LogStream]:
    stream = _stream(dsn, table)
    try:
        assert stream.open()
        yield stream
    finally:
        stream.close()


def _foreign(stream: LogStream, until: Callable[[set[bytes]], bool]) -> set[bytes]:
    found: set[bytes] = set()

    def look() -> bool:
        found.update(*(each.keys for each in stream.read(0.1).foreign.values()))
        return until(found)

    wait_until(look, lambda: str(found), 20.0)
    return found


def _row(key: int, name: str = "x") -> tuple[str, ...]:
    return (str(key), name, "1.5", "2026-01-01 00:00:00+00")


def test_only_what_others_write_is_foreign(dsn: str, table: PostgresTable, rogue: psycopg.Connection[Any]) -> None:
    """Writes of ours of every kind are explained, a repair that overrules and forgotten tombstones too."""
    with _followed(dsn, table) as stream:
        table.apply([put(SHAPE, _row(key), token(key)) for key in range(1, 50)])
        table.apply([put(SHAPE, _row(1, "y"), token(60)), bury(b"2", token(61)), bury(b"777", token(62))])
        table.overrule(b"3", token(3), put(SHAPE, _row(3, "z"), token(3, 1)))
        rogue.execute('DELETE FROM holdtrue."public.account" WHERE dead_since IS NOT NULL')
        rogue.execute("UPDATE account SET name = 'foreign' WHERE id = 7")
        assert _foreign(stream, lambda found: b"7" in found) == {b"7"}


def test_what_was_not_confirmed_is_sent_again_to_whoever_follows_next(
    dsn: str, table: PostgresTable, rogue: psycopg.Connection[Any]
) -> None:
    """One follows at a time; the next one needs no new slot."""
    table.apply([put(SHAPE, _row(key), token(key)) for key in range(1, 5)])
    with _followed(dsn, table) as stream:
        assert is_read(dsn, NAME)
        with pytest.raises(LogTaken):
            _stream(dsn, table).open()
        rogue.execute("UPDATE account SET name = 'first' WHERE id = 1")
        assert _foreign(stream, bool) == {b"1"}
    wait_until(lambda: not is_read(dsn, NAME), "the slot to be left")
    second = _stream(dsn, table)
    assert not second.open()
    assert _foreign(second, bool) == {b"1"}
    rogue.execute("UPDATE account SET name = 'second' WHERE id = 2")
    assert _foreign(second, bool) == {b"2"}
    read = second.read(0.0)
    second.confirm(read.through)
    query = "SELECT confirmed_flush_lsn - '0/0' >= %s FROM pg_replication_slots WHERE slot_name = %s"
    wait_until(
        lambda: second.read(0.1) is not None and rogue.execute(query, [read.through, NAME]).fetchone() == (True,),
        "the slot to move", 20.0,
    )  # fmt: skip
    second.close()
    wait_until(lambda: not is_read(dsn, NAME), "the slot to be left")
    third = _stream(dsn, table)
    third.open()
    rogue.execute("UPDATE account SET name = 'third' WHERE id = 3")
    assert _foreign(third, bool) == {b"3"}
    third.close()


def test_a_publication_that_somebody_changes_is_noticed_and_made_anew(
    dsn: str, table: PostgresTable, rogue: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next slot is new, so that everybody knows: something may not have been seen."""
    monkeypatch.setattr("streams.replicas.postgres_stream.WATCH_SECONDS", 0.0)
    with _followed(dsn, table) as stream:
        rogue.execute(f"ALTER PUBLICATION {NAME} DROP TABLE account".encode())
        with pytest.raises(LogLost):
            stream.read(0.0)
    wait_until(lambda: not is_read(dsn, NAME), "the slot to be left")
    with _followed(dsn, table) as stream:
        rogue.execute("INSERT INTO account (id) VALUES (5)")
        assert _foreign(stream, bool) == {b"5"}


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("ALTER TABLE account SET UNLOGGED", "unlogged"),
        ("ALTER TABLE account REPLICA IDENTITY NOTHING", "replica identity"),
        ("ALTER TABLE account DROP CONSTRAINT account_pkey; CREATE UNIQUE INDEX ON account (id)", "replica identity"),
    ],
)
def test_what_would_break_its_writers_or_show_nothing_is_not_published(
    dsn: str, table: PostgresTable, rogue: psycopg.Connection[Any], statement: str, words: str
) -> None:
    """Postgres would refuse updates of a published table whose rows have no name."""
    rogue.execute(statement.encode())
    with pytest.raises(Refused, match=words):
        _stream(dsn, table).open()
    rogue.execute("INSERT INTO account (id) VALUES (5); UPDATE account SET name = 'x'")


def test_a_slot_without_a_bound_is_not_made(dsn: str, table: PostgresTable, rogue: psycopg.Connection[Any]) -> None:
    """It could fill the replica's disk."""
    _bound(rogue, "-1")
    try:
        with pytest.raises(Refused, match="max_slot_wal_keep_size"):
            _stream(dsn, table).open()
    finally:
        _bound(rogue, "1GB")


class Entries:
    """What an owner knows: digests by key, and marks under the lock that its writes share."""

    def __init__(self, dsn: str, table: PostgresTable) -> None:
        self.table = table
        self.lock = threading.Lock()
        self.known: dict[bytes, bytes] = {}
        self.digester = Digester("1")
        self._offset = 0

    def write(self, keys: list[int], names: list[str | None]) -> None:
        """A batch."""
        with self.lock:
            writes = []
            for key, name in zip(keys, names, strict=True):
                self._offset += 1
                mark, text = token(self._offset), str(key).encode()
                if name is None:
                    writes.append(bury(text, mark))
                    self.known.pop(text, None)
                else:
                    write = put(SHAPE, _row(key, name), mark)
                    writes.append(write)
                    self.known[text] = self.digester.digest(text, write.line)
            self.table.apply(writes)

    def mark(self) -> None:
        """One of each partition."""
        with self.lock:
            for partition in range(PARTITIONS):
                sums = [0] * BUCKETS
                for key, digest in self.known.items():
                    if partition_of(key) == partition:
                        sums[bucket_of(key)] += int.from_bytes(digest, "big")
                sums = [each % (1 << 128) for each in sums]
                self.table.mark(NAME, OwnersMark(time.time(), partition, TABLE, "1", sums).encode())


def partition_of(key: bytes) -> int:
    return zlib.crc32(b"p" + key) % PARTITIONS


class Mirroring:
    """A follower with a mirror, driven by hand."""

    def __init__(self, dsn: str, table: PostgresTable, folder: Path) -> None:
        logged = {TABLE: table.logged}
        mirrored = Mirrored(table.logged, Digester("1").digest, "1", PARTITIONS, lambda: partition_of, table.read)
        self.mirror = PostgresMirror(dsn, NAME, folder, {TABLE: mirrored})
        reader = LogReader(
            logged, on_row=self.mirror.on_row, on_begin=self.mirror.on_begin, on_mark=self.mirror.on_mark
        )
        self.stream = LogStream(dsn, NAME, logged, reader)
        self.stream.open()

    def fill(self) -> None:
        """Until it is."""

        def filled() -> bool:
            self.stream.read(0.0)
            self.mirror.fill()
            return self.mirror.is_filled

        wait_until(filled, "the mirror to be filled", 30.0)

    def compared(self, marks: int) -> list[Compared]:
        """What so many marks have shown."""
        found: list[Compared] = []

        def look() -> bool:
            self.stream.read(0.1)
            found.extend(self.mirror.taken())
            return len(found) >= marks

        wait_until(look, lambda: f"{marks} marks, not {len(found)}", 30.0)
        return found

    def close(self) -> None:
        self.stream.close()
        self.mirror.close()


@pytest.fixture
def mirroring(dsn: str, table: PostgresTable, tmp_path: Path) -> Iterator[Mirroring]:
    made = Mirroring(dsn, table, tmp_path)
    yield made
    made.close()


def test_what_is_as_its_owner_knows_is_equal_at_every_mark_under_load(
    dsn: str, table: PostgresTable, mirroring: Mirroring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the mirror is filled from a snapshot, too: rows come, change and go in between."""
    monkeypatch.setattr(postgres_mirror, "CHUNK", 50)
    monkeypatch.setattr(postgres_mirror, "LOOK_SECONDS", 0.0)
    entries = Entries(dsn, table)
    entries.write(list(range(3_000)), ["begin"] * 3_000)
    stopped = threading.Event()

    def load() -> None:
        rng = random.Random(1)
        # Some hundred changes a second: what is driven by hand, look by look, would never catch up with more.
        while not stopped.wait(0.05):
            keys = rng.sample(range(4_000), 20)
            entries.write(keys, [None if rng.random() < 0.3 else f"n{rng.random()}" for _ in keys])

    thread = threading.Thread(target=load)
    thread.start()
    try:
        mirroring.fill()
        for _ in range(5):
            entries.mark()
        compared = mirroring.compared(5 * PARTITIONS)
    finally:
        stopped.set()
        thread.join()
    assert [each.buckets for each in compared] == [[]] * len(compared)


@pytest.mark.parametrize(
    ("statement", "key"),
    [
        ("UPDATE account SET name = 'other' WHERE id = 7", b"7"),
        ("UPDATE account SET amount = 2 WHERE id = 7", b"7"),
        ("DELETE FROM account WHERE id = 7", b"7"),
        ("INSERT INTO account (id) VALUES (7000)", b"7000"),
        # Who raises the token himself is not told from us by the token: by the content.
        ("UPDATE account SET name = 'other' WHERE id = 7; UPDATE holdtrue.\"public.account\" SET token = "
         "'\\xffffffffffffffffffffffffffffffff' WHERE id = 7", b"7"),
    ],
)  # fmt: skip
def test_what_differs_is_found_in_its_bucket(
    dsn: str, table: PostgresTable, mirroring: Mirroring, rogue: psycopg.Connection[Any], statement: str, key: bytes
) -> None:
    """With the keys that the bucket has in the replica."""
    entries = Entries(dsn, table)
    entries.write(list(range(100)), ["begin"] * 100)
    mirroring.fill()
    with rogue.transaction():
        rogue.execute(statement.encode())
    entries.mark()
    found = {each.partition: each for each in mirroring.compared(PARTITIONS)}
    there = found.pop(partition_of(key))
    assert there.buckets == [bucket_of(key)]
    assert there.keys is not None
    named = {each for each, digest in there.keys.items() if entries.known.get(each) != digest}
    assert named == set() if b"DELETE" in statement.encode() else named == {key}
    assert [each.buckets for each in found.values()] == [[]]


def test_values_are_digested_as_they_are_read(
    dsn: str, table: PostgresTable, mirroring: Mirroring, rogue: psycopg.Connection[Any]
) -> None:
    """A numeric with zeros, a time of another zone, NULLs, and a long value that an update leaves alone."""
    mirroring.fill()
    entries = Entries(dsn, table)
    rogue.execute("SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'")
    long = "SELECT string_agg(md5(n::text), '') FROM generate_series(1, 500) n"
    rogue.execute(f"INSERT INTO account SELECT 1, ({long}), 100.500, '2026-01-01 12:00+09'".encode())
    rogue.execute("INSERT INTO account VALUES (2, E'tab\\there\\\\', 'NaN', NULL), (3, NULL, 0.00, 'infinity')")
    rogue.execute("UPDATE account SET amount = 10.0 WHERE id = 1")
    for chunk in table.scan(100):
        for key, held in chunk:
            assert held.row is not None
            assert key == key_of(SHAPE, held.row)
            entries.known[key] = entries.digester.digest(key, encode(held.row))
    entries.mark()
    assert [each.buckets for each in mirroring.compared(PARTITIONS)] == [[], []]


def test_marks_of_somebody_else_mean_nothing(
    mirroring: Mirroring, dsn: str, table: PostgresTable, rogue: psycopg.Connection[Any]
) -> None:
    """Anybody may write into the log, under our name too."""
    mirroring.fill()
    entries = Entries(dsn, table)
    rogue.execute("SELECT pg_logical_emit_message(true, %s, 'no mark')", [NAME])
    rogue.execute("SELECT pg_logical_emit_message(true, 'another', 'no mark')")
    other = OwnersMark(0.0, 0, TABLE, "another mapping", [1] * BUCKETS)
    rogue.execute("SELECT pg_logical_emit_message(true, %s, %s)", [NAME, other.encode()])
    entries.mark()
    assert [each.buckets for each in mirroring.compared(PARTITIONS)] == [[], []]


def test_errors_of_the_server_are_told_as_of_every_store(dsn: str, table: PostgresTable, tmp_path: Path) -> None:
    """A follower that cannot connect says so without a secret."""
    stream = LogStream("postgresql://u:secret@127.0.0.1:1/x", NAME, {}, LogReader({}))
    with pytest.raises(HoldtrueError) as told:
        stream.open()
    assert "secret" not in str(told.value)
