"""What pgoutput says, as a real server sent it, and what follows from it."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import pytest

from streams.plan.mapping import Column, Shape
from streams.replicas import log
from streams.replicas.pgoutput import UNCHANGED, Begin, Change, Commit, Mark, Relation, Truncate, decode
from streams.replicas.postgres_log import Logged, LogReader, Row

# Sent by Postgres 18.4 for: CREATE TABLE d (id int PRIMARY KEY, note text, n numeric).
BEGIN = b"B\x00\x00\x00\x00\x01r\xad\x18\x00\x03\x04_p\xab\xed$\x00\x00\x02\xf3"
RELATION = (
    b"R\x00\x00@\x00public\x00d\x00d\x00\x03\x01id\x00\x00\x00\x00\x17\xff\xff\xff\xff"
    b"\x00note\x00\x00\x00\x00\x19\xff\xff\xff\xff\x00n\x00\x00\x00\x06\xa4\xff\xff\xff\xff"
)
INSERT = b"I\x00\x00@\x00N\x00\x03t\x00\x00\x00\x011t\x00\x00\x00\x03a\tbt\x00\x00\x00\x041.50"
UPDATE = b"U\x00\x00@\x00N\x00\x03t\x00\x00\x00\x011t\x00\x00\x00\x01xt\x00\x00\x00\x041.50"
MESSAGE = b"M\x01\x00\x00\x00\x00\x01r\xad\x18holdtrue\x00\x00\x00\x00\x03hey"
TRUNCATE = b"T\x00\x00\x00\x01\x00\x00\x00@\x00"
COMMIT = b"C\x00\x00\x00\x00\x00\x01r\xad\x18\x00\x00\x00\x00\x01r\xadH\x00\x03\x04_p\xab\xed$"


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        (BEGIN, Begin(0x172AD18, 0x2F3)),
        (COMMIT, Commit(0x172AD48)),
        (RELATION, Relation(16384, "public", "d", ("id", "note", "n"))),
        (INSERT, Change(16384, None, [b"1", b"a\tb", b"1.50"], is_whole=False)),
        (UPDATE, Change(16384, None, [b"1", b"x", b"1.50"], is_whole=False)),
        (TRUNCATE, Truncate((16384,))),
        (MESSAGE, Mark("holdtrue", b"hey")),
        (b"Y\x00\x00\x00\x01\x00\x00", None),
    ],
)
def test_messages_mean_what_the_server_did(message: bytes, meaning: object) -> None:
    """Each kind; types and origins mean nothing here."""
    assert decode(message) == meaning


SHAPE = Shape(
    "public.t", (Column("id", "int4"), Column("note", "text")), ("id", "note"),
    (Column("id", "int4"), Column("note", "text")), ("id",), (0,), (), "1",
)  # fmt: skip
LOGGED = Logged(SHAPE, ("public", "t"), ("holdtrue", "public.t"), "token", "dead_since")
TARGET, VERSIONS = 1, 2


def _relation(oid: int, schema: str, name: str, *columns: str) -> bytes:
    body = b"".join(b"\x00%s\x00%s" % (column.encode(), struct.pack(">ii", 25, -1)) for column in columns)
    return b"R%s%s\x00%s\x00d%s%s" % (
        struct.pack(">I", oid), schema.encode(), name.encode(), struct.pack(">h", len(columns)), body
    )  # fmt: skip


def _cells(*cells: bytes | None) -> bytes:
    parts = [
        b"n" if cell is None else b"u" if cell is UNCHANGED else b"t" + struct.pack(">i", len(cell)) + cell
        for cell in cells
    ]
    return struct.pack(">h", len(cells)) + b"".join(parts)


def _change(kind: bytes, oid: int, **tuples: bytes) -> bytes:
    return kind + struct.pack(">I", oid) + b"".join(name.encode() + cells for name, cells in tuples.items())


RELATIONS = (
    _relation(TARGET, "public", "t", "id", "note"),
    _relation(VERSIONS, "holdtrue", "public.t", "id", "token", "dead_since"),
    _relation(3, "public", "somebody_elses", "id"),
)


def _read(*changes: bytes, rows: list[Row] | None = None) -> LogReader:
    reader = LogReader({"public.t": LOGGED}, on_row=None if rows is None else rows.append)
    for message in (*RELATIONS, BEGIN, *changes, COMMIT):
        reader.take(message)
    return reader


def _foreign(changes: Iterable[bytes]) -> set[bytes]:
    found = _read(*changes).taken().get("public.t")
    return set() if found is None else found.keys


INSERTED = _change(b"I", TARGET, N=_cells(b"7", b"x"))
RAISED = _change(b"U", VERSIONS, O=_cells(b"7", b"\\x01", None), N=_cells(b"7", b"\\x02", None))


@pytest.mark.parametrize(
    ("changes", "foreign"),
    [
        ((RAISED, INSERTED), set()),
        ((_change(b"I", VERSIONS, N=_cells(b"7", b"\\x01", None)), INSERTED), set()),
        ((INSERTED,), {b"7"}),
        ((RAISED,), {b"7"}),
        ((_change(b"U", VERSIONS, O=_cells(b"7", b"\\x02", None), N=_cells(b"7", b"\\x02", None)), INSERTED), {b"7"}),
        ((_change(b"D", TARGET, K=_cells(b"7", None)),), {b"7"}),
        ((_change(b"D", TARGET, O=_cells(b"7", b"x")),), {b"7"}),
        ((RAISED, _change(b"U", TARGET, K=_cells(b"6", None), N=_cells(b"7", b"x"))), {b"6"}),
        ((_change(b"D", VERSIONS, O=_cells(b"7", b"\\x01", b"2026-01-01")),), set()),
        ((_change(b"D", VERSIONS, O=_cells(b"7", b"\\x01", None)),), {b"7"}),
        ((_change(b"I", 3, N=_cells(b"7")),), set()),
    ],
    ids=["merge", "first", "row alone", "token alone", "token copied", "deleted", "deleted, old row", "key moved",
         "tombstone forgotten", "token removed", "another table"],
)  # fmt: skip
def test_what_one_transaction_shows(changes: Iterable[bytes], foreign: set[bytes]) -> None:
    """Rows and tokens are told apart by their tables."""
    assert _foreign(changes) == foreign


def test_each_transaction_is_judged_by_itself() -> None:
    """A token of the one before explains nothing; what is not complete says nothing yet."""
    reader = _read(RAISED, INSERTED)
    reader.take(BEGIN)
    reader.take(INSERTED)
    assert reader.taken() == {}
    assert reader.is_inside
    reader.take(COMMIT)
    assert reader.taken()["public.t"].keys == {b"7"}
    assert reader.taken() == {}
    assert reader.through == 0x172AD48


def test_a_truncate_of_rows_or_of_tokens_means_the_whole_table() -> None:
    """Nothing is named."""
    for oid in (TARGET, VERSIONS):
        reader = _read(b"T" + struct.pack(">iBI", 1, 0, oid))
        assert reader.taken()["public.t"].everything


def test_keys_beyond_the_bound_mean_the_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many transactions they are from."""
    monkeypatch.setattr(log, "FOREIGN_KEYS_MAX", 2)
    reader = _read(INSERTED)
    for key in (b"8", b"9"):
        for message in (BEGIN, _change(b"I", TARGET, N=_cells(key, b"x")), COMMIT):
            reader.take(message)
    found = reader.taken()["public.t"]
    assert (found.everything, found.keys) == (True, set())


