"""Keys whose store holds tokens that are not ours are made right many at once (Ordering 12)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents import table
from streams.agents.repairs import NOT_FENCED, SUSPICIONS_AT_ONCE, Repairs
from streams.agents.table import Budget
from streams.changes.visibility import Snapshot
from streams.replicas.base import Outcome, Result, Write
from streams.replicas.memory import MemoryTable
from streams.rows.canonical import Row, encode
from streams.sot.reader import SotRead
from streams.versions.entry import Token
from streams.versions.state import PartitionState
from tests.support.works import SHAPE, work_of

ALL = Snapshot(10**6, 10**6, frozenset())
KEYS = [b"%d" % number for number in range(1_200)]
END = 600  # of the partition: tokens of before are followed, later ones overruled


class Refusing(MemoryTable):
    """A store that takes no row of some keys."""

    refused: frozenset[bytes] = frozenset()

    def apply(self, writes: Sequence[Write]) -> list[Result]:
        """What it takes, guarded."""
        return [self._one(write, lambda write: MemoryTable.apply(self, [write])[0]) for write in writes]

    def overrule(self, key: bytes, expected: Token | None, write: Write) -> Result:
        """The same."""
        return self._one(write, lambda write: MemoryTable.overrule(self, key, expected, write))

    def _one(self, write: Write, take: Callable[[Write], Result]) -> Result:
        return Result(Outcome.refused, reason="too long") if write.key in self.refused else take(write)


class Owning:
    """The owner of a partition whose store was filled by somebody else, under tokens 0, 1, 2, …"""

    def __init__(self, folder: Path) -> None:
        self.tp = "changes[0]"
        self.ordered = self.settled = lambda keys: None
        self.state = PartitionState(folder / "0", 0)
        self.lock = self.state.lock
        self.store = Refusing(SHAPE)
        self.calls = Counter[str]()
        self.work = work_of(self.store, self._run, self._read, self)
        stale = [Write(key, (key.decode(), "stale"), b"", Token(1, int(key), 0)) for key in KEYS]
        MemoryTable.apply(self.store, stale)
        self.state.commit([], 0, 0, suspected={write.key: write.token.encode() for write in stale})

    async def _run(self, work: Callable[..., Any], *args: Any) -> Any:
        self.calls["store"] += 1
        return work(*args)

    async def _read(self, keys: Sequence[bytes], reason: str, *, paid: bool) -> SotRead:
        assert paid, "nobody waits for the budget under the lock"
        assert self.lock.locked()
        self.calls["source"] += 1
        return SotRead(ALL, {key: right(key) for key in keys})

    async def append(self, partition: int, records: list[Any]) -> int:
        """To the changelog."""
        self.calls["changelog"] += 1
        return self.calls["changelog"]

    async def is_unread(self) -> bool:
        """It has read all that came."""
        return False

    async def newest_end_offset(self) -> int:
        """Of the change topic's partition."""
        return END

    async def passed(self, offset: int) -> bool:
        """All of it is applied."""
        return True

    async def prove_ownership(self) -> bool:
        """It is ours."""
        return True


def right(key: bytes) -> Row:
    return (key.decode(), "right")


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Any]:
    owner = Owning(tmp_path)
    yield owner
    owner.state.close()


@pytest.fixture
def told() -> list[tuple[str, bytes]]:
    """State and key of each drift event, and an empty one for each flush."""
    return []


@pytest.fixture
def repairs(told: list[tuple[str, bytes]]) -> Repairs:
    async def flush() -> None:
        told.append(("flush", b""))

    nothing: Any = None
    made = Repairs(nothing, nothing, nothing, nothing, nothing, nothing, {}, nothing)
    send = lambda topic, key, schema, record: told.append((record["state"], record["key_bytes"]))  # noqa: E731
    made._events = SimpleNamespace(send=send, flush=flush)  # type: ignore[assignment]
    return made


