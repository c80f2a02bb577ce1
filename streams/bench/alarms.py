"""Reports for nothing, made by the benchmark: one that does not count them would count none of a checker's either."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from streams.bench import subject
from streams.bench.scene import REPLICA, Scene
from streams.drift.names import Names
from streams.drift.record import key_record
from streams.kafka.events import EventWriter
from streams.kafka.registry import Registry
from streams.kafka.wire import cloud_event
from streams.rows.canonical import encode

CAUSE: Final = "none: a false alarm of the benchmark's own"


def raise_false(scene: Scene, keys: Iterable[int]) -> None:
    """Tell the drift topic that these keys, which are right, are in drift."""
    endpoints, plan = scene.place.endpoints, scene.place.plan
    writer = EventWriter(endpoints.kafka, Registry(endpoints.registry_url), client_id="holdtrue-bench")
    names = Names(REPLICA, subject.TABLE, (subject.KEY,))
    for key in keys:
        told = key_record(names, encode((str(key),)), kind="mismatch", cause=CAUSE, state="open", at=datetime.now(UTC))
        headers = cloud_event("holdtrue.drift", f"/holdtrue/{plan.name}/bench")
        writer.send(plan.own_topic("drift"), told["id"], "drift", told, headers)
    writer.flush()
