"""Control's looks at copies on a real database: samples that are the worst of their time, and each signal told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from streams.control.copies import Copies, rules_of
from streams.control.database import Database
from streams.control.lag import Lag
from streams.control.materialise import Materialiser
from streams.control.sync import Look
from streams.errors import StoreUnavailable
from streams.plan.check import load_plan
from streams.plan.model import Plan
from tests.integration.control.records import DRIFT, NOON, SIGNALS, TABLE, Record, drift, encoded, signal
from tests.unit.plan.plans import EXAMPLE

pytestmark = pytest.mark.stack
LEVEL = Lag(0.0, 0, "0/AB", True)


class World:
    """A clock and Kafka, as far as control needs them."""

    def __init__(self) -> None:
        self.now = NOON
        self.kafka_takes = True
        self.sent: list[dict[str, Any]] = []
        self._queued: list[dict[str, Any]] = []

    def send(self, topic: str, key: object, schema: str, record: dict[str, Any], *_: object) -> None:
        """Queue a signal."""
        assert (topic, key, schema) == (SIGNALS, record["id"], "signal")
        self._queued.append(record)

    def flush(self) -> None:
        """All of them, or none."""
        queued, self._queued = self._queued, []
        if not self.kafka_takes:
            raise StoreUnavailable("Kafka is away", "")
        self.sent += queued


@pytest.fixture
def world() -> World:
    return World()


def copies(plan: Plan, database: Database, world: World) -> Copies:
    writer: Any = world
    return Copies(plan, database, writer, lambda: world.now)


def lags(lag: Lag = LEVEL) -> Mapping[str, Mapping[str, Lag]]:
    """One copy that could be asked about."""
    return {"cache": {TABLE: lag}}


def look(looking: Copies, world: World, *seconds: int, lag: Lag = LEVEL, source: float | None = 0.0) -> None:
    """Look at these seconds after noon."""
    for second in seconds:
        world.now = NOON + timedelta(seconds=second)
        looking.look(lags(lag), source)


def samples(database: Database, minutes: int = 1) -> list[tuple[datetime, Any, Any, int, bool]]:
    """Of that copy, in order."""
    asked = {"table": TABLE, "replica": "cache", "minutes": minutes, "first": NOON - timedelta(days=500),
             "last": NOON + timedelta(days=500), "limit": 10_000}  # fmt: skip
    return [tuple(row.values()) for row in database.rows("samples_between", asked)]  # type: ignore[misc]


def test_a_minute_keeps_its_worst(plan: Plan, database: Database, materialiser: Materialiser, world: World) -> None:
    """Of lag, drift and hold; what was not known takes nothing away, and a minute that knew nothing says so."""
    looking = copies(plan, database, world)
    look(looking, world, 0, lag=LEVEL._replace(seconds=1.5, events=7))
    materialiser.apply(DRIFT, 0, [drift(0, "open"), drift(1, "open", drift="d2")])
    materialiser.apply(SIGNALS, 0, [signal(0, "table-held", {"reason": "odd"})])
    look(looking, world, 10, source=None)
    materialiser.apply(DRIFT, 0, [drift(2, "superseded")])
    materialiser.apply(SIGNALS, 0, [signal(1, "table-released", {})])
    look(copies(plan, database, world), world, 20, 60)
    world.now = NOON + timedelta(seconds=120)
    looking.look({}, 0.0)
    assert samples(database) == [
        (NOON, 1.5, 7, 2, True),
        (NOON + timedelta(minutes=1), 0.0, 0, 1, False),
        (NOON + timedelta(minutes=2), None, None, 1, False),
    ]


def test_old_minutes_become_hours_and_old_hours_go(plan: Plan, database: Database, world: World) -> None:
    """Whole hours, each with its worst; a second control that thins at the same time changes nothing."""
    looking = copies(plan, database, world)
    for minute in (0, 59, 60):
        look(looking, world, minute * 60, lag=LEVEL._replace(seconds=float(minute)))
    for _ in range(2):
        world.now = NOON + timedelta(days=2, minutes=65)
        copies(plan, database, world).look(lags(), 0.0)
    late = (world.now, 0.0, 0, 0, False)
    assert samples(database) == [(NOON + timedelta(hours=1), 60.0, 0, 0, False), late]
    assert samples(database, 60) == [(NOON, 59.0, 0, 0, False)]
    world.now = NOON + timedelta(days=402)
    looking.look({}, None)
    assert samples(database, 60) == [(NOON + timedelta(days=2, hours=1), 0.0, 0, 0, False)]


def test_a_copy_in_sync_is_told_of_once_by_whatever_control(plan: Plan, database: Database, world: World) -> None:
    """Control that is started again knows what was told, and goes on from what was seen."""
    for second in (0, 10, 20, 30, 40):
        look(copies(plan, database, world), world, second)
    (told,) = world.sent
    assert (told["type"], told["replica"], told["table"]) == ("sync-updated", "cache", TABLE)
    assert (told["position"], told["at"], told["run"]) == ("0/AB", NOON, None)
    assert (told["detail"]["why"], told["detail"]["rules"]) == ("begun", rules_of(plan, TABLE, "cache"))


def test_a_hold_that_was_released_and_drift_that_was_closed_are_told(
    plan: Plan, database: Database, materialiser: Materialiser, world: World
) -> None:
    """Each with its reason, and only after its end."""
    looking = copies(plan, database, world)
    look(looking, world, 0, 20)
    materialiser.apply(SIGNALS, 0, [signal(0, "table-held", {"reason": "odd"})])
    look(looking, world, 30, 60)
    materialiser.apply(SIGNALS, 0, [signal(1, "table-released", {})])
    materialiser.apply(DRIFT, 0, [drift(0, "open", kind="continuity"), drift(1, "open", drift="d2")])
    look(looking, world, 70, 100)
    assert len(world.sent) == 1
    materialiser.apply(DRIFT, 0, [drift(2, "superseded", kind="continuity")])
    look(looking, world, 110, 130)
    assert [told["detail"]["why"] for told in world.sent] == ["begun", "held"]
    look(looking, world, 140, lag=LEVEL._replace(seconds=99.0))
    look(looking, world, 150, 170)
    assert [told["detail"]["why"] for told in world.sent] == ["begun", "held", "lag"]


def test_what_kafka_did_not_take_is_told_later_under_the_same_id(
    plan: Plan, database: Database, materialiser: Materialiser, world: World
) -> None:
    """At least once: what a kill sends again is one entry of the trail."""
    looking = copies(plan, database, world)
    world.kafka_takes = False
    look(looking, world, 0)
    with pytest.raises(StoreUnavailable):
        look(looking, world, 20)
    (row,) = database.rows("untold_sync", {"table": TABLE, "replica": "cache"})
    world.kafka_takes = True
    look(copies(plan, database, world), world, 30, 40)
    (told,) = world.sent
    assert told["id"] == row["untold"]["id"]
    again = [Record(offset, encoded("signal", told)) for offset in (0, 1)]
    materialiser.apply(SIGNALS, 0, again)
    (entry,) = [row for row in database.rows("audit_newest", {"limit": 10}) if row["what"] == "sync"]
    assert entry["object"] == f"cache/{TABLE}"
    assert '"why":"begun"' in entry["detail"]


def test_other_rules_of_the_plan_are_told(plan: Plan, database: Database, world: World) -> None:
    """When control runs under them and the copy is in sync."""
    look(copies(plan, database, world), world, 0, 20)
    other = load_plan(EXAMPLE)
    spec = other.replicas["cache"].tables[TABLE]
    other.replicas["cache"].tables[TABLE] = spec.model_copy(update={"on_continuity": "hold"})
    look(copies(other, database, world), world, 30, 50)
    assert [told["detail"]["why"] for told in world.sent] == ["begun", "rules"]
    assert len({told["detail"]["rules"] for told in world.sent}) == 2


def test_a_look_of_another_control_takes_back_nothing(plan: Plan, database: Database, world: World) -> None:
    """It comes between the moment a signal was remembered and the one in which it is in Kafka."""
    looking = copies(plan, database, world)
    world.kafka_takes = False
    look(looking, world, 0)
    with pytest.raises(StoreUnavailable):
        look(looking, world, 20)
    place, rules = (TABLE, "cache"), rules_of(plan, TABLE, "cache")
    looking._follow(place, Look(NOON + timedelta(seconds=21), LEVEL, 0.0, 2.0, False, False, rules))
    world.kafka_takes = True
    look(looking, world, 30)
    assert len(world.sent) == 1


def test_what_somebody_else_writes_is_not_told_to_be_in_sync(plan: Plan, database: Database, world: World) -> None:
    """Its lag is kept, of what is noted of it; but nothing of ours is applied there."""
    other = load_plan(EXAMPLE)
    spec = other.replicas["cache"].tables[TABLE]
    other.replicas["cache"].tables[TABLE] = spec.model_copy(update={"mode": "verify"})
    look(copies(other, database, world), world, 0, 20, 40)
    assert world.sent == []
    assert len(samples(database)) == 1
