"""Several runs: what keeps one table from being looked at is in its report, and the others are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streams.errors import HoldtrueError, NotReady, StoreUnavailable, UsageError
from streams.kafka.admin import KafkaUnavailable
from streams.kafka.groups import KafkaSilent
from streams.plan.mapping import MappingError
from streams.settings import settings
from streams.sot.connection import SotChanged
from streams.validation import session, told
from streams.validation.depth import RunDepth
from streams.validation.kept import RunFile
from streams.validation.open import Pair
from streams.validation.report import Drifted, Report

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


RUN = "run-00000000-0000-4000-8000-000000000001"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where runs are kept."""
    monkeypatch.setenv("HOLDTRUE_RUN_DIR", str(tmp_path))
    settings.cache_clear()
    yield
    settings.cache_clear()


class Ending:
    """What `end` needs: the plan, and what the drift topic says the run has told of. Notes what is published."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, sha256: str = "one", mapping: str = "m1") -> None:
        self.plan: Any = SimpleNamespace(
            name="bank", sha256=sha256, own_topic=str, change_topic=str, digest_secret=None, source=None
        )
        self.told: list[tuple[Report, set[str]]] = []
        self._mapping = mapping
        monkeypatch.setattr(
            session, "publish_report", lambda opener, pair, report, before: self.told.append((report, before))
        )
        monkeypatch.setattr(session, "check_channel", lambda plan, pair: pair)
        monkeypatch.setattr(told, "told_by", lambda opener, report, ends: {"told before"})

    def shape(self, pair: Pair) -> Any:
        return SimpleNamespace(mapping_version=self._mapping)

    def exchange(self, channel: object) -> Any:
        return SimpleNamespace(ends=lambda topic, partitions: [0], close=lambda: None)

    def end(self) -> Report:
        opener: Any = self
        return session.end(opener, RUN, lambda text: None)


def left_behind(**more: Any) -> None:
    """A run that was killed when it had decided some keys, and was gone on with once before."""
    made = Report(
        RUN, "public.t", "cache", RunDepth.full, sot_rows=9, verified=5, part=1, after=b"5", drift_before=[0], **more
    )
    plan: Any = SimpleNamespace(name="bank", sha256="one")
    file = RunFile(plan)
    file.keep(made, "m1")
    file.close()


DRIFT = [Drifted(b"3", "stale")]


def test_a_run_that_is_not_gone_on_with_is_told_as_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once: it is over then."""
    left_behind()
    ending = Ending(monkeypatch)
    report = ending.end()
    assert (report.run, report.outcome, report.verified, report.failed) == (RUN, "incomplete", 5, 4)
    assert report.reason == "interrupted 2 times, and not gone on with"
    assert (report.covers_all, ending.told) == (False, [(report, set())])
    with pytest.raises(UsageError, match="There is no interrupted run"):
        ending.end()


def test_what_it_had_found_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drift is not lost with the run; it may have been killed while it told of it."""
    left_behind(drift=DRIFT)
    ending = Ending(monkeypatch)
    report = ending.end()
    assert (report.outcome, report.drift, report.failed) == ("drifted", DRIFT, 3)
    assert ending.told == [(report, {"told before"})]


@pytest.mark.parametrize(
    ("other", "more"),
    [
        ({"sha256": "two"}, {}),
        ({"mapping": "m2"}, {}),
        ({}, {"began": datetime.now(UTC) - timedelta(hours=25)}),
    ],
)
def test_what_it_had_found_of_another_plan_or_day_is_not_told(
    other: dict[str, str], more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may not hold any more; that it was not finished does."""
    left_behind(drift=DRIFT, **more)
    report = Ending(monkeypatch, **other).end()
    assert (report.run, report.outcome, report.drift, report.sot_rows, report.failed) == (RUN, "incomplete", [], 9, 9)
