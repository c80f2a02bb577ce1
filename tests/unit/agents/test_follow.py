"""What a replica's own log shows goes to the owners, who look at it at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents import follow, scrub
from streams.agents.follow import Follower
from streams.agents.scrub import Scrub
from streams.checks.request import Depth
from streams.metrics import REPLICA_LOG_LAG_BYTES
from streams.replicas.log import Compared, Foreign, LogLost, LogTaken, Read
from streams.rows.digest import bucket_of
from streams.versions.entry import Entry, Token


class Log:
    """Each read is one of `reads`; after the last one the follower is cancelled."""

    behind = 7.0

    def __init__(self, *reads: Read | Exception, begun: Sequence[str] = ()) -> None:
        self.reads = list(reads)
        self.begun = begun
        self.confirmed: list[int] = []
        self.opened = self.closed = 0

    def open(self) -> Sequence[str]:
        """It is followed."""
        self.opened += 1
        return self.begun

    def read(self) -> Read:
        """The next."""
        if not self.reads:
            raise asyncio.CancelledError
        if isinstance(each := self.reads.pop(0), Exception):
            raise each
        return each

    def confirm(self, through: int) -> None:
        """It is not sent again."""
        self.confirmed.append(through)

    def close(self) -> None:
        """Let go."""
        self.closed += 1


class Events:
    """What is told, and how much of the log was confirmed when it was in Kafka."""

    def __init__(self, log: Log) -> None:
        self.orders: list[tuple[int, dict[str, Any]]] = []
        self.signals: list[dict[str, Any]] = []
        self.flushed: list[list[int]] = []
        self._log = log

    def order(self, topic: str, partition: int, request: dict[str, Any]) -> None:
        """A request."""
        assert topic == "checks.r.t"
        self.orders.append((partition, request))

    def send(self, *event: Any) -> None:
        """A signal."""
        self.signals.append(event[3])

    async def flush(self) -> None:
        """Acknowledged."""
        self.flushed.append(list(self._log.confirmed))


async def _followed(log: Log, monkeypatch: pytest.MonkeyPatch) -> Events:
    monkeypatch.setattr(follow, "STAND_BY_SECONDS", 0.0)
    monkeypatch.setattr(follow, "FAILED_SECONDS", 0.0)
    partitioner = SimpleNamespace(partition=lambda key: int(key) % 2)
    work: Any = SimpleNamespace(
        replica="r", table="t", labels=("t", "r"), partitions=2, partitioner=lambda: partitioner
    )
    events = Events(log)
    follower = Follower("r", [work], events, lambda: log, REPLICA_LOG_LAG_BYTES)  # type: ignore[arg-type]
    with suppress(asyncio.CancelledError):
        await asyncio.wait_for(follower._follow_always(), 10)
    return events


def _foreign(*keys: bytes, everything: bool = False) -> dict[str, Foreign]:
    found = Foreign()
    found.keys, found.everything = set(keys), everything
    return {"t": found}


async def test_owners_are_asked_to_look_before_the_log_is_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each for its keys; nothing is asked where nothing is foreign."""
    log = Log(Read(_foreign(b"1", b"2", b"3"), 10, 5), Read({}, 20, 0))
    events = await _followed(log, monkeypatch)
    assert {partition: sorted(request["keys"]) for partition, request in events.orders} == {0: [b"2"], 1: [b"1", b"3"]}
    assert {request["depth"] for _, request in events.orders} == {Depth.look}
    assert (events.flushed, log.confirmed) == ([[]], [10, 20])
    assert log.closed == 1


async def test_everything_is_asked_of_every_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a TRUNCATE; and what is named beside that is looked at, too: a row that is nobody's is in no pass."""
    events = await _followed(Log(Read(_foreign(everything=True), 10, 1)), monkeypatch)
    assert [(partition, request["keys"]) for partition, request in events.orders] == [(0, []), (1, [])]
    events = await _followed(Log(Read(_foreign(b"2", everything=True), 10, 1)), monkeypatch)
    assert sorted(request["keys"] for _, request in events.orders) == [[], [], [b"2"]]


