"""Several runs: what keeps one table from being looked at is in its report, and the others are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from streams.errors import HoldtrueError, NotReady, StoreUnavailable, UsageError
from streams.kafka.admin import KafkaUnavailable
from streams.kafka.groups import KafkaSilent
from streams.plan.mapping import MappingError
from streams.sot.connection import SotChanged
from streams.validation import session
from streams.validation.depth import RunDepth
from streams.validation.open import Pair
from streams.validation.report import Report

PAIRS = [Pair("reports", "public.t"), Pair("lookup", "public.t"), Pair("cache", "public.t")]


class Opening:
    """Opens every target but that of `broken`, which fails with the error."""

    def __init__(self, broken: str, error: HoldtrueError) -> None:
        self._broken = broken
        self._error = error

    @contextmanager
    def target(self, pair: Pair) -> Iterator[Any]:
        """Of a pair."""
        if pair.replica == self._broken:
            raise self._error
        yield SimpleNamespace(replica=pair.replica, table=pair.table)


def run(
    monkeypatch: pytest.MonkeyPatch, error: HoldtrueError, said: list[str] | None = None
) -> tuple[list[Report], list[Report]]:
    """The reports of all pairs, of which the second one cannot be opened, and those that were published."""
    published: list[Report] = []
    monkeypatch.setattr(session, "publish_report", lambda opener, pair, report: published.append(report))
    monkeypatch.setattr(session, "validate", lambda target, depth, _: Report("r", target.table, target.replica, depth))
    opener: Any = Opening("lookup", error)
    return session.run_all(opener, PAIRS, RunDepth.checksums, (said if said is not None else []).append), published


@pytest.mark.parametrize(
    "error",
    [
        *(NotReady("no worker"), StoreUnavailable("away"), KafkaUnavailable("busy"), SotChanged("withdrawn")),
        MappingError("its filter does not fit the column's type any more"),
    ],
)
def test_a_pair_that_cannot_be_opened_is_incomplete_alone(
    error: HoldtrueError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is not there, a store that is away, a right that is gone: a check that was skipped is recorded."""
    reports, published = run(monkeypatch, error)
    assert [report.replica for report in reports] == ["reports", "lookup", "cache"]
    assert [report.outcome for report in reports] == ["correct", "incomplete", "correct"]
    assert (reports[1].reason, reports[1].sot_rows) == (str(error), None)
    assert published == reports


def test_where_kafka_is_away_every_pair_that_is_left_is_incomplete_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would wait as long to be told the same; nothing can be recorded then, and that is said."""
    said: list[str] = []
    reports, published = run(monkeypatch, KafkaSilent("Kafka is away.", "Start it."), said)
    assert [report.replica for report in reports] == ["reports", "lookup", "cache"]
    assert [report.outcome for report in reports] == ["correct", "incomplete", "incomplete"]
    assert [report.reason for report in reports[1:]] == ["Kafka is away. Start it."] * 2
    assert published == reports[:1]
    assert said[-1] == "2 runs could not begin, and are not recorded: Kafka is away. Start it."


def test_a_wrong_plan_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """No look would change it."""
    with pytest.raises(UsageError):
        run(monkeypatch, UsageError("wrong"))
