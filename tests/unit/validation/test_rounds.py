"""A table that differs everywhere is told as a count, and never after one look alone."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from streams.checks.request import Depth
from streams.rows.digest import Digester
from streams.sot.reader import SotRead
from streams.validation import rounds
from streams.validation.report import Drifted, Report
from streams.validation.rounds import Open, Rounds
from tests.support.shapes import make_shape

SHAPE = make_shape({"id": "int8", "value": "text"}, ["id"])
KEYS = [b"%d" % number for number in range(5)]


class _Owner:
    """The owner of one partition: in the second look, every key still differs, or none does."""

    def __init__(self, *, still: bool) -> None:
        self._still = still
        self._asked: list[dict[str, Any]] = []
        self.looked_at: set[bytes] = set()

    def ask(self, partition: int, request: dict[str, Any], within_seconds: float) -> None:
        """Remember the request."""
        self._asked.append(request)

    def flush(self) -> None:
        """Nothing is kept back."""

    def answers(self, identity: str, deadline: float, on_silence: Any) -> Iterator[dict[str, Any]]:
        """An answer to each request."""
        while self._asked:
            yield self._answer(self._asked.pop(0))

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        keys = asked["keys"] if asked["depth"] is Depth.checksums else []
        self.looked_at.update(keys)
        suspected = [
            {
                "key": key,
                "kind": "stale",
                "entry_digest": b"e",
                "other_digest": b"o",
                "token": b"t",
                "other_token": b"t",
            }
            for key in keys
            if self._still
        ]
        return {
            "partition": 0, "round": asked["round"], "chunk": asked["chunk"], "incomplete": None, "skipped": 0,
            "verified": 0 if self._still else len(keys), "undecided": [], "suspected": suspected,
        }  # fmt: skip


def _run(owner: _Owner, monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.setattr(rounds, "SUSPECTS_MAX", 4)
    monkeypatch.setattr(rounds, "AGAIN_KEYS", 2)
    target: Any = SimpleNamespace(
        replica="reports", table="public.t", partitions=1, exchange=owner, on_silence=lambda: None, round_seconds=1.0,
        ends=lambda: [9], deadline=lambda: float("inf"), shape=SHAPE, digester=Digester(SHAPE.mapping_version),
        fence=SimpleNamespace(passed=lambda deadline: "0/1"), partitioner=SimpleNamespace(partition=lambda key: 0),
        sot=SimpleNamespace(read=lambda keys: SotRead(None, {})), store=SimpleNamespace(read=lambda keys: {}),
    )  # fmt: skip
    report = Report("run", "reports", "public.t", Depth.checksums)
    seen = {key: Drifted(key, "stale", b"e", b"o", b"t", b"t") for key in KEYS}
    Rounds(target, report)._again(Open(suspected=seen))
    return report


def test_a_table_that_differs_everywhere_is_told_as_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more suspects than can be looked at twice, some are; those are drift, and all are counted."""
    owner = _Owner(still=True)
    report = _run(owner, monkeypatch)
    assert {drifted.key for drifted in report.drift} == owner.looked_at == set(KEYS[:2])
    assert (report.count_differs, report.outcome) == (5, "drifted")


def test_suspects_that_a_second_look_does_not_confirm_are_no_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    """A TRUNCATE may have been on its way: the run is incomplete, and says so."""
    report = _run(_Owner(still=False), monkeypatch)
    assert (report.drift, report.count_differs, report.failed, report.outcome) == ([], 0, 5, "incomplete")
    assert "run it again" in report.reason
