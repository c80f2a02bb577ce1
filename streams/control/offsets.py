"""Reads a group's offsets and the records at them. Joins no group and commits nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams.control.lag import Lag, PartitionLag, RegistryLike, Said, lag_of, said
from streams.errors import HoldtrueError
from streams.kafka.admin import KafkaUnavailable
from streams.plan.model import Plan

TIMEOUT_SECONDS: Final = 15.0
# The record at an edge may be the tombstone message after a delete, which says nothing: its neighbour does.
EDGE_RECORDS: Final = 2
Place = tuple[str, int]


class TopicMissing(HoldtrueError):
    """A topic of the plan is not there."""


class TopicLost(HoldtrueError):
    """A topic holds less than was already read from it."""


class Offsets:
    """What groups have committed and topics hold. Every call raises KafkaUnavailable or TopicMissing."""

    def __init__(self, bootstrap: str, schemas: RegistryLike) -> None:
        self._bootstrap = bootstrap
        self._schemas = schemas
        common = {"bootstrap.servers": bootstrap, "log_level": 0, "client.id": "holdtrue-offsets"}
        self._admin = AdminClient(common)
        self._consumer = Consumer(
            {
                **common,
                "group.id": "holdtrue-offsets",  # never joined: partitions are assigned, nothing is committed
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
                "max.partition.fetch.bytes": 64 * 1024,
                "queued.max.messages.kbytes": 4096,
            }
        )

    def lags(self, plan: Plan, replica: str) -> dict[str, Lag]:
        """Lag by table, for every table of the replica."""
        tables = {plan.change_topic(table): table for table in plan.replicas[replica].tables}
        places = [(topic, n) for topic, table in tables.items() for n in range(plan.tables[table].partitions)]
        partitions = self._partitions(plan.group(replica), places)
        now_ms = time.time() * 1000
        return {
            table: lag_of((found for (name, _), found in partitions.items() if name == topic), now_ms)
            for topic, table in tables.items()
        }

    def newest(self, topic: str) -> int | None:
        """When the SOT committed what is last in a topic of one partition, in ms since 1970; None for an empty one."""
        place = (topic, 0)
        low, end = (self._bounds([place], which)[place] for which in (OffsetSpec.earliest(), OffsetSpec.latest()))
        edge = self._edges({place: PartitionLag(low, end, end)}).get(place)
        return None if edge is None else edge.committed_ms

    def committed(self, group: str, places: Iterable[Place]) -> dict[Place, int]:
        """Committed offsets of a group, where there are any."""
        asked = [TopicPartition(*place) for place in places]
        if not asked:
            return {}
        request = [ConsumerGroupTopicPartitions(group, asked)]
        futures = self._admin.list_consumer_group_offsets(request, request_timeout=TIMEOUT_SECONDS)
        found = self._result(futures[group])
        return {(tp.topic, tp.partition): tp.offset for tp in found.topic_partitions if tp.offset >= 0}

    def ends(self, places: list[Place]) -> dict[Place, int]:
        """End offsets, as they are in Kafka at this moment."""
        return self._bounds(places, OffsetSpec.latest())

    def refuse_lost(self, taken: Mapping[Place, int]) -> None:
        """Raises TopicLost where a topic ends before what was taken from it: what comes now would pass for a replay."""
        ends = self._bounds(list(taken), OffsetSpec.latest()) if taken else {}
        for place, end in ends.items():
            if end < taken[place]:
                raise TopicLost(
                    f"The topic {place[0]} ends at offset {end} in partition {place[1]}; the control database has "
                    f"taken it in up to {taken[place]}: the topic was made anew.",
                    "Give control an empty database in control.dsn (keep the old one for the record).",
                )

    def close(self) -> None:
        """Give back the connections."""
        self._consumer.close()

    def _partitions(self, group: str, places: list[Place]) -> dict[Place, PartitionLag]:
        # Ends first: what is committed is then never older than what it is compared with.
        lows, ends = self._bounds(places, OffsetSpec.earliest()), self._bounds(places, OffsetSpec.latest())
        committed = self.committed(group, places)
        bare = {place: PartitionLag(lows[place], ends[place], committed.get(place)) for place in places}
        edges = self._edges(bare)
        return {place: partition._replace(edge=edges.get(place)) for place, partition in bare.items()}

    def _bounds(self, places: list[Place], which: Any) -> dict[Place, int]:
        request = {TopicPartition(*place): which for place in places}
        futures = self._admin.list_offsets(request, request_timeout=TIMEOUT_SECONDS)
        return {(tp.topic, tp.partition): self._result(future).offset for tp, future in futures.items()}

    def _edges(self, partitions: Mapping[Place, PartitionLag]) -> dict[Place, Said]:
        """What the record at each partition's edge says."""
        starts = {place: _edge(partition) for place, partition in partitions.items() if partition.end > partition.low}
        found = {}
        for place, messages in self._read(starts).items():
            behind = partitions[place].events > 0
            with_value = [message for message in messages if message.value()]
            if messages:
                chosen = (with_value or messages)[0 if behind else -1]
                found[place] = said(chosen.value() or b"", chosen.timestamp()[1], self._schemas)
        return found

    def _read(self, starts: Mapping[Place, int]) -> dict[Place, list[Any]]:
        """Up to EDGE_RECORDS records from each offset on."""
        found: dict[Place, list[Any]] = {place: [] for place in starts}
        open_places = set(starts)
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in starts.items()])
        # A partition that was paused stays paused through a new assignment.
        self._consumer.resume([TopicPartition(*place) for place in starts])
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while open_places and time.monotonic() < deadline:
            message = self._consumer.poll(0.5)
            if message is None:
                continue
            place = (message.topic(), message.partition())
            if message.error() is None and place in open_places:
                found[place].append(message)
            if message.error() is not None or len(found[place]) >= EDGE_RECORDS:
                self._stop_reading(place, open_places, message.error())
        self._consumer.unassign()
        if open_places:
            raise KafkaUnavailable(
                f"Kafka at {self._bootstrap} did not give records of {len(open_places)} partitions in "
                f"{TIMEOUT_SECONDS:g} s: how old they are is not known.", "Try again."
            )  # fmt: skip
        return found

    def _stop_reading(self, place: Place, open_places: set[Place], error: KafkaError | None) -> None:
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            if place not in open_places:
                return
            raise self._named(KafkaException(error))
        if place in open_places:
            open_places.discard(place)
            self._consumer.pause([TopicPartition(*place)])

    def _result(self, future: Any) -> Any:
        try:
            return future.result(timeout=2 * TIMEOUT_SECONDS)
        except KafkaException as error:
            raise self._named(error) from None

    def _named(self, error: KafkaException) -> HoldtrueError:
        reason = error.args[0]
        if reason.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return TopicMissing("A topic of the plan is not there.", "Run: holdtrue topics apply")
        return KafkaUnavailable(
            f"Kafka at {self._bootstrap} did not answer: {reason.str()}.",
            "Start it (holdtrue up) or correct kafka.bootstrap of the plan.",
        )


def _edge(partition: PartitionLag) -> int:
    if partition.events:
        return partition.start
    return max(partition.low, partition.end - EDGE_RECORDS)
