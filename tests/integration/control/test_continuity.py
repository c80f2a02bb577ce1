"""Control and a source that breaks: each step is remembered, so that a kill between two of them loses none."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from streams.control.continuity import Continuity, pairs
from streams.control.database import Database
from streams.drift.continuity import Part, Source
from streams.errors import NotReady, StoreUnavailable
from streams.plan.model import Plan

SOURCE = Source("7400", 3, 5000, slot=True, published={}, parts={})


class World:
    """Source, Kafka and fence, as far as control needs them."""

    def __init__(self) -> None:
        self.source = SOURCE
        self.fence_passes = True
        self.kafka_takes = True
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self._queued: list[tuple[str, dict[str, Any]]] = []

    def read(self) -> Source:
        """The source now."""
        return self.source

    def fence(self, deadline: float) -> None:
        """Through the slot."""
        if not self.fence_passes:
            raise NotReady("the slot has not confirmed it", "")

    def ends(self, places: list[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Where the change topics end."""
        return {(topic, partition): 100 + partition for topic, partition in places}

    def send(self, topic: str, key: object, schema: str, record: dict[str, Any], *_: object) -> None:
        """Queue an event."""
        self._queued.append((schema, record))

    def flush(self) -> None:
        """All of them, or none."""
        queued, self._queued = self._queued, []
        if not self.kafka_takes:
            raise StoreUnavailable("Kafka is away", "")
        self.sent += queued


@pytest.fixture
def world() -> World:
    """A source that has been seen once."""
    return World()


def watching(plan: Plan, database: Database, world: World) -> Continuity:
    """A control that has just started."""
    return Continuity(plan, database, world, world, world.read, world.fence)  # type: ignore[arg-type]


def audited(database: Database) -> list[str]:
    """What the trail says of the source."""
    rows = database.rows("audit_range", {"after": 0, "limit": 100})
    return [row["why"] for row in rows if row["what"] == "source.broken"]


def test_a_source_seen_for_the_first_time_or_unchanged_says_nothing(
    plan: Plan, database: Database, world: World
) -> None:
    """Nor does one whose log goes on."""
    for lsn in (5000, 5000, 7000):
        world.source = SOURCE._replace(lsn=lsn)
        watching(plan, database, world).look()
    assert world.sent == []
    assert audited(database) == []


def test_another_log_opens_drift_everywhere_and_orders_every_partition_once(
    plan: Plan, database: Database, world: World
) -> None:
    """One event per table and replica, one order per partition with the end behind the fence, one audit entry."""
    control = watching(plan, database, world)
    control.look()
    world.source = SOURCE._replace(timeline=4, lsn=1)
    for _ in range(3):
        control.look()
    drift = [record for schema, record in world.sent if schema == "drift"]
    orders = [record for schema, record in world.sent if schema == "check-request"]
    assert [(each["replica"], each["table"]) for each in drift] == list(pairs(plan))
    assert {(each["kind"], each["cause"], each["state"]) for each in drift} == {
        ("continuity", "failover rollback", "open")
    }
    assert len(orders) == sum(plan.tables[table].partitions for _, table in pairs(plan))
    assert all(each["o2"] == 100 + each["partition"] and each["epoch"] > 1_700_000_000 for each in orders)
    assert len(audited(database)) == 1


def test_a_break_has_those_tables_wait_that_the_plan_wants_to_and_no_others(
    plan: Plan, database: Database, world: World
) -> None:
    """Every partition of theirs, before anything else is said; by whom and why."""
    replica, table = next(pairs(plan))
    spec = plan.replicas[replica]
    waits = spec.tables[table].model_copy(update={"on_continuity": "hold"})
    held = spec.model_copy(update={"tables": {**spec.tables, table: waits}})
    wants = plan.model_copy(update={"replicas": {**plan.replicas, replica: held}})
    control = watching(wants, database, world)
    control.look()
    world.source, world.fence_passes = SOURCE._replace(timeline=4), False
    control.look()
    holds = [record for schema, record in world.sent if schema == "check-request"]
    assert [(each["depth"], each["replica"], each["table"], each["partition"], each["by"]) for each in holds] == [
        ("hold", replica, table, number, "control") for number in range(plan.tables[table].partitions)
    ]
    assert all("timeline 4" in each["reason"] for each in holds)
    assert [schema for schema, _ in world.sent][: len(holds)] == ["check-request"] * len(holds)


