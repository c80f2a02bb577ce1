"""Checksums in SQL: what is equal is right through what the slot had confirmed, what differs is the owners'."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from streams.errors import NotReady, StoreUnavailable
from streams.rows.digest import Digester
from streams.rows.hashes import Asked, Side, replica_side, source_side
from streams.sot.connection import SotChanged
from streams.sot.reader import Hashing, SotRead
from streams.validation import pushed
from streams.validation.depth import RunDepth
from streams.validation.report import Report
from streams.validation.rounds import Rounds
from tests.support.shapes import make_shape

SHAPE = make_shape({"id": "int8", "v": "text"}, ["id"])
Rows = dict[bytes, tuple[str, str]]


class _Table:
    """One side that answers what is asked with these rows; `log` says what happened when."""

    def __init__(self, name: str, rows: Rows, log: list[str], side: Side, probe: str = "alike") -> None:
        self.rows, self.probe, self.fails = rows, probe, False
        self._name, self._log, self._side = name, log, side

    @contextmanager
    def hashing(self) -> Iterator[Any]:
        """The side, and what is read by key."""
        self._log.append(f"{self._name} opened")
        asked = Asked(self._side, self._lines, lambda: None)
        yield Hashing(asked, self._read) if self._name == "source" else asked

    def _read(self, keys: Sequence[bytes]) -> SotRead:
        if self.fails:
            raise SotChanged("a label that is no label", "")
        return SotRead(None, {key: self.rows[key] for key in keys if key in self.rows})  # type: ignore[arg-type]

    def _lines(self, query: str) -> Any:
        if "min(" in query:
            yield b"1\t3"
        elif "server_encoding" in query:
            yield self.probe.encode()
        elif "GROUP BY" in query:
            self._log.append(f"{self._name} hashed")
            if self.rows:
                yield b"0\t%d\t%d" % (len(self.rows), hash(tuple(sorted(self.rows.items()))))
        else:
            yield from (b"%b\t%b" % (key, row[1].encode()) for key, row in self.rows.items())


class _Run:
    """A run of two tables, with owners that say what they are told to say."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, source: Rows, replica: Rows, confirmed: str | None = "0/1"):
        self.log: list[str] = []
        self.looked: dict[bytes, bytes] = {}
        self.source = _Table("source", source, self.log, source_side(SHAPE, "TRUE"))
        self.replica: Any = _Table("replica", replica, self.log, replica_side(SHAPE, "t"))
        self.confirmed = confirmed
        self.others_write = False
        self.report = Report("run", "public.t", "reports", RunDepth.checksums)
        self._said: Callable[[], None] = lambda: None
        for name in ("full", "passed", "look", "again"):
            monkeypatch.setattr(Rounds, name, getattr(self, f"_{name}"))

    def go(self) -> Report:
        """To its end."""
        fence = SimpleNamespace(
            confirmed=lambda: self.confirmed, passed=lambda deadline: self._say("waited") or "0/9",
            emitted=lambda: self._say("emitted") or "0/5",
            confirmed_by=lambda position, deadline: self._say(f"waited for {position}"),
        )  # fmt: skip
        target: Any = SimpleNamespace(
            sot=self.source, store=self.replica, fence=fence, deadline=lambda: 0.0, progress=lambda rows: None,
            ends=lambda: self._say("ends") or [7], digester=Digester(SHAPE.mapping_version), partitions=1,
            absent_allowed=False, others_write=self.others_write, stamp=False,
        )  # fmt: skip
        pushed.checksums(target, self.report)
        return self.report

    def owners_say(self, error: Exception) -> None:
        """That they have not got there."""

        def say() -> None:
            raise error

        self._said = say

    def _say(self, what: str) -> None:
        self.log.append(what)

    def _full(self) -> None:
        self.log.append("full")

    def _passed(self, ends: Sequence[int]) -> None:
        self.log.append("passed")
        self._said()

    def _look(self, looked: dict[bytes, bytes], before: Any, after: Any) -> Any:
        self.looked = looked
        return SimpleNamespace(beyond=0)

    def _again(self, found: Any) -> None:
        self.log.append(f"again, {found.beyond} beyond")