async def test_many_keys_are_many_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fits into a message, and its keys are looked at within seconds."""
    monkeypatch.setattr(follow, "NAMED_KEYS", 2)
    events = await _followed(Log(Read(_foreign(b"1", b"3", b"5"), 10, 3)), monkeypatch)
    assert sorted(len(request["keys"]) for _, request in events.orders) == [1, 2]


async def test_a_new_slot_is_told_and_failures_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ended it is no end; each time the log is let go first."""
    log = Log(LogTaken("taken", ""), LogLost("lost", ""), RuntimeError("a bug"), Read({}, 5, 0), begun=["t"])
    events = await _followed(log, monkeypatch)
    assert (log.opened, log.closed, log.confirmed) == (4, 4, [5])
    assert [(each["type"], each["table"]) for each in events.signals] == [("replica-log-begun", "t")] * 4


async def test_unequal_buckets_are_asked_of_their_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the log shows in them; where that is too much, for every key; equal ones are not asked about."""
    compared = [
        Compared("t", 0, [], {}, 1.0, 0.1),
        Compared("t", 1, [7, 9], {b"1": b"d"}, 1.0, 0.1),
        Compared("t", 0, [1], None, 1.0, 0.1),
    ]
    events = await _followed(Log(Read({}, 5, 0, compared)), monkeypatch)
    (one, named), (other, everything) = events.orders
    assert (one, named["keys"], named["digests"], named["buckets"]) == (1, [b"1"], [b"d"], [7, 9])
    assert (other, everything["keys"], "buckets" in everything) == (0, [], False)
    assert events.flushed == [[]]


def _entry(digest: bytes | None) -> Entry:
    return Entry(Token(1, 5, 0), None, 7, (), digest)


class State:
    """Entries of a partition."""

    def __init__(self, entries: dict[bytes, Entry]) -> None:
        self.entries = entries

    def scan(self) -> Iterator[tuple[bytes, Entry]]:
        """All, in order."""
        return iter(sorted(self.entries.items()))


def _scrub(entries: dict[bytes, Entry]) -> Scrub:
    work = SimpleNamespace(unprepared="not now", mapping=SimpleNamespace(others_write=False))
    owner: Any = SimpleNamespace(work=work, held=None, state=State(entries))
    nothing: Any = None
    return Scrub(owner, nothing, 60.0)


async def test_of_unequal_buckets_only_what_differs_is_looked_at() -> None:
    """Other content, a row that is not there, one that should not be, one that nobody knows; and no other bucket."""
    entries = {
        b"right": _entry(b"d"), b"changed": _entry(b"d"), b"missing": _entry(b"d"), b"dead": _entry(None),
        b"risen": _entry(None), b"elsewhere": _entry(b"d"),
    }  # fmt: skip
    seen = {b"right": b"d", b"changed": b"x", b"risen": b"x", b"stranger": b"x"}
    buckets = {bucket_of(key) for key in (*entries, *seen) if key != b"elsewhere"}
    assert bucket_of(b"elsewhere") not in buckets
    made = _scrub(entries)
    await made.look_in(buckets, seen)
    assert set(made._hints) == {b"changed", b"missing", b"risen", b"stranger"}
    made = _scrub({b"right": _entry(b"d")})
    await made.look_in([bucket_of(b"right")], {b"right": b"d"})
    assert not made._hints
    assert made._pace.wanted(0.0, 10, 10) == 0


@pytest.mark.parametrize("keys", [[], [b"%d" % number for number in range(4)]])
async def test_no_key_or_too_many_mean_every_key_at_once(keys: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not kept one by one: the pass goes through all."""
    monkeypatch.setattr(scrub, "HINTS_MAX", 3)
    made = _scrub({})
    made.look([b"1", b"2"])
    assert list(made._hints) == [b"1", b"2"]
    now = made._pace._begun
    assert made._pace.wanted(now, 100, 100) == 0
    made.look(keys)
    assert list(made._hints) == [b"1", b"2"]
    assert made._pace.wanted(now + 1.0, 100, 100) == 100
