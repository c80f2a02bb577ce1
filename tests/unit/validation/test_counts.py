"""Counts prove something only where it is known how many rows came and went meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from streams.checks.request import Depth
from streams.validation.counts import counts
from streams.validation.report import Report


class Owners:
    """One partition's owner: what it answers to each round, (rows, turnover)."""

    def __init__(self, *said: tuple[int, int]) -> None:
        self._said = list(said)
        self._asked: list[dict[str, Any]] = []

    def ask(self, partition: int, request: dict[str, Any]) -> None:
        """Remember the round."""
        self._asked.append(request)

    def flush(self) -> None:
        """Nothing is kept back."""

    def answers(self, identity: str, within_seconds: float, on_silence: Any) -> Iterator[dict[str, Any]]:
        """The next answer."""
        rows, turnover = self._said.pop(0)
        yield {"round": self._asked[-1]["round"], "incomplete": None, "partition": 0, "entry_rows": rows,
               "turnover": turnover}  # fmt: skip


def counted(sot_rows: int, replica_rows: int, *said: tuple[int, int], absent_allowed: bool = False) -> Report:
    target: Any = SimpleNamespace(
        replica="reports", table="public.t", partitions=1, exchange=Owners(*said),
        on_silence=lambda: None, silence_seconds=1.0, absent_allowed=absent_allowed,
        ends=lambda: [0], deadline=lambda: float("inf"),
        fence=SimpleNamespace(passed=lambda deadline: "0/1"), others_lag_seconds=0.0, sleep=lambda seconds: None,
        sot=SimpleNamespace(count=lambda: sot_rows), store=SimpleNamespace(count=lambda: replica_rows),
    )  # fmt: skip
    report = Report("run", "reports", "public.t", Depth.counts)
    counts(target, report)
    return report


def test_equal_counts_are_verified() -> None:
    """Nothing came or went."""
    report = counted(5, 5, (5, 0), (5, 0))
    assert (report.verified, report.count_differs) == (5, 0)


def test_a_missing_row_is_a_difference() -> None:
    """More than what came and went can explain."""
    assert counted(5, 4, (5, 0), (5, 0)).count_differs == 1


def test_rows_that_may_be_gone_are_counted_as_such() -> None:
    """Fewer in the replica there may be; more there may not, and the source has what the version table has."""
    report = counted(5, 3, (5, 0), (5, 0), absent_allowed=True)
    assert (report.verified, report.absent, report.outcome) == (3, 2, "correct")
    assert counted(5, 6, (5, 0), (5, 0), absent_allowed=True).count_differs == 1
    assert counted(6, 5, (5, 0), (5, 0), absent_allowed=True).count_differs == 1


def test_an_owner_that_began_anew_between_two_counts_is_counted_again() -> None:
    """Its turnover begins anew: far ahead, or behind where its clock is. Neither explains anything, or is drift."""
    for anew in (3, 1_000_000):
        report = counted(5, 5, (8, 7), (5, anew), (5, anew), (5, anew))
        assert (report.verified, report.count_differs) == (5, 0)


def test_counts_that_never_hold_still_decide_nothing() -> None:
    """Each row that was counted is one that was not checked."""
    report = counted(5, 5, (5, 0), (5, 3), (5, 3), (5, 6), (5, 6), (5, 9))
    assert (report.outcome, report.verified, report.failed) == ("incomplete", 0, 5)
