"""Every key of a table that differs everywhere is in the coverage, and none is drift after one look alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.checks.request import Depth
from streams.errors import StoreUnavailable
from streams.plan.policy import Drift
from streams.replicas.base import Held
from streams.rows.canonical import encode
from streams.rows.digest import Digester
from streams.sot.reader import SotRead
from streams.validation import rounds
from streams.validation.report import Drifted, Report
from streams.validation.rounds import Open, Rounds
from tests.support.shapes import make_shape

SHAPE = make_shape({"id": "int8", "value": "text"}, ["id"])
KEYS = [b"%d" % number for number in range(5)]


class _Owner:
    """The owner of one partition: in every look of its keys they differ still, or none does; moves: in another way.

    first: an answer of the first look names all of KEYS.
    """

    def __init__(self, *, still: bool, moves: bool = False) -> None:
        self._still = still
        self._moves = moves
        self._looks = 0
        self._asked: list[dict[str, Any]] = []
        self._suspects: list[bytes] = []
        self.looked_at: set[bytes] = set()
        self.looks: list[tuple[int, int]] = []

    def first(self, keys: list[bytes]) -> None:
        """The first look has been asked for: all of these differ in it."""
        self._suspects = keys
        self._asked.append({"depth": Depth.checksums, "keys": [], "round": 1, "chunk": 1, "at": 0})

    def ask(self, partition: int, request: dict[str, Any]) -> None:
        """Remember the request."""
        self._asked.append(request | {"at": partition})
        if request["depth"] is Depth.checksums:
            self.looks.append((request["round"], partition))

    def flush(self) -> None:
        """Nothing is kept back."""

    def answers(self, identity: str, within_seconds: float, on_silence: Any) -> Iterator[dict[str, Any]]:
        """An answer to each request."""
        while self._asked:
            yield self._answer(self._asked.pop(0))

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        keys = asked["keys"] if asked["depth"] is Depth.checksums else []
        self.looked_at.update(keys)
        self._looks += 1
        token = b"%d" % (self._looks if self._moves else 0)
        named, self._suspects = (self._suspects or (keys if self._still else [])), []
        suspected = [
            {"key": key, "kind": "stale", "entry_digest": b"e", "other_digest": b"o", "token": token,
             "other_token": b"t"}
            for key in named
        ]  # fmt: skip
        return {
            "partition": asked["at"], "round": asked["round"], "chunk": asked["chunk"], "incomplete": None,
            "skipped": 0,
            "verified": 0 if self._still else len(keys), "undecided": [], "suspected": suspected,
        }  # fmt: skip


def _run(owner: _Owner, monkeypatch: pytest.MonkeyPatch, partitions: int = 1, of: Any = lambda key: 0) -> Report:
    monkeypatch.setattr(rounds, "SUSPECTS_MAX", 3)
    monkeypatch.setattr(rounds, "AGAIN_KEYS", 2)
    target: Any = SimpleNamespace(
        replica="reports", table="public.t", partitions=partitions, exchange=owner, on_silence=lambda: None,
        silence_seconds=1.0, ends=lambda: [9] * partitions, deadline=lambda: float("inf"), shape=SHAPE, kind="postgres",
        digester=Digester(SHAPE.mapping_version), others_write=False, others_lag_seconds=0.0, sleep=float,
        stamp=False, drift=Drift(),
        fence=SimpleNamespace(passed=lambda deadline: "0/1"), partitioner=SimpleNamespace(partition=of),
        sot=SimpleNamespace(read=lambda keys: SotRead(None, {})), store=SimpleNamespace(read=lambda keys: {}),
    )  # fmt: skip
    report = Report("run", "reports", "public.t", Depth.checksums, sot_rows=len(KEYS))
    owner.first(KEYS)
    run = Rounds(target, report)
    run._expected.add((0, 1, 1))
    run._again(run._collect())
    return report


def _covered(report: Report) -> int:
    return report.verified + report.drift_found + report.superseded + report.skipped + report.failed


def test_of_a_table_that_differs_everywhere_every_key_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there is room for are looked at twice, and named; the others are not decided, and counted."""
    owner = _Owner(still=True)
    report = _run(owner, monkeypatch)
    assert {drifted.key for drifted in report.drift} == owner.looked_at == set(KEYS[:3])
    assert (report.drift_found, report.failed, report.outcome) == (3, 2, "drifted")
    assert _covered(report) == len(KEYS)
    assert "2 keys differ or moved beyond" in report.reason


def test_an_entry_in_a_partition_that_is_not_its_keys_is_named_and_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row is verified by its own owner, once; the other one knows of it from a record that lay there."""
    owner = _Owner(still=False)
    report = _run(owner, monkeypatch, of=lambda key: 0 if key in KEYS[:2] else 1)
    assert (owner.looked_at, report.verified, report.drift) == ({*KEYS[:2]}, 2, [])
    assert report.outcome == "incomplete"
    assert report.reason.startswith("3 keys are in the version table of a partition that is not theirs")


def test_owners_without_open_keys_are_asked_in_every_look_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them may have met the TRUNCATE that emptied what was read, and told the others before it answers."""
    owner = _Owner(still=True, moves=True)
    _run(owner, monkeypatch, partitions=3)
    assert {partition for number, partition in owner.looks if number == 3} == {0, 1, 2}


