"""Reads a group's offsets and the records at them. Joins no group and commits nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams.control.lag import Lag, PartitionLag, RegistryLike, Said, lag_of, said
from streams.errors import HoldtrueError
from streams.kafka.admin import KafkaUnavailable, unavailable
from streams.plan.model import Plan

TIMEOUT_SECONDS: Final = 15.0
# Clients that have had no answer for so long are not used again.
RENEW_SECONDS: Final = 60.0
# The record at an edge may be the tombstone message after a delete, which says nothing: its neighbour does.
EDGE_RECORDS: Final = 2
Place = tuple[str, int]


class TopicMissing(HoldtrueError):
    """A topic of the plan is not there."""


class TopicLost(HoldtrueError):
    """A topic holds less than was already read from it."""


class Clients(NamedTuple):
    """The driver's clients: one asks about groups and topics, one reads records."""

    admin: Any
    consumer: Any


def connected(bootstrap: str) -> Clients:
    """Clients of this cluster; nobody is asked yet."""
    common = {"bootstrap.servers": bootstrap, "log_level": 0, "client.id": "holdtrue-offsets"}
    reads = {
        **common,
        "group.id": "holdtrue-offsets",  # never joined: partitions are assigned, nothing is committed
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 50,
        "max.partition.fetch.bytes": 64 * 1024,
        "queued.max.messages.kbytes": 4096,
    }
    return Clients(AdminClient(common), Consumer(reads))


class Offsets:
    """What groups have committed and topics hold. Every call raises KafkaUnavailable or TopicMissing."""

    def __init__(self, bootstrap: str, schemas: RegistryLike, connect: Callable[[str], Clients] = connected) -> None:
        self._bootstrap = bootstrap
        self._schemas = schemas
        self._connect = connect
        self._open: Clients | None = None
        self._retired: Clients | None = None
        self._failing_since: float | None = None

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
        with self._clients() as clients:
            futures = clients.admin.list_consumer_group_offsets(request, request_timeout=TIMEOUT_SECONDS)
            found = _result(futures[group])
        return {(tp.topic, tp.partition): tp.offset for tp in found.topic_partitions if tp.offset >= 0}

    def ends(self, places: list[Place]) -> dict[Place, int]:
        """End offsets, as they are in Kafka at this moment."""
        return self._bounds(places, OffsetSpec.latest())

    def held(self, places: list[Place]) -> dict[Place, tuple[int, int]]:
        """Where partitions begin and end at this moment."""
        ends = self.ends(places)
        begins = self._bounds(places, OffsetSpec.earliest())
        return {place: (begins[place], ends[place]) for place in places}

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
        for clients in (self._retired, self._open):
            if clients is not None:
                clients.consumer.close()
        self._retired = self._open = None

    @contextmanager
    def _clients(self) -> Iterator[Clients]:
        """The clients, made where there are none; after failures that do not pass the next call has new ones."""
        if self._open is None:
            self._open = self._connect(self._bootstrap)
        try:
            yield self._open
        except (KafkaException, TimeoutError) as error:
            self._failed(error)
            raise self._named(error) from None
        self._failing_since = None

    def _failed(self, error: KafkaException | TimeoutError) -> None:
        """What clients remember of a broker that was killed may keep them from it for good (an older leader epoch).

        One that nobody answers finds the broker again by itself. And clients that are given back while their broker is
        away, with calls of theirs under way, have crashed the driver: they are kept until the next ones have failed.
        """
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        answered = isinstance(error, KafkaException) and error.args[0].code() > 0
        if answered or now - self._failing_since >= RENEW_SECONDS:
            if self._retired is not None:
                self._retired.consumer.close()
            self._retired, self._open, self._failing_since = self._open, None, None

    def _partitions(self, group: str, places: list[Place]) -> dict[Place, PartitionLag]:
        # Ends first: what is committed is then never older than what it is compared with.
        lows, ends = self._bounds(places, OffsetSpec.earliest()), self._bounds(places, OffsetSpec.latest())
        committed = self.committed(group, places)
        bare = {place: PartitionLag(lows[place], ends[place], committed.get(place)) for place in places}
        edges = self._edges(bare)
        return {place: partition._replace(edge=edges.get(place)) for place, partition in bare.items()}

    def _bounds(self, places: list[Place], which: Any) -> dict[Place, int]:
        request = {TopicPartition(*place): which for place in places}
        with self._clients() as clients:
            futures = clients.admin.list_offsets(request, request_timeout=TIMEOUT_SECONDS)
            return {(tp.topic, tp.partition): _result(future).offset for tp, future in futures.items()}

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
        with self._clients() as clients:
            return _records(clients.consumer, starts)

    def _named(self, error: KafkaException | TimeoutError) -> HoldtrueError:
        if isinstance(error, KafkaException):
            # _NOENT: none of the topics that were asked for is there.
            if error.args[0].code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._NOENT):
                return TopicMissing("A topic of the plan is not there.", "Run: holdtrue topics apply")
            return unavailable(self._bootstrap, error.args[0])
        what = str(error) or "did not answer in time"
        return KafkaUnavailable(f"Kafka at {self._bootstrap} {what}.", "See whether the brokers are healthy.")


def _records(consumer: Any, starts: Mapping[Place, int]) -> dict[Place, list[Any]]:
    found: dict[Place, list[Any]] = {place: [] for place in starts}
    open_places = set(starts)
    consumer.assign([TopicPartition(*place, offset) for place, offset in starts.items()])
    # A partition that was paused stays paused through a new assignment.
    consumer.resume([TopicPartition(*place) for place in starts])
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while open_places and time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is None or (place := (message.topic(), message.partition())) not in open_places:
            continue
        if not (ended := _is_end(message.error())):
            found[place].append(message)
        if ended or len(found[place]) >= EDGE_RECORDS:
            open_places.discard(place)
            consumer.pause([TopicPartition(*place)])
    consumer.unassign()
    if open_places:
        raise TimeoutError(f"did not give records of {len(open_places)} partitions in {TIMEOUT_SECONDS:g} s")
    return found


def _is_end(error: KafkaError | None) -> bool:
    """Whether a message says that the partition ends here. Raises every other error."""
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        raise KafkaException(error)
    return error is not None


def _result(future: Any) -> Any:
    return future.result(timeout=2 * TIMEOUT_SECONDS)


def _edge(partition: PartitionLag) -> int:
    if partition.events:
        return partition.start
    return max(partition.low, partition.end - EDGE_RECORDS)
