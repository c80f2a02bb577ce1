"""The version table as a Faust table: changelog topic, recovery and standbys are Faust's, writes are in bulk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from faust.stores.base import Store
from faust.tables import Table
from faust.types import TP
from yarl import URL

from streams.errors import HoldtrueError, StoreUnavailable
from streams.steps import Step, reached
from streams.transport.batches import BatchSchema
from streams.versions.entry import Entry
from streams.versions.state import ChangelogRecord, PartitionState

# aiokafka closes a record batch at this size; a broker takes 1 MiB (message.max.bytes) unless told otherwise.
CHANGELOG_BATCH_BYTES = 900_000


class NotSupported(HoldtrueError):
    """Something Faust tables can do that a version table must not."""


class VersionStore(Store):  # type: ignore[misc]  # faust ships no types
    """Local disk of a version table: one `PartitionState` per partition that this worker owns or stands by for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._folder: Path = self.options["folder"]
        self._states: dict[int, PartitionState] = {}

    def state(self, partition: int) -> PartitionState:
        """The state of a partition, opened when first asked for."""
        if partition not in self._states:
            self._states[partition] = PartitionState(self._folder / str(partition), partition)
        return self._states[partition]

    def persisted_offset(self, tp: TP) -> int | None:
        """Up to where the changelog is in local state; None: nothing is."""
        offset = self.state(tp.partition).changelog_offset
        return None if offset < 0 else offset

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Nothing to do: the offset moves with the entries, in the same write."""

    async def need_active_standby_for(self, tp: TP) -> bool:
        """A partition that is on local disk needs no copy from elsewhere."""
        return self.persisted_offset(tp) is None

    def apply_changelog_batch(self, batch: Sequence[Any], to_key: Any, to_value: Any) -> None:
        """Recovery: take batches of changelog records as they come."""
        for event in batch:
            records = event.message.value.records
            state = self.state(event.message.partition)
            state.recover(((record.key, record.value) for record in records), event.message.offset)
            reached(Step.recovery_batch)

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Give back the folders of partitions that went elsewhere."""
        topic = self.table.changelog_topic_name
        kept = {tp.partition for tp in assigned if tp.topic == topic}
        for partition in self._states.keys() - kept:
            self._states.pop(partition).close()

    async def on_stop(self) -> None:
        """Close every partition."""
        while self._states:
            self._states.popitem()[1].close()

    def reset_state(self) -> None:
        """Faust asks for this on `faust reset`: states are deleted with their folder, not here."""

    async def backup_partition(self, tp: TP | int, *_: Any, **__: Any) -> None:
        """The changelog is the backup; Faust's own files are not used."""
        raise NotSupported("A version table has no backup files.", "Its changelog topic is the backup.")

    def restore_backup(self, tp: TP | int, *_: Any, **__: Any) -> None:
        """Recovery reads the changelog."""
        raise NotSupported("A version table has no backup files.", "It is recovered from its changelog topic.")

    def __getitem__(self, key: bytes) -> Entry:
        for state in self._states.values():
            if (entry := state.entry(key)) is not None:
                return entry
        raise KeyError(key)

    def __setitem__(self, key: bytes, value: Entry) -> None:
        raise TypeError("entries change only through the partition's owner")

    def __delitem__(self, key: bytes) -> None:
        raise TypeError("entries are never deleted: a deleted key keeps a tombstone")

    def __iter__(self) -> Iterator[bytes]:
        for state in self._states.values():
            for key, _ in state.scan():
                yield key

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, key: object) -> bool:
        return any(state.entry(key) is not None for state in self._states.values() if isinstance(key, bytes))

    def clear(self) -> None:
        """Refused: what a replica must hold is not forgotten."""
        raise TypeError("a version table is not cleared; delete its folder to recover it from the changelog")


class VersionTable(Table):  # type: ignore[misc]
    """Key → entry for one table of one replica (design, Version table)."""

    def __init__(self, app: Any, *, name: str, partitions: int, folder: Path, help: str = "") -> None:  # noqa: A002
        super().__init__(
            app, name=name, partitions=partitions, schema=BatchSchema(), key_type=bytes, value_type=bytes,
            store="holdtrue://", options={"folder": folder}, help=help,
        )  # fmt: skip

    def _new_store_by_url(self, url: str | URL) -> VersionStore:
        return VersionStore(url, self.app, self, table_name=self.name, options=self.options)

    @property
    def was_kept(self) -> bool:
        """Whether this worker has kept the table before: there is a folder of it."""
        return Path(self.options["folder"]).exists()

    def state(self, partition: int) -> PartitionState:
        """What this replica must hold for the keys of one partition."""
        store: VersionStore = self.data
        return store.state(partition)

    async def append(self, partition: int, records: Sequence[ChangelogRecord]) -> int:
        """Write records to the changelog, in order, in as few requests as they fit; the last one's offset.

        Returns after every one is acknowledged; raises StoreUnavailable when Kafka does not take them.
        """
        producer: AIOKafkaProducer = self.app.producer._ensure_producer()
        topic = self.changelog_topic_name
        offset = -1
        try:
            for builder in _packed(producer, records):
                future = await producer.send_batch(builder, topic, partition=partition)
                offset = (await future).offset + builder.record_count() - 1
        except KafkaError as error:
            raise StoreUnavailable(
                f"The changelog topic {topic} did not take a batch: {type(error).__name__}.",
                "Check that Kafka is reachable and the topic exists (holdtrue topics apply).",
            ) from error
        return offset


def _packed(producer: AIOKafkaProducer, records: Sequence[ChangelogRecord]) -> Iterator[Any]:
    """Record batches that hold the records in order, each as full as a request may be."""
    builder = producer.create_batch()
    for key, value in records:
        if builder.append(key=key, value=value, timestamp=None) is None:
            yield builder
            builder = producer.create_batch()
            builder.append(key=key, value=value, timestamp=None)
    yield builder