def test_suspects_that_a_second_look_does_not_confirm_are_no_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    """A TRUNCATE may have been on its way: the run is incomplete, and says so."""
    report = _run(_Owner(still=False), monkeypatch)
    assert (report.drift, report.verified, report.failed, report.outcome) == ([], 3, 2, "incomplete")
    assert "run it again" in report.reason


class _Store:
    """Lists these portions of keys, and is away then."""

    def __init__(self, *portions: Sequence[bytes | None], away: bool = False) -> None:
        self._portions = portions
        self._away = away

    def keys(self, chunk: int) -> Iterator[Sequence[bytes | None]]:
        """The portions."""
        yield from self._portions
        if self._away:
            raise StoreUnavailable("it is away")


def _swept(store: _Store, owner: _Owner, paced: Callable[[int], None] = lambda rows: None) -> Report:
    target: Any = SimpleNamespace(
        pace=paced,
        replica="reports", table="public.t", partitions=1, store=store, exchange=owner,
        partitioner=SimpleNamespace(partition=lambda key: 0), digester=Digester(SHAPE.mapping_version),
        silence_seconds=1.0, on_silence=lambda: None, stamp=False,
    )  # fmt: skip
    report = Report("run", "reports", "public.t", Depth.checksums)
    with suppress(StoreUnavailable):
        Rounds(target, report)._sweep(Open())
    return report


@pytest.mark.parametrize(
    ("store", "counted"),
    [(_Store(away=True), None), (_Store(KEYS, away=True), len(KEYS)), (_Store(), 0), (_Store(KEYS, KEYS), 10)],
)
def test_a_replica_that_was_not_read_has_no_number_of_rows(store: _Store, counted: int | None) -> None:
    """No 0: nothing was counted. One that went away meanwhile has what was read of it."""
    assert _swept(store, _Owner(still=False)).replica_rows == counted


def test_rows_under_keys_that_no_row_can_have_are_drift() -> None:
    """Nobody can be asked about them, and no second look is needed: nothing of ours has such a key."""
    report = _swept(_Store([*KEYS, None], [None]), _Owner(still=True))
    assert (report.replica_rows, report.drift_found, report.outcome) == (len(KEYS) + 2, 2, "drifted")
    assert not report.covers_all
    assert "2 rows of the replica have keys that no row of the table can have" in report.reason


def test_a_run_that_ends_early_counts_what_it_did_not_decide() -> None:
    """As failed: coverage adds up whatever becomes of the run."""
    report = Report("run", "reports", "public.t", Depth.checksums, sot_rows=5, verified=2, superseded=1)
    report.end_early("no answer")
    assert (report.failed, report.outcome, report.reason) == (2, "incomplete", "no answer")
    assert _covered(report) == 5


def test_drift_names_the_columns_that_differ_and_the_cause() -> None:
    """Where both sides have the row; whose fault it is depends on what the version table holds."""
    digester = Digester(SHAPE.mapping_version)
    wanted, held = ("1", "right"), ("1", "wrong")
    digest = digester.digest(KEYS[1], encode(wanted))
    target: Any = SimpleNamespace(
        shape=SHAPE, digester=digester, others_write=False, kind="postgres", drift=Drift(row_values=True)
    )
    run = Rounds(target, Report("run", "reports", "public.t", Depth.checksums))
    known = Drifted(KEYS[1], "mismatch", entry_digest=digest)
    named = run._explained(known, wanted, Held(None, held))
    assert (named.columns, named.cause) == (("value",), "rogue write")
    assert named.evidence == "the row has no token: nobody of ours wrote it as it is"
    assert (named.sot_row, named.replica_row) == ({"id": "1", "value": "right"}, {"id": "1", "value": "wrong"})
    assert run._explained(known, wanted, None).columns == ()
    missed = run._explained(Drifted(KEYS[1], "stale", entry_digest=b"older"), wanted, Held(None, held))
    assert missed.cause == "missed change"
    target.drift = Drift()
    assert run._explained(known, wanted, Held(None, held)).sot_row is None, "the plan does not want it"


def test_keys_that_move_in_every_round_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a repair knows which of its keys are not proven."""
    report = _run(_Owner(still=True, moves=True), monkeypatch)
    assert (report.moving, report.superseded, report.drift) == (set(KEYS[:3]), 3, [])
    assert _covered(report) == len(KEYS)


@given(st.lists(st.binary(max_size=9)), st.integers(1, 5))
def test_portions_hold_every_key_in_order_and_fit_a_request(keys: list[bytes], most: int) -> None:
    """And none is smaller than it must be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds, "REQUEST_BYTES", 12)
        found = list(rounds.portions(keys, most))
    assert [key for portion in found for key in portion] == keys
    assert all(0 < len(portion) <= most and sum(map(len, portion)) <= 12 for portion in found)
    assert all(len(one) == most or sum(map(len, one)) + len(after[0]) > 12 for one, after in pairwise(found))


def test_a_replica_is_listed_at_the_runs_pace() -> None:
    """Each portion is paid for before the next one is read."""
    paced: list[int] = []
    _swept(_Store(KEYS[:2], KEYS[2:]), _Owner(still=False), paced.append)
    assert paced == [2, 3]