def test_what_could_not_be_told_is_told_later_also_by_another_control(
    plan: Plan, database: Database, world: World
) -> None:
    """Kafka away, then the fence not passed, then control killed: nothing is forgotten, the ordinal stays."""
    watching(plan, database, world).look()
    world.source, world.kafka_takes = SOURCE._replace(system="9"), False
    with pytest.raises(StoreUnavailable):
        watching(plan, database, world).look()
    assert world.sent == []
    world.kafka_takes, world.fence_passes = True, False
    watching(plan, database, world).look()
    assert {schema for schema, _ in world.sent} == {"drift"}
    world.fence_passes = True
    watching(plan, database, world).look()
    assert [schema for schema, _ in world.sent].count("drift") == len(list(pairs(plan)))
    first = {record["epoch"] for schema, record in world.sent if schema == "check-request"}
    world.source = SOURCE._replace(system="10")
    watching(plan, database, world).look()
    later = {record["epoch"] for schema, record in world.sent if schema == "check-request"} - first
    assert len(first) == len(later) == 1
    assert min(later) > max(first)


def test_a_slot_that_is_gone_opens_drift_and_orders_nothing(plan: Plan, database: Database, world: World) -> None:
    """Whether it is not there, has lost WAL, or the connector says that it does not go on: in the same log."""
    control = watching(plan, database, world)
    control.look()
    for source, refused in ((SOURCE._replace(slot=False), False), (SOURCE, True)):
        world.sent.clear()
        world.source = source
        control.look(slot_refused=refused)
        control.look(slot_refused=refused)
        assert {schema for schema, _ in world.sent} == {"drift"}
        assert len(world.sent) == len(list(pairs(plan)))
        world.source = SOURCE
        control.look()


def test_a_table_that_leaves_the_publication_opens_drift_in_its_replicas_alone(
    plan: Plan, database: Database, world: World
) -> None:
    """Told once, also when Kafka was away and the next one left meanwhile; what is not of the plan is nobody's loss."""
    first, second, *_ = plan.tables
    world.source = SOURCE._replace(published={first: 1, second: 2, "public.not_in_the_plan": 3})
    watching(plan, database, world).look()
    for kafka_takes, published in ((False, {second: 2}), (True, {second: 4}), (True, {first: 5, second: 4})):
        world.kafka_takes = kafka_takes
        world.source = SOURCE._replace(published=published)
        with nullcontext() if kafka_takes else pytest.raises(StoreUnavailable):
            watching(plan, database, world).look()
    assert {schema for schema, _ in world.sent} == {"drift"}
    assert [(record["replica"], record["table"]) for _, record in world.sent] == [
        (replica, table) for replica, table in pairs(plan) if table in (first, second)
    ]
    assert len(audited(database)) == 2


def test_rows_that_may_have_gone_with_a_partition_are_looked_for_by_every_owner_once(
    plan: Plan, database: Database, world: World
) -> None:
    """Behind a fence; not forgotten while it is not passed, nor by another control; and no drift is opened."""
    first, second, *_ = plan.tables
    one = Part("700", "16400", born=True, logged=True)
    world.source = SOURCE._replace(parts={first: {"1": one}, second: {"2": one}, "public.not_in_the_plan": {"3": one}})
    watching(plan, database, world).look()
    world.source, world.fence_passes = SOURCE._replace(parts={first: {}, second: {"2": one}}), False
    watching(plan, database, world).look()
    assert world.sent == []
    world.fence_passes = True
    for _ in range(2):
        watching(plan, database, world).look()
    assert {(schema, record["depth"]) for schema, record in world.sent} == {("check-request", "truncate")}
    assert [(record["replica"], record["table"], record["partition"], record["o2"]) for _, record in world.sent] == [
        (replica, table, n, 100 + n)
        for replica, table in pairs(plan)
        if table == first
        for n in range(plan.tables[table].partitions)
    ]