def test_a_table_that_lost_its_key_says_nothing() -> None:
    """It is not the table of the plan any more: who writes it finds out."""
    reader = _read(INSERTED)
    for message in (_relation(TARGET, "public", "t", "note"), BEGIN, _change(b"I", TARGET, N=_cells(b"x")), COMMIT):
        reader.take(message)
    assert reader.taken()["public.t"].keys == {b"7"}


def test_rows_are_given_as_transactions_leave_them() -> None:
    """By column; a value that an update left alone comes from the old row, where the log has it."""
    rows: list[Row] = []
    _read(
        INSERTED,
        _change(b"U", TARGET, O=_cells(b"7", b"long"), N=_cells(b"7", UNCHANGED)),
        _change(b"U", TARGET, N=_cells(b"7", UNCHANGED)),
        _change(b"U", TARGET, K=_cells(b"7", None), N=_cells(b"8", b"y")),
        _change(b"D", TARGET, K=_cells(b"8", None)),
        rows=rows,
    )
    assert rows == [
        Row("public.t", b"7", {"id": b"7", "note": b"x"}),
        Row("public.t", b"7", {"id": b"7", "note": b"long"}),
        Row("public.t", b"7", {"id": b"7", "note": UNCHANGED}),
        Row("public.t", b"7", None),
        Row("public.t", b"8", {"id": b"8", "note": b"y"}),
        Row("public.t", b"8", None),
    ]
