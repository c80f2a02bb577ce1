"""Control and a store that may have lost what it acknowledged: each step is remembered, none is told for nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streams.control.database import Database
from streams.control.stores import Stores
from streams.errors import StoreUnavailable
from streams.plan.model import Plan

NAME = "cache"


class World:
    """A Redis replica and Kafka, as far as control needs them."""

    def __init__(self) -> None:
        self.now = frozenset({"a", "b"})
        self.store_is_there = True
        self.kafka_takes = True
        self.sent: list[dict[str, Any]] = []
        self._queued: list[dict[str, Any]] = []

    def histories(self) -> frozenset[str]:
        """Of both servers."""
        if not self.store_is_there:
            raise StoreUnavailable("Redis is away", "")
        return self.now

    def send(self, topic: str, key: object, schema: str, record: dict[str, Any], *_: object) -> None:
        """Queue an event."""
        self._queued.append(record)

    def flush(self) -> None:
        """All of them, or none."""
        queued, self._queued = self._queued, []
        if not self.kafka_takes:
            raise StoreUnavailable("Kafka is away", "")
        self.sent += queued


@pytest.fixture
def world(plan: Plan, database: Database) -> World:
    """A replica that has been seen once, by another control."""
    world = World()
    watching(plan, database, world).look(NAME)
    return world


def watching(plan: Plan, database: Database, world: World) -> Stores:
    writer: Any = world
    return Stores(plan, database, writer, lambda _: world)


def lost(database: Database) -> dict[str, datetime]:
    return {row["replica"]: row["lost_at"] for row in database.rows("lost_stores")}


def test_only_stores_that_can_tell_are_looked_at(plan: Plan, database: Database, world: World) -> None:
    """Redis; Postgres and DynamoDB keep what they have acknowledged."""
    assert watching(plan, database, world).replicas == [NAME]


def test_servers_that_are_as_they_were_or_more_say_nothing(plan: Plan, database: Database, world: World) -> None:
    """Nor does a first look, nor one that finds nobody; a server that joins a cluster takes nothing back."""
    stores = watching(plan, database, world)
    stores.look(NAME)
    world.store_is_there = False
    with pytest.raises(StoreUnavailable):
        stores.look(NAME)
    world.store_is_there, world.now = True, frozenset({"a", "b", "c"})
    stores.look(NAME)
    assert (world.sent, lost(database)) == ([], {})


def test_a_history_that_is_gone_opens_drift_of_the_replicas_tables_once(
    plan: Plan, database: Database, world: World
) -> None:
    """And it is known since when nothing is proven any more; another control says it no second time."""
    world.now = frozenset({"a", "c"})
    watching(plan, database, world).look(NAME)
    watching(plan, database, world).look(NAME)
    tables = set(plan.replicas[NAME].tables)
    assert {(event["replica"], event["table"], event["kind"], event["cause"]) for event in world.sent} == {
        (NAME, table, "continuity", "failover rollback") for table in tables
    }
    assert len(world.sent) == len(tables)
    (at,) = lost(database).values()
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)


def test_what_could_not_be_told_is_told_later(plan: Plan, database: Database, world: World) -> None:
    """Kafka is away at that moment; the store is as it is afterwards."""
    world.now, world.kafka_takes = frozenset({"b"}), False
    with pytest.raises(StoreUnavailable):
        watching(plan, database, world).look(NAME)
    world.kafka_takes = True
    watching(plan, database, world).look(NAME)
    assert len(world.sent) == len(plan.replicas[NAME].tables)
