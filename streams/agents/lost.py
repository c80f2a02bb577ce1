"""Local state of a changelog that is no more, as after the servers were wiped: dropped before anybody trusts it."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from streams.control.offsets import Offsets, TopicMissing
from streams.kafka.admin import KafkaUnavailable
from streams.kafka.registry import Registry
from streams.kafka.topics import changelog_topic
from streams.plan.model import Plan
from streams.versions.state import PartitionState

log = logging.getLogger(__name__)


def drop_lost(plan: Plan, replica: str, folder: Path) -> None:
    """Delete the state of partitions whose changelog ends before what the state has taken from it.

    It was made anew; what is there now is recovered, and the rest is replayed (Ordering 13). A Kafka that does not
    answer, or has no such topic, is none of this: the worker says so.
    """
    places = {
        (changelog_topic(plan, replica, table), number): folder / table / str(number)
        for table in plan.replicas[replica].tables
        for number in range(plan.tables[table].partitions)
        if (folder / table / str(number)).exists()
    }
    for place, end in _ends(plan, list(places)).items():
        taken = _taken(places[place], place[1])
        if taken >= end:
            log.warning(
                "the changelog %s[%d] ends at %d, local state has taken %d from it: the topic was made anew, the state "
                "is dropped", *place, end, taken,
            )  # fmt: skip
            shutil.rmtree(places[place])


def _ends(plan: Plan, places: list[tuple[str, int]]) -> dict[tuple[str, int], int]:
    if not places:
        return {}
    offsets = Offsets(plan.kafka.bootstrap.resolve(), Registry(plan.kafka.registry.resolve()))
    try:
        return offsets.ends(places)
    except (KafkaUnavailable, TopicMissing):
        return {}
    finally:
        offsets.close()


def _taken(folder: Path, partition: int) -> int:
    state = PartitionState(folder, partition)
    try:
        return state.changelog_offset
    finally:
        state.close()
