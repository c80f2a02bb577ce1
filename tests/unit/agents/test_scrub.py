"""What a turn of continuous checking looks at: what was written, and the pass, each of which has its share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents import scrub
from streams.agents.scrub import TICK_SECONDS, Doubt, Scrub
from streams.checks.compare import NOTHING
from streams.checks.pace import Pace
from streams.errors import HoldtrueError
from streams.versions.entry import Entry, Position, Token
from streams.versions.state import Move, PartitionState

ENTRY = Entry(Token(1, 5, 0), Position(1, 5), 7, (), b"d" * 16)


class Glanced(Scrub):
    """Remembers which keys it would read. seconds: how long a glance takes."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.glances: list[list[bytes]] = []
        self.seconds = TICK_SECONDS
        self.fails = False

    async def _glance(self, keys: Sequence[bytes]) -> None:
        if self.fails:
            raise HoldtrueError("the store is not there")
        self.glances.append(list(keys))
        self._worked += self.seconds

    async def turn(self) -> list[bytes]:
        """The keys of one turn."""
        self._worked, self.glances = 0.0, []
        await self._turn()
        return [key for keys in self.glances for key in keys]


@pytest.fixture
def checked(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A partition of 100 keys whose pass is over its time, and glances of ten keys."""
    state = PartitionState(tmp_path / "0", 0)
    state.commit([Move(b"%03d" % n, None, ENTRY) for n in range(100)], 5, 5)
    monkeypatch.setattr(scrub, "LOOK_KEYS", 10)
    monkeypatch.setattr("streams.checks.fresh.READ_BACK_SECONDS", 0.0)
    nothing: Any = None
    work = SimpleNamespace(mapping=SimpleNamespace(others_write=False, mode="replicate"), labels=("t", "r"))
    owner: Any = SimpleNamespace(work=work, state=state)
    made = Glanced(owner, nothing, 60.0)
    made.look([])
    yield made
    state.close()


async def test_the_pass_goes_on_however_much_is_written(checked: Glanced) -> None:
    """Half of each glance is its own."""
    checked.written(b"w%d" % n for n in range(1_000))
    keys = await checked.turn()
    assert [key for key in keys if key.startswith(b"w")] == [b"w%d" % n for n in range(5)]
    assert [key for key in keys if not key.startswith(b"w")] == [b"%03d" % n for n in range(5)]
    assert b"005" in await checked.turn()


async def test_the_pass_has_what_nothing_else_needs(checked: Glanced) -> None:
    """Where nothing was written, the whole of a glance."""
    assert await checked.turn() == [b"%03d" % n for n in range(10)]


async def test_a_turn_that_comes_late_looks_more_than_once(checked: Glanced) -> None:
    """As long as it has worked for a tick: a partition that waits for its lock stays within the period."""
    checked.seconds = TICK_SECONDS / 3
    assert len(await checked.turn()) == 30
    checked.seconds = 0.0
    assert await checked.turn() == [b"%03d" % n for n in range(30, 100)]


async def test_a_look_that_failed_has_visited_nothing(checked: Glanced) -> None:
    """Its keys are the next ones still."""
    await checked.turn()
    checked.fails = True
    with pytest.raises(HoldtrueError):
        await checked.turn()
    checked.fails = False
    assert await checked.turn() == [b"%03d" % n for n in range(10, 20)]


async def test_keys_that_must_not_be_there_hold_up_no_change(checked: Glanced) -> None:
    """However many of them follow each other, a turn lets others work between two stretches, and has its end."""
    checked._owner.state.commit([Move(b"%03d" % n, ENTRY, ENTRY._replace(digest=None)) for n in range(100)], 6, 6)
    checked._pace = Pace(60.0, time.monotonic() - 60.0)
    worked = 0

    async def change() -> None:
        nonlocal worked
        while True:
            worked += 1
            await asyncio.sleep(0)

    changes = asyncio.create_task(change())
    assert await checked.turn() == []
    changes.cancel()
    assert worked >= 10
    assert checked.age < 60.0


class Doubtful(Glanced):
    """Everything that it looks at is wrong, as far as a glance can tell."""

    async def _glance(self, keys: Sequence[bytes]) -> None:
        await super()._glance(keys)
        for key in keys:
            self._suspect(key, Doubt(None, NOTHING, float("inf"), self._pace.complete_since))


@pytest.fixture
def doubtful(checked: Glanced) -> Doubtful:
    nothing: Any = None
    return Doubtful(checked._owner, nothing, 1e-9)


async def test_what_is_doubtful_is_not_decided(doubtful: Doubtful) -> None:
    """A number of keys that are wrong is whole only when each was looked at twice."""
    before = doubtful._decided_since
    for _ in range(11):
        await doubtful.turn()
    assert doubtful._pace.complete_since > before
    assert doubtful._decided_since == before
    doubtful._doubts.clear()
    assert doubtful._decided_since == doubtful._pace.complete_since


async def test_the_pass_waits_where_there_is_no_room_for_doubts(
    doubtful: Doubtful, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it passed by would be visited, and known by nobody."""
    monkeypatch.setattr(doubtful, "_may_look", lambda: True)
    monkeypatch.setattr(scrub, "DOUBTS_MAX", 30)
    assert len(await doubtful.turn()) == 10
    assert len(await doubtful.turn()) == 10
    assert await doubtful.turn() == []
    doubtful._doubts.clear()
    assert await doubtful.turn() == [b"%03d" % n for n in range(20, 30)]