async def test_many_suspicions_are_settled_in_few_calls(
    owner: Owning, repairs: Repairs, told: list[tuple[str, bytes]]
) -> None:
    """A replica that begins anew over a full store has one of each row: one by one took hours."""
    await repairs.settle_suspicions(owner)  # type: ignore[arg-type]
    held = owner.store.read(KEYS)
    assert [held[key].row for key in KEYS] == [right(key) for key in KEYS]
    assert owner.state.suspected == {}
    digests = [owner.work.digester.digest(key, encode(right(key))) for key in KEYS]
    assert [entry and entry.digest for entry in owner.state.entries(KEYS)] == digests
    times = -(-len(KEYS) // SUSPICIONS_AT_ONCE)
    assert owner.calls == {"store": 3 * times, "source": times, "changelog": times}
    assert Counter(state for state, _ in told) == {"suspected": 1_200, "resolved": 1_200, "flush": 2 * times}


async def test_what_cannot_be_settled_keeps_nobody_waiting(
    owner: Owning, repairs: Repairs, told: list[tuple[str, bytes]]
) -> None:
    """The store refuses the rows of the first keys, for as long as it likes."""
    owner.store.refused = frozenset(KEYS[:SUSPICIONS_AT_ONCE])
    await repairs.settle_suspicions(owner)  # type: ignore[arg-type]
    assert set(owner.state.suspected) == owner.store.refused
    assert {key for state, key in told if state == "resolved"} == {*KEYS[SUSPICIONS_AT_ONCE:]}
    await repairs.settle_suspicions(owner)  # type: ignore[arg-type]
    assert sorted(key for state, key in told if state == "suspected") == sorted(KEYS), "each is told once"
    done = await repairs._repair(owner, KEYS[:1], NOT_FENCED)  # type: ignore[arg-type]
    assert done[KEYS[0]].outcome == "refused: too long"


async def test_a_small_budget_settles_a_few_at_a_time_and_holds_up_no_change(
    owner: Owning, repairs: Repairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for the budget has not the lock, and one that gives up owes nothing for what it did not read."""
    clock = [0.0]
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        assert not owner.lock.locked()
        waited.append(seconds)
        clock[0] += seconds
        if len(waited) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(table, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(table, "asyncio", SimpleNamespace(sleep=sleep, CancelledError=asyncio.CancelledError))
    owner.work.budget = Budget(10.0)
    await repairs.settle_suspicions(owner)  # type: ignore[arg-type]
    assert (waited, len(owner.state.suspected)) == ([1.0] * 3, len(KEYS) - 20)
    assert owner.work.budget._free_at == 2.0


async def test_a_suspicion_is_told_again_when_it_is_another_one(
    owner: Owning, repairs: Repairs, told: list[tuple[str, bytes]]
) -> None:
    """Of the same key, after it was settled by somebody else; and one that is tried again waits behind new ones."""
    first, *others = KEYS[:3]
    owner.state.suspected = {first: b"token", others[0]: b"token"}
    owner.store.refused = frozenset({first})
    await repairs.settle_suspicions(owner)  # type: ignore[arg-type]
    owner.state.suspected = {}
    await repairs.settle_suspicions(owner)  # type: ignore[arg-type]
    for token in (b"token", b"token", b"another"):
        owner.state.suspected = {first: token, others[1]: b"token"}
        await repairs.settle_suspicions(owner)  # type: ignore[arg-type]
    await repairs.stop()  # another owner may have settled it meanwhile
    await repairs.settle_suspicions(owner)  # type: ignore[arg-type]
    suspected = [key for state, key in told if state == "suspected"]
    assert suspected == [first, others[0], first, others[1], others[1], first, others[1], first]


async def test_those_tried_before_are_tried_last(owner: Owning, repairs: Repairs) -> None:
    """However many cannot be settled."""
    tried: list[bytes] = []
    repair = repairs._repair

    async def noted(owner: Any, keys: Sequence[bytes], fence: Any) -> Any:
        tried.extend(keys)
        return await repair(owner, keys, fence)

    repairs._repair = noted  # type: ignore[method-assign]
    owner.store.refused = frozenset(KEYS)
    owner.state.suspected = dict.fromkeys(KEYS[:2], b"token")
    await repairs.settle_suspicions(owner)  # type: ignore[arg-type]
    owner.state.suspected = dict.fromkeys(KEYS[:3], b"token")
    await repairs.settle_suspicions(owner)  # type: ignore[arg-type]
    assert tried == [KEYS[0], KEYS[1], KEYS[2], KEYS[0], KEYS[1]]


async def test_a_repair_that_cannot_be_carried_out_is_answered_with_the_reason(owner: Owning, repairs: Repairs) -> None:
    """No answer was taken for no worker, two minutes later, and what was ordered for carried out."""
    owner.state.take_over(END, 1, 1)
    items = [{"key": key, "drift": "d", "kind": "stale"} for key in KEYS[:3]]
    request = {"repair": "r", "replica": "r", "table": "t", "partition": 0, "items": items}
    answers = [record for _, _, _, record in await repairs.answer(owner, request)]  # type: ignore[arg-type]
    assert [(each["key"], each["outcome"]) for each in answers] == [(key, "failed") for key in KEYS[:3]]
    assert all("is being rebuilt" in each["reason"] for each in answers)
    assert owner.calls["source"] == 0
