"""What `status` says of one table, and what `drift` shows of a key."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY
from typer.testing import CliRunner

from streams.cli import status as verb
from streams.cli.checking import UNFOLLOWED, checks_on
from streams.cli.drift import _states
from streams.cli.program import composed
from streams.cli.status import SILENT, UNPUBLISHED, UNREAD, UNRECORDED, UNSETTLED, row
from streams.control.gauges import DatabaseGauges, ratio
from streams.control.lag import Lag
from streams.control.offsets import TopicMissing
from streams.control.view import Remembered, drift_row
from streams.errors import NotReady, UsageError
from streams.kafka.admin import KafkaUnavailable
from streams.plan.policy import FILLED_IN_VALIDATION, Validation
from tests.unit.plan.plans import EXAMPLE, example

FINE = Lag(0.0, 0, "0/10", True)
PLACE = ("public.t", "cache")
NOTHING = Remembered()
FIELDS = {
    "table", "replica", "lag_seconds", "lag_events", "applied_through", "verified_through", "drift_open", "held",
    "checks",
}  # fmt: skip


def status(
    lag: Lag | None = FINE,
    known: Remembered | None = NOTHING,
    bound: float | None = 2.0,
    *,
    working: bool = True,
    reach: float | None = 0.0,
    at_source: Sequence[str] = (),
    store: str | None = None,
    **more: object,
) -> dict[str, object]:
    limit = None if bound is None else timedelta(seconds=bound)
    asked = {"working": working, "reach": reach, "at_source": at_source, "store": store, **more}
    return row("public.t", "cache", lag, limit, known, **asked)  # type: ignore[arg-type]


def test_a_table_that_is_well_has_no_problems_and_every_field() -> None:
    """Also before control has remembered anything."""
    line = status()
    assert line.keys() == FIELDS | {"problems"}
    assert (line["problems"], line["drift_open"]) == ([], 0)


CHECKED = Validation(depths=("counts",), every=timedelta(hours=1), scrub_period=timedelta(minutes=1))
FOLLOWED = CHECKED.model_copy(update={"replica_log": True})
SCRUBBED = ["just_written", "scrub", "reverse_sweep"]


@pytest.mark.parametrize(
    ("validation", "working", "followed", "checks"),
    [
        (FILLED_IN_VALIDATION, True, True, []),
        (CHECKED, True, True, SCRUBBED),
        (CHECKED, False, True, []),
        (FOLLOWED, True, True, [*SCRUBBED, "replica_log"]),
        (FOLLOWED, True, False, SCRUBBED),
        (FOLLOWED, False, False, []),
    ],
)
def test_only_checks_that_run_are_said_to_be_on(
    validation: Validation, working: bool, followed: bool, checks: list[str]
) -> None:
    """What the plan wants is on where somebody does it."""
    assert checks_on(validation, working=working, followed=followed) == checks


def test_a_log_that_nobody_follows_is_a_problem() -> None:
    """The plan wants it; the other layers go on."""
    line = status(checks=SCRUBBED, unfollowed=True)
    assert (line["checks"], line["problems"]) == (SCRUBBED, [UNFOLLOWED])


def test_what_nobody_has_remembered_is_not_known() -> None:
    """Where control has never started: no 0, which would be an answer."""
    line = status(known=None)
    assert (line["drift_open"], line["held"], line["verified_through"], line["lag_seconds"]) == (None, None, None, 0.0)


@pytest.mark.parametrize(
    ("lag", "known", "bound", "problems"),
    [
        (FINE._replace(seconds=2.0), NOTHING, 2.0, []),
        (FINE._replace(seconds=2.001), NOTHING, 2.0, ["lag is above the bound of 2 s"]),
        (FINE._replace(seconds=1e6), NOTHING, None, []),
        (
            Lag(9.0, 9, None, False),
            NOTHING,
            2.0,
            ["no worker has committed anything, or Kafka has forgotten it: all that is there counts as lag"],
        ),
        (FINE, Remembered(held={PLACE: "odd"}), 2.0, ["held"]),
        (FINE, Remembered(drift_open={PLACE: 3}), 2.0, ["drift is open"]),
        (FINE, Remembered(drift_open={("public.t", "reports"): 3}), 2.0, []),
        (FINE, Remembered(suspected={PLACE: 2}), 2.0, [f"2 {UNSETTLED}"]),
        (FINE, Remembered(unrecorded=frozenset({PLACE})), 2.0, [UNRECORDED]),
        (FINE, Remembered(drift_open={PLACE: 3}, unrecorded=frozenset({PLACE})), 2.0, ["drift is open"]),
        (FINE, Remembered(unrecorded=frozenset({("public.t", "reports")})), 2.0, []),
    ],
)
def test_each_problem_is_named(lag: Lag, known: Remembered, bound: float | None, problems: list[str]) -> None:
    """The bound itself is allowed; another replica's drift is not ours."""
    assert status(lag, known, bound)["problems"] == problems


