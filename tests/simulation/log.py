"""Kafka, as far as holdtrue uses it: partitions of records at offsets, and a changelog that is compacted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from streams.changes.decode import Keyed, Said, TableLevel
from streams.changes.envelope import Undecodable
from streams.changes.record import Op, Record
from streams.kafka.partitions import KeyPartitioner
from streams.versions.entry import NO_TOKEN, Entry, Token
from streams.versions.state import ENTRY, ChangelogRecord

# Confluent wire format: magic byte and schema id. Keys and values have schemas of their own.
KEY_SCHEMA_ID = 1
KEY_SCHEMA = {"type": "record", "name": "Key", "fields": [{"name": "id", "type": "long"}]}
VALUE_SCHEMA, UNKNOWN_SCHEMA = b"\0\0\0\0\2", b"\1\0\0\0\0"


@dataclass(slots=True)
class Message:
    """A record as the consumer hands it over. Values are numbers of prepared records: those are not decoded."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Payload(NamedTuple):
    """What a record will say once it is decoded; its offset comes with the message."""

    key: bytes
    op: Op
    row: tuple[str | None, ...] | None
    line: bytes
    lsn: int
    txid: int
    partial: bool = False


@cache
def partition_of(key: bytes, partitions: int) -> int:
    """Where the records of a key go."""
    return partitioner(partitions).partition(key)


@cache
def partitioner(partitions: int) -> KeyPartitioner:
    """The workers' own."""
    return KeyPartitioner(KEY_SCHEMA_ID, KEY_SCHEMA, ["id"], partitions)


@cache
def framed(key: bytes) -> bytes:
    """A key as its records have it."""
    return partitioner(1).framed(key)


class Partition:
    """Records in order. Those who wait for more are woken."""

    def __init__(self) -> None:
        self.records: list[Message] = []
        self.first = 0  # what was before it has expired
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def end(self) -> int:
        """Offset after the last record."""
        return len(self.records)

    def append(self, key: bytes | None, value: bytes | None, timestamp: int) -> int:
        """Add a record; its offset."""
        offset = len(self.records)
        self.records.append(Message(offset, timestamp, key, value))
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
        return offset

    def end_of_life(self) -> None:
        """Those who wait see that it is gone."""
        self.append(None, None, 0)

    async def more_than(self, offset: int) -> None:
        """Return when there is a record at `offset`."""
        while self.end <= offset:
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future


class Topic:
    """The change topic, and what its records say: also the decoder that workers are given."""

    def __init__(self, partitions: int) -> None:
        self.partitions = [Partition() for _ in range(partitions)]
        self.life = 1  # which one it is of those with its name
        self._said: list[Payload | int] = []  # what one record says, or the transaction of a TRUNCATE

    def make_anew(self, committed: list[int]) -> set[bytes]:
        """Deleted and made again: the keys of records that were in it and not committed."""
        lost: set[bytes] = set()
        for partition, done in zip(self.partitions, committed, strict=True):
            lost |= self._keys(partition.records[done:])
            partition.end_of_life()
        self.partitions = [Partition() for _ in self.partitions]
        self.life += 1
        return lost

    def expire(self, partition: int, first: int, done: int) -> set[bytes]:
        """What is before `first` is gone. Returns the keys of what was in there and is not among the `done` first."""
        place = self.partitions[partition]
        lost = self._keys(place.records[max(done, place.first) : first])
        place.first = max(first, place.first)
        return lost

    def _keys(self, records: list[Message]) -> set[bytes]:
        said = [self._said[int.from_bytes(record.value[5:], "big")] for record in records if record.value is not None]
        return {each.key for each in said if not isinstance(each, int)}

    def send(self, said: Payload, now: float, *, undecodable: bool = False) -> tuple[int, int]:
        """Add what the connector sends for one key; (partition, offset)."""
        self._said.append(said)
        partition = partition_of(said.key, len(self.partitions))
        header = UNKNOWN_SCHEMA if undecodable else VALUE_SCHEMA
        value = header + (len(self._said) - 1).to_bytes(4, "big")
        offset = self.partitions[partition].append(framed(said.key), value, int(now * 1000))
        if said.op is Op.delete:
            self.partitions[partition].append(framed(said.key), None, int(now * 1000))
        return partition, offset

    def truncate(self, partition: int, now: float, txid: int) -> int:
        """Add the record of a TRUNCATE, which has no key; its offset."""
        self._said.append(txid)
        value = VALUE_SCHEMA + (len(self._said) - 1).to_bytes(4, "big")
        return self.partitions[partition].append(None, value, int(now * 1000))

    def decode(self, offset: int, value: bytes) -> Said:
        """What a record says."""
        said = self._said[int.from_bytes(value[5:], "big")]
        if value[:5] != VALUE_SCHEMA:
            raise Undecodable("a value that nobody can read")
        if isinstance(said, int):
            return TableLevel(offset, 0, said)
        return Keyed(said.key, Record(offset, *said[1:]), 0)

    def decode_many(self, offsets: list[int], values: list[bytes]) -> list[Said | None]:
        """By columns or one by one is the same here."""
        return [self.decode(offset, value) for offset, value in zip(offsets, values, strict=True)]


class Changelog:
    """One partition of the version table's changelog. Compaction leaves holes: a key's last record stays."""

    def __init__(self) -> None:
        self.records: dict[int, ChangelogRecord] = {}
        self.acknowledged: list[ChangelogRecord] = []  # everything, as if nothing were ever compacted
        self.end = 0
        self.losses = 0

    def append(self, records: list[ChangelogRecord]) -> int:
        """Add records; the last one's offset."""
        self.acknowledged += records
        for record in records:
            self.records[self.end] = record
            self.end += 1
        return self.end - 1

    def since(self, offset: int) -> list[tuple[int, bytes, bytes]]:
        """Records from `offset` on, as recovery reads them."""
        return [(at, *record) for at, record in self.records.items() if at >= offset]

    def compact(self, dirty: int) -> bool:
        """Keep only the last record of each key, but for the newest `dirty` ones, which no cleaner looks at.

        A key's largest token is kept too, which Kafka does not do: a known limit (docs/simulation.md, seed 10296).
        """
        last = {key: at for at, (key, _) in self.records.items()}
        largest = {key: at for at, (key, value) in sorted(self.records.items(), key=_by_token) if key.startswith(ENTRY)}
        keep = self.end - dirty
        kept = {
            at: record
            for at, record in self.records.items()
            if at >= keep or at in (last[record[0]], largest.get(record[0]))
        }
        removed = len(kept) < len(self.records)
        self.records = kept
        return removed

    def lose_tail(self, count: int) -> dict[bytes, Entry]:
        """An unclean election: the newest records are gone. Returns the entries among them."""
        self.losses += 1
        lost = [record for at, record in self.records.items() if at >= self.end - count]
        self.end = max(0, self.end - count)
        self.records = {at: record for at, record in self.records.items() if at < self.end}
        self.acknowledged = list(self.records.values())
        return {key[1:]: Entry.decode(value) for key, value in lost if key.startswith(ENTRY) and value is not None}


def _by_token(numbered: tuple[int, ChangelogRecord]) -> tuple[Token, int]:
    at, (key, value) = numbered
    return (Entry.decode(value).token if key.startswith(ENTRY) else NO_TOKEN), at