A, B, C = (b"1", ("1", "a")), (b"2", ("2", "b")), (b"3", ("3", "c"))


@pytest.fixture
def make_run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., _Run]:
    """Makes runs."""
    return lambda *given, **more: _Run(monkeypatch, *given, **more)


def test_equal_tables_wait_for_no_fence(make_run: Callable[..., _Run]) -> None:
    """Right through what the slot had confirmed before the ends were noted, and the replica is hashed last."""
    run = make_run(dict([A, B]), dict([A, B]))
    report = run.go()
    assert (report.outcome, report.sot_rows, report.replica_rows, report.verified) == ("correct", 2, 2, 2)
    assert report.fence_lsn == "0/1"
    assert run.log.index("ends") < run.log.index("source opened")
    assert run.log.index("passed") < run.log.index("replica hashed")
    assert not [said for said in run.log if "waited" in said or "again" in said]


def test_empty_tables_are_equal(make_run: Callable[..., _Run]) -> None:
    """And counted: it was looked."""
    report = make_run({}, {}).go()
    assert (report.outcome, report.sot_rows, report.replica_rows) == ("correct", 0, 0)


def test_without_a_reader_of_the_slot_a_fence_is_waited_for(make_run: Callable[..., _Run]) -> None:
    """Before anything is noted: it is that fence, then, which the table is right through."""
    run = make_run(dict([A]), dict([A]), confirmed=None)
    assert run.go().fence_lsn == "0/9"
    assert run.log.index("waited") < run.log.index("ends")


def test_keys_that_differ_go_to_their_owners_behind_the_fence(make_run: Callable[..., _Run]) -> None:
    """With what the SOT's snapshot shows of them; all others are verified by then."""
    run = make_run(dict([A, B]), {A[0]: A[1], B[0]: ("2", "other"), C[0]: C[1]})
    report = run.go()
    assert run.looked == {B[0]: run.looked[B[0]], C[0]: b""}
    assert run.looked[B[0]] == Digester(SHAPE.mapping_version).digest(B[0], b"2\tb")
    assert (report.verified, report.sot_rows, report.replica_rows, report.fence_lsn) == (1, 2, 3, "0/1")
    # The fence is behind the snapshot, the second ends behind the fence.
    assert run.log.index("source opened") < run.log.index("emitted")
    assert run.log[run.log.index("waited for 0/5") :] == ["waited for 0/5", "ends", "again, 0 beyond"]


def test_more_keys_than_there_is_room_for_are_counted(
    make_run: Callable[..., _Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them is verified."""
    monkeypatch.setattr(pushed, "SUSPECTS_MAX", 1)
    run = make_run(dict([A, B, C]), {})
    report = run.go()
    assert (list(run.looked), report.verified) == ([A[0]], 0)
    assert run.log[-1] == "again, 2 beyond"


@pytest.mark.parametrize("why", ["no SQL", "others", "hashes", "keys"])
def test_what_cannot_be_compared_in_sql_is_compared_row_by_row(make_run: Callable[..., _Run], why: str) -> None:
    """Another store, another writer, a server that hashes otherwise, a key that is none at the SOT: all begins anew."""
    run = make_run(dict([A]), dict([B]))
    if why == "no SQL":
        run.replica = SimpleNamespace()
    elif why == "others":
        run.others_write = True
    elif why == "hashes":
        run.replica.probe = "otherwise"
    else:
        run.source.fails = True
    report = run.go()
    assert run.log[-1] == "full"
    assert (report.verified, report.sot_rows) == (0, None)


@pytest.mark.parametrize("error", [NotReady("held"), StoreUnavailable("away")])
def test_owners_that_have_not_got_there_end_the_run(make_run: Callable[..., _Run], error: Exception) -> None:
    """The replica is not even looked at."""
    run = make_run(dict([A]), dict([A]))
    run.owners_say(error)
    with pytest.raises(type(error)):
        run.go()
    assert "replica hashed" not in run.log