def test_a_table_that_is_not_read_is_a_problem_and_an_empty_one_is_none() -> None:
    """Nothing of either is in Kafka, so no worker has committed anything, which says nothing of the worker."""
    silent = Lag(0.0, 0, None, committed=False, begun=False)
    assert status(silent)["problems"] == []
    assert status(silent, at_source=[UNREAD, UNPUBLISHED])["problems"] == [UNREAD, UNPUBLISHED]


def test_what_does_not_reach_kafka_is_lag_and_a_problem() -> None:
    """Whatever the offsets say, and without a bound too."""
    line = status(bound=None, reach=10.2)
    assert line["lag_seconds"] == 10.2
    assert line["problems"] == ["what the source has committed did not reach Kafka for 10 s"]
    assert status(FINE._replace(seconds=30.0), reach=10.2)["lag_seconds"] == 30.0


def test_a_lag_that_is_not_known_is_never_zero() -> None:
    """What has arrived and is not applied is behind in any case."""
    unknown = ["the source cannot be asked: whether its changes reach Kafka is not known"]
    assert (status(reach=None)["lag_seconds"], status(reach=None)["problems"]) == (None, unknown)
    assert status(FINE._replace(seconds=1.5), reach=None)["lag_seconds"] == 1.5


def test_while_kafka_is_away_what_control_remembers_is_shown() -> None:
    """Lag, and who works, is not known then: no 0, and no worker that is missing."""
    line = status(None, Remembered(drift_open={PLACE: 3}, held={PLACE: "odd"}), working=False, reach=None)
    assert (line["lag_seconds"], line["lag_events"], line["applied_through"]) == (None, None, None)
    assert (line["drift_open"], line["held"]) == (3, "odd")
    assert line["problems"] == [SILENT, "held", "drift is open"]


@pytest.mark.parametrize("away", [True, False])
def test_only_kafka_that_is_away_leaves_a_table_to_show(monkeypatch: pytest.MonkeyPatch, away: bool) -> None:
    """A topic that is missing is an error, with what makes it."""

    def lags(plan: Any) -> Any:
        raise KafkaUnavailable("Kafka is away.", "Start it.") if away else TopicMissing("gone", "topics apply")

    monkeypatch.setattr(verb, "_lags", lags)
    plan: Any = None
    if not away:
        with pytest.raises(TopicMissing):
            verb._measured(plan)
        return
    measured, told = verb._measured(plan)
    assert (measured.reach, measured.lags, measured.working) == (None, {}, {})
    assert told is not None
    assert (told.exit_code, told.hint, "Kafka is away." in told.what) == (3, "Start it.", True)


def test_a_replica_without_a_worker_is_not_well() -> None:
    """Nothing lags while nothing is written; the next change would."""
    assert status(working=False)["problems"] == ["no worker is running"]


def test_a_store_that_is_away_is_not_well() -> None:
    """Its worker notices with the next change only; of Kafka's absence it is told besides."""
    assert status(store="away")["problems"] == ["away"]
    assert status(None, store="away", reach=None)["problems"] == ["away", SILENT]


