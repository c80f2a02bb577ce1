"""One decoded Debezium record for one key."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from streams.rows.canonical import Row


class Op(IntEnum):
    """What a record says. A *change* happened in the log; a *read* is a snapshot's answer (design, Words)."""

    upsert = 0
    delete = 1
    read = 2


class Record(NamedTuple):
    """One record of one key, mapped to one replica's shape.

    row: the canonical row; None for a delete, and for a row the mapping's filter leaves out of this replica.
    line: canonical bytes of `row`; b"" when there is none.
    lsn, txid: position and transaction of a change; 0 for a read, whose log position means nothing.
    partial: the record lacks values (an unchanged TOAST column), so its content can not be used.
    """

    offset: int
    op: Op
    row: Row | None
    line: bytes
    lsn: int
    txid: int
    partial: bool = False
