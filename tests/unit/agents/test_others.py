"""Continuous checking of what somebody else writes: told only when nothing on its way explains it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents.scrub import Judged, Scrub
from streams.changes.visibility import Snapshot
from streams.checks.watch import Watch
from streams.replicas.memory import MemoryTable
from streams.rows.canonical import encode
from streams.sot.reader import SotRead
from streams.versions.entry import Entry, Token
from streams.versions.state import Move, PartitionState
from tests.support.works import SHAPE, work_of

OLD, NEW, ROGUE = ("1", "old"), ("1", "new"), ("1", "rogue")
KEY, LAG = b"1", 2.0


class Town:
    """A partition that is checked all the time, and whose content somebody else may write; its clock is set by hand."""

    def __init__(self, folder: Path, mode: str) -> None:
        self.now, self.fences, self.end, self.is_owner = 100.0, 0, 0, True
        self.state = PartitionState(folder / "0", 0)
        self.lock = self.state.lock
        self.watch = Watch(lambda: self.now)
        self.store = MemoryTable(SHAPE)
        self.source: tuple[str, str] | None = OLD
        self.held = None
        self.tp = SimpleNamespace(partition=0)
        self.work: Any = work_of(self.store, self._run, self._read, None)
        self.work.mapping = SimpleNamespace(mode=mode, others_write=mode != "replicate")
        self.work.absent_allowed = mode == "invalidate"
        self.work.others_lag_seconds = LAG if mode == "verify" else 0.0
        self.work.pass_fence = self._pass_fence
        self.told: list[tuple[str, str]] = []
        self.scrub = Scrub(self, _Findings(self.told), 60.0)  # type: ignore[arg-type]

    async def _run(self, call: Any, *args: Any) -> Any:
        return call(*args)

    async def _read(self, keys: Sequence[bytes], reason: str, *, paid: bool) -> SotRead:
        return SotRead(Snapshot(1, 9, frozenset(), 0), {} if self.source is None else {KEY: self.source})

    async def _pass_fence(self) -> None:
        self.fences += 1

    async def newest_end_offset(self) -> int:
        return self.end

    async def passed(self, offset: int) -> bool:
        return True

    async def prove_ownership(self) -> bool:
        return self.is_owner

    def applies(self, row: tuple[str, str] | None, offset: int) -> None:
        """A change comes."""
        self.source = row
        digest = None if row is None else self.work.digester.digest(KEY, encode(row))
        self.state.commit(
            [Move(KEY, self.state.entry(KEY), Entry(Token(1, offset, 0), None, 0, (), digest))], offset, 0
        )
        self.watch.note(KEY, offset, digest)

    async def looks(self, *contents: tuple[str, str] | None) -> list[tuple[str, str]]:
        """A glance at the first content, and closer looks at the others, each the lag after the one before."""
        for number, content in enumerate(contents):
            self.store.plant(KEY, content)
            if number == 0:
                await self.scrub._glance([KEY])
            elif KEY in self.scrub._doubts:
                await self.scrub._judge([KEY])
            self.now += LAG + 0.5
        return self.told


class _Findings:
    """What is told."""

    def __init__(self, told: list[tuple[str, str]]) -> None:
        self._told = told

    def __contains__(self, key: bytes) -> bool:
        return ("open", "mismatch") in self._told

    async def wrong(self, found: Sequence[Judged], since: float) -> list[bytes]:
        self._told += [("open", each.finding.kind) for each in found]
        return []

    async def right(self, keys: Sequence[bytes], since: float) -> None:
        self._told += [("right", "") for _ in keys]


@contextmanager
def town(folder: Path, mode: str) -> Iterator[Town]:
    made = Town(folder, mode)
    made.applies(OLD, 1)
    try:
        yield made
    finally:
        made.state.close()


async def test_what_stays_wrong_is_told_by_the_second_closer_look(tmp_path: Path) -> None:
    """Each of them behind a fence; it ends when it is right."""
    with town(tmp_path, "verify") as made:
        assert await made.looks(ROGUE, ROGUE) == []
        assert await made.looks(ROGUE, ROGUE) == [("open", "mismatch")]
        assert made.fences == 2
        assert await made.looks(OLD, OLD) == [("open", "mismatch"), ("right", "")]
        assert not made.watch.keys


async def test_a_doubt_is_not_put_off_by_the_glances_that_follow(tmp_path: Path) -> None:
    """Of a pass that comes round sooner than the lag: what was wrong was never told."""
    with town(tmp_path, "verify") as made:
        await made.looks(ROGUE)
        due = made.scrub._doubts[KEY].due
        await made.looks(ROGUE)
        assert made.scrub._doubts[KEY].due == due


async def test_what_the_source_has_is_right_whatever_was_there_before(tmp_path: Path) -> None:
    """Also where only a read of the source has told it, and no record: it was told as a mismatch (seed 7000006)."""
    with town(tmp_path, "verify") as made:
        assert await made.looks(ROGUE, ROGUE) == []
        watch, made.watch = made.watch, Watch(lambda: made.now)
        made.applies(NEW, 2)
        made.watch = watch
        made.store.plant(KEY, NEW)
        await made.scrub._judge([KEY])
        assert made.told == []
        assert not made.scrub._doubts


async def test_who_is_late_or_ahead_is_not_told(tmp_path: Path) -> None:
    """Within the lag the row of before is right, and one that is there before its change."""
    with town(tmp_path, "verify") as made:
        made.applies(NEW, 2)
        assert await made.looks(OLD, NEW) == []
        assert not made.scrub._doubts
        assert await made.looks(ROGUE, ROGUE) == []
        made.applies(ROGUE, 3)
        assert await made.looks(ROGUE, ROGUE) == []
        assert not made.watch.keys


async def test_a_cache_may_lack_a_row_and_not_hold_an_old_one(tmp_path: Path) -> None:
    """It is read back at once, and two closer looks tell."""
    with town(tmp_path, "invalidate") as made:
        made.applies(NEW, 2)
        assert await made.looks(None) == []
        assert not made.scrub._doubts
        assert await made.looks(OLD, OLD, OLD) == [("open", "mismatch")]
        made.scrub.written([KEY])
        assert made.scrub._fresh.due(time.monotonic() + 60, 10) == [KEY]


@pytest.mark.parametrize(("mode", "read_back"), [("verify", []), ("invalidate", [KEY])])
async def test_what_somebody_else_will_write_is_not_read_back_at_once(
    tmp_path: Path, mode: str, read_back: list[bytes]
) -> None:
    """Each change would else be a doubt."""
    await asyncio.sleep(0)
    with town(tmp_path, mode) as made:
        made.scrub.written([KEY])
        assert made.scrub._fresh.due(time.monotonic() + 60, 10) == read_back