@pytest.mark.parametrize("replica", ["reports", "lookup", "cache"])
def test_each_kind_of_store_is_asked(monkeypatch: pytest.MonkeyPatch, replica: str) -> None:
    """Where nobody listens, the answer says where that is, and no password."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{deaf.getsockname()[1]}"
        monkeypatch.setenv("HOLDTRUE_REPLICA_DSN", f"postgresql://me:geheim@{where}/d")
        monkeypatch.setenv("HOLDTRUE_REDIS_URL", f"redis://:geheim@{where}/0")
        monkeypatch.setenv("HOLDTRUE_DYNAMODB", f"http://me:geheim@{where}")
        spec = example().replicas[replica]
        told = verb._store_problems(replica, spec)
    assert {*told} == {*spec.tables}
    assert all((where in each, "geheim" in each) == (True, False) for each in told.values()), told


def test_a_registry_that_is_away_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a password."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{deaf.getsockname()[1]}"
        monkeypatch.setenv("HOLDTRUE_REGISTRY", f"http://me:geheim@{where}")
        told = verb._registry_problem(example())
    assert told is not None
    assert told.exit_code == 3
    assert told.what.startswith("Through which position replicas have applied is not known.")
    assert (where in told.what, "geheim" in f"{told.what}{told.hint}", bool(told.hint)) == (True, False, True)


@pytest.mark.parametrize("problems", [[], ["drift is open"]])
@pytest.mark.parametrize("control", [None, NotReady("Control is away.", "Start control.")])
@pytest.mark.parametrize("registry", [None, NotReady("The registry is away.", "Start the registry.")])
def test_the_table_is_shown_and_all_that_is_not_known_is_said(
    monkeypatch: pytest.MonkeyPatch, problems: list[str], control: NotReady | None, registry: NotReady | None
) -> None:
    """Exit 0 only where everything is known and well."""
    nothing: Any = None
    monkeypatch.setattr(verb, "_source_problem", lambda plan: None)
    monkeypatch.setattr(verb, "_measured", lambda plan: (nothing, None))
    monkeypatch.setattr(verb, "_known", lambda plan, running: (None, control))
    monkeypatch.setattr(verb, "_registry_problem", lambda plan: registry)
    monkeypatch.setattr(verb, "_rows", lambda *args: [{"table": "public.t", "problems": problems}])
    ran = CliRunner().invoke(composed(), ["--plan", str(EXAMPLE), "--format", "json", "status"])
    assert json.loads(ran.stdout)["tables"] == [{"table": "public.t", "problems": problems}]
    away = [each for each in (control, registry) if each is not None]
    if not problems and not away:
        assert ran.exception is None
        return
    assert isinstance(ran.exception, NotReady)
    said = f"{ran.exception.what} {ran.exception.hint}"
    assert [each.what in said for each in away] == [True] * len(away)
    assert ("1 of 1 tables" in said) == bool(problems)
    assert problems or [each.hint in said for each in away] == [True] * len(away)


def test_the_mark_is_a_position_with_its_time() -> None:
    """verified_through as in the interface document."""
    mark = {"position": "0/9", "at": datetime(2026, 5, 1, tzinfo=UTC)}
    line = status(known=Remembered(verified={PLACE: mark}))
    assert line["verified_through"] == {"position": "0/9", "at": "2026-05-01T00:00:00+00:00"}


@pytest.mark.parametrize(
    ("key", "key_bytes", "hidden", "shown"),
    [
        ({"aid": "7"}, b"7", False, {"aid": "7"}),
        (None, b"\xab\xcd", True, "hmac:abcd"),
        ({"aid": "7"}, b"\xab", True, "hmac:ab"),
        (None, None, False, None),
    ],
)
def test_keys_are_shown_as_the_plan_lets_them(
    key: object, key_bytes: bytes | None, hidden: bool, shown: object
) -> None:
    """A hidden key is never shown, even where a sender left it in."""
    line = drift_row({"key": key, "key_bytes": key_bytes, "key_hidden": hidden, "entry_token": b"\x01"})
    assert line == {"key": shown, "entry_token": "01"}


def test_states_are_checked_by_name() -> None:
    """A misspelt state must not show an empty list."""
    assert _states(None) is None
    assert set(_states(["open-all", "suspected"]) or ()) == {"open", "repairing", "repaired", "suspected"}
    with pytest.raises(UsageError, match="no state opened"):
        _states(["opened"])


@pytest.mark.parametrize(("figures", "share"), [((8, 1, 0, 1, 0), 0.8), ((0, 0, 0, 0, 0), 1.0), ((0, 0, 5, 0, 0), 0.0)])
def test_what_was_not_checked_counts_against_the_ratio(figures: tuple[int, ...], share: float) -> None:
    """Skipped, failed and superseded keys are not verified keys."""
    names = ("verified", "superseded", "skipped", "failed", "drift_found")
    assert ratio({**dict(zip(names, figures, strict=True)), "outcome": "correct"}) == share


def copying(replica: str, table: str) -> Any:
    """A plan, as far as the gauges look at one."""
    return SimpleNamespace(replicas={replica: SimpleNamespace(tables={table: None})})


class Runs:
    """A control database that knows newest runs and nothing else."""

    def __init__(self, verified: int | None) -> None:
        rest = dict.fromkeys(("superseded", "skipped", "failed", "drift_found"), verified and 1)
        place = {"table": "public.uncounted", "replica": "cache"}
        self._run = {**place, **rest, "outcome": "incomplete", "verified": verified}

    def rows(self, name: str, values: object = None) -> list[dict[str, object]]:
        """Rows of the named statement."""
        return {"newest_runs": [self._run], "count_unpublished": [{"count": 0}]}.get(name, [])


def test_a_run_that_counted_nothing_has_no_ratio() -> None:
    """Neither 0, nor what the run before it has found."""
    labels = {"table": "public.uncounted", "replica": "cache"}
    gauges, shown = DatabaseGauges(copying("cache", "public.uncounted")), []
    for verified in (None, 4, None):
        gauges.measure(Runs(verified))  # type: ignore[arg-type]
        shown.append(REGISTRY.get_sample_value("holdtrue_consistency_ratio", labels))
    assert shown == [None, 0.5, None]


def test_what_is_known_of_a_table_that_left_the_plan_is_not_shown() -> None:
    """No alert may fire for it for ever."""
    DatabaseGauges(copying("cache", "public.other")).measure(Runs(4))  # type: ignore[arg-type]
    labels = {"table": "public.uncounted", "replica": "cache"}
    assert REGISTRY.get_sample_value("holdtrue_consistency_ratio", labels) is None
