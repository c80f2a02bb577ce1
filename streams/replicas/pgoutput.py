"""What the logical decoding plugin pgoutput (protocol version 1) says, as plain data. Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

# A cell is the value's text as bytes, or None for NULL. An update does not send a long value that it left alone.
UNCHANGED: Final = b"\x00unchanged"
Cells = list[bytes | None]


class Begin(NamedTuple):
    """A transaction begins; whole transactions come one after the other, in the order of their commits.

    xid: the lower half of its id. lsn: of its commit.
    """

    lsn: int
    xid: int


class Commit(NamedTuple):
    """It is complete. end: where the log goes on behind it."""

    end: int


class Relation(NamedTuple):
    """What the numbers of the following changes mean; sent before the first of them, and when a table has changed."""

    oid: int
    schema: str
    name: str
    columns: tuple[str, ...]


class Change(NamedTuple):
    """One row of a table was inserted (no old), updated or deleted (no new).

    old: all cells, or those of the replica identity and None for the others; None of an update that left the identity
    alone. is_whole: whether old is the whole row.
    """

    relation: int
    old: Cells | None
    new: Cells | None
    is_whole: bool


class Truncate(NamedTuple):
    """Tables were emptied."""

    relations: tuple[int, ...]


class Mark(NamedTuple):
    """A logical message that somebody put into the log."""

    prefix: str
    content: bytes


Message = Begin | Commit | Relation | Change | Truncate | Mark


def decode(message: bytes) -> Message | None:
    """The message; None for one of a kind that nothing here hangs on (types, origins)."""
    reader = _READERS.get(message[0])
    return None if reader is None else reader(message)


def _begin(message: bytes) -> Begin:
    lsn, _, xid = struct.unpack_from(">qqI", message, 1)
    return Begin(lsn, xid)


def _commit(message: bytes) -> Commit:
    return Commit(struct.unpack_from(">q", message, 10)[0])


def _relation(message: bytes) -> Relation:
    (oid,) = struct.unpack_from(">I", message, 1)
    schema, at = _string(message, 5)
    name, at = _string(message, at)
    (count,) = struct.unpack_from(">h", message, at + 1)
    at += 3
    columns = []
    for _ in range(count):
        column, at = _string(message, at + 1)
        columns.append(column)
        at += 8
    # Postgres sends its own schema as "".
    return Relation(oid, schema or "pg_catalog", name, tuple(columns))


def _insert(message: bytes) -> Change:
    return Change(_oid(message), None, _cells(message, 6)[0], is_whole=False)


def _update(message: bytes) -> Change:
    kind = message[5:6]
    if kind == b"N":
        return Change(_oid(message), None, _cells(message, 6)[0], is_whole=False)
    old, at = _cells(message, 6)
    return Change(_oid(message), old, _cells(message, at + 1)[0], is_whole=kind == b"O")


def _delete(message: bytes) -> Change:
    return Change(_oid(message), _cells(message, 6)[0], None, is_whole=message[5:6] == b"O")


def _truncate(message: bytes) -> Truncate:
    (count,) = struct.unpack_from(">i", message, 1)
    return Truncate(struct.unpack_from(f">{count}I", message, 6))


def _mark(message: bytes) -> Mark:
    prefix, at = _string(message, 10)
    (size,) = struct.unpack_from(">i", message, at)
    return Mark(prefix, message[at + 4 : at + 4 + size])


_READERS: Final[Mapping[int, Callable[[bytes], Message]]] = {
    ord("B"): _begin,
    ord("C"): _commit,
    ord("R"): _relation,
    ord("I"): _insert,
    ord("U"): _update,
    ord("D"): _delete,
    ord("T"): _truncate,
    ord("M"): _mark,
}


def _oid(message: bytes) -> int:
    oid: int = struct.unpack_from(">I", message, 1)[0]
    return oid


def _string(message: bytes, at: int) -> tuple[str, int]:
    end = message.index(0, at)
    return message[at:end].decode(), end + 1


def _cells(message: bytes, at: int) -> tuple[Cells, int]:
    (count,) = struct.unpack_from(">h", message, at)
    at += 2
    cells: Cells = []
    for _ in range(count):
        kind = message[at]
        at += 1
        if kind == _TEXT:
            (size,) = struct.unpack_from(">i", message, at)
            at += 4
            cells.append(message[at : at + size])
            at += size
        else:
            cells.append(UNCHANGED if kind == _SAME else None)
    return cells, at


_TEXT, _SAME = ord("t"), ord("u")
