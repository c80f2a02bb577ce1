"""What an owner makes of a batch before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streams.agents.apply import Applier
from streams.changes.record import Op, Record
from streams.replicas.memory import MemoryTable
from streams.rows.canonical import encode
from streams.versions.entry import Entry, Position, Token
from streams.versions.marks import Log
from streams.versions.state import Move, PartitionState
from tests.support.works import SHAPE, work_of


def test_a_batch_that_begins_before_a_floor_is_counted_to_the_log_before(tmp_path: Path) -> None:
    """What it has of that log would else be compared with positions of the next one, and placed among them."""
    nothing: Any = None
    state, row = PartitionState(tmp_path, 0), ("1", "new")
    known = Entry(Token(1, 5, 0), Position(1, 700), 3, (), b"d" * 16)
    state.commit([Move(b"1", None, known)], 5, 0)
    state.log = Log(2, floor=9, before=1)
    changes = [Record(offset, Op.upsert, row, encode(row), 700 + offset, 4) for offset in (8, 9)]
    work: Any = work_of(MemoryTable(SHAPE), nothing, nothing, nothing)
    decided = Applier(work, nothing)._decide(state, {b"1": changes}, 8)
    assert decided.stores[b"1"].entry.position == Position(1, 709)
    state.close()
