"""Taking one batch of one partition apart: what its records say about each key, and which of them say nothing."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from streams.agents.failures import Unwritable
from streams.agents.table import Held, TableWork
from streams.changes.decode import Decoder, Keyed, Passed, Said, TableLevel
from streams.changes.envelope import WIRE_HEADER_BYTES, Undecodable
from streams.changes.record import Record
from streams.changes.values import UnknownType
from streams.drift.letter import UNDECODABLE
from streams.kafka.placing import partitions_of
from streams.transport.batches import KafkaRecord

# How many records are decoded before other tasks get a turn: about 10 ms.
DECODE_TURN = 2_000
MAGIC = 0
FOREIGN = "Find out who writes to the topic beside the connector; validate the table, and repair what that finds."
KEY_UNREADABLE = f"The record's key is not Avro in the Confluent wire format, or not a key of this table. {FOREIGN}"
KEY_OF_ANOTHER_ROW = f"The record's key is not that of the row in its value. {FOREIGN}"
MAY_BE_A_STRANGERS = (
    "Or it is somebody else's record: then have Kafka delete it (docs/operations.md, A record that is somebody else's)."
)
ELSEWHERE = (
    f"The record is not in the partition of its key, so that its row is another owner's, who has its order. {FOREIGN}"
)
WITHOUT_KEY = (
    "The record has no key, so that it is not in its row's partition: was the table renamed or dropped before the "
    "connector had read it? Validate the table, and repair what that finds."
)

# By the header that names a record's schema; None where that is not Debezium's envelope.
Decoders = Mapping[bytes, Decoder | None]


@dataclass(slots=True)
class Decoded:
    """A batch, taken apart. It ends before the fetched records do where `held` says why, or at a TRUNCATE.

    key_schema: id of the schema that its keys are under, and all keys of the partition; -1 while there was none.
    """

    last_offset: int
    partition: int = 0
    key_schema: int = -1
    keyed: dict[bytes, list[Record]] = field(default_factory=lambda: defaultdict(list))
    committed_ms: list[int] = field(default_factory=list)
    unwritable: list[Unwritable] = field(default_factory=list)
    truncate: TableLevel | None = None
    held: Held | None = None

    def end_before(self, offset: int) -> None:
        """Nothing from this record on is part of it."""
        self.last_offset = offset - 1


async def decode_batch(
    table: TableWork, records: Sequence[KafkaRecord], swept: int, partition: int, key_schema: int = -1
) -> Decoded:
    """What the records of this partition say, up to the first one that holds the table, or a TRUNCATE.

    swept: up to where sweeps of TRUNCATEs are ordered; those say nothing more.
    key_schema: what the keys of this partition were under before.
    """
    decoded = Decoded(records[-1].offset, partition)
    decoders, unread = await _decoders(table, records)
    records = _before(unread, records)
    decoded.key_schema, odd = await _key_schema(table, records, key_schema)
    records = _before(odd, records)
    unread = odd or unread
    if unread is not None:
        decoded.end_before(unread.offset)
    for start in range(0, len(records), DECODE_TURN):
        _decode_turn(table, records[start : start + DECODE_TURN], decoders, decoded, swept)
        if decoded.held is not None or decoded.truncate is not None:
            return decoded
        await asyncio.sleep(0)
    decoded.held = unread
    return decoded


def schema_id(encoded: bytes) -> int | None:
    """The id in the header of the Confluent wire format; None for bytes without one."""
    if len(encoded) < WIRE_HEADER_BYTES or encoded[0] != MAGIC:
        return None
    return int.from_bytes(encoded[1:WIRE_HEADER_BYTES], "big")


async def _decoders(table: TableWork, records: Sequence[KafkaRecord]) -> tuple[Decoders, Held | None]:
    """A decoder by header, up to the first record that there is none for, and why there is none."""
    # Going backwards, what stays is each header's first record; so it is with keys.
    first = {record.value[:WIRE_HEADER_BYTES]: record.offset for record in reversed(records) if record.value}
    decoders: dict[bytes, Decoder | None] = {}
    for header, found, offset in _framed(first):
        try:
            await table.load_decoders([found], offset)
        except Held as held:
            return decoders, held
        except (UnknownType, Undecodable) as error:
            # Never a dead letter: of a column that is gone, every record to come would be one.
            return decoders, Held(offset, f"{error} {MAY_BE_A_STRANGERS}")
        decoders[header] = table.decoders[found]
    return decoders, None


async def _key_schema(table: TableWork, records: Sequence[KafkaRecord], known: int) -> tuple[int, Held | None]:
    """What keys are under, up to the first record whose key is not under what those before it are, and why that holds.

    An id that the registry does not know is no other schema: it is waited for, and held for, as one of a value is.
    """
    first = {record.key[:WIRE_HEADER_BYTES]: record.offset for record in reversed(records) if record.key}
    for _, found, offset in _framed(first):
        try:
            await table.load_key_reader(found, offset)
        except Held as held:
            return known, held
        if known not in (found, -1):
            return known, Held(
                offset,
                f"keys arrive under schema id {found} instead of {known}, which moves them to other partitions; "
                "a key column has another type or default, or its enum another label (docs/operations.md, Keys under "
                "another schema)",
            )
        known = found
    return known, None


def _framed(first: Mapping[bytes, int]) -> Iterator[tuple[bytes, int, int]]:
    """Header, schema id and offset, in the order of the offsets; `first`: the first record of each header."""
    for header, offset in sorted(first.items(), key=lambda item: item[1]):
        if (found := schema_id(header)) is not None:
            yield header, found, offset


def _before(held: Held | None, records: Sequence[KafkaRecord]) -> Sequence[KafkaRecord]:
    return records if held is None else [record for record in records if record.offset < held.offset]


def _decode_turn(
    table: TableWork, records: Sequence[KafkaRecord], decoders: Decoders, decoded: Decoded, swept: int
) -> None:
    """Take records in, up to the one that ends the batch."""
    keyed, committed_ms = decoded.keyed, decoded.committed_ms
    named = _named_here(table, records, decoded)
    for raw, here, together in zip(records, named, _said_together(records, decoders), strict=True):
        said = together or _said_alone(table, raw, decoders, decoded)
        if isinstance(said, Keyed) and said.key != here:
            _put_aside(table, raw, _why_not_here(table, raw, said.key, decoded), decoded, said.key)
        elif isinstance(said, Keyed):
            key, record, moment = said
            keyed[key].append(record)
            committed_ms.append(moment)
        elif isinstance(said, Passed):
            committed_ms.append(said.committed_ms)
        elif said is not None and raw.offset > swept:
            decoded.truncate = said
        if decoded.held is not None or decoded.truncate is not None:
            decoded.end_before(raw.offset)
            return


def _said_together(records: Sequence[KafkaRecord], decoders: Decoders) -> list[Said | None]:
    """What each record says, where that is found out faster for many at once; None for the others."""
    places: dict[bytes, list[int]] = defaultdict(list)
    for place, record in enumerate(records):
        if record.value is not None:
            places[record.value[:WIRE_HEADER_BYTES]].append(place)
    together: list[Said | None] = [None] * len(records)
    for header, those in places.items():
        if (decoder := decoders.get(header)) is not None:
            chosen = [records[place] for place in those]
            offsets, values = [record.offset for record in chosen], [record.value or b"" for record in chosen]
            for place, said in zip(those, decoder.decode_many(offsets, values), strict=True):
                together[place] = said
    return together


def _named_here(table: TableWork, records: Sequence[KafkaRecord], decoded: Decoded) -> list[bytes | None]:
    """The row that each record's key names; None where that is none of this partition.

    Who applied a record elsewhere would write beside its row's owner, outside of its order and its lock.
    """
    framed = [record.key or b"" for record in records]
    reader = table.key_readers.get(decoded.key_schema)
    if reader is None:
        return [None] * len(records)
    named = reader.read_many(framed)
    if table.partitions == 1:
        return named
    places = partitions_of(framed, table.partitions)
    return [key if place == decoded.partition else None for key, place in zip(named, places, strict=True)]


def _why_not_here(table: TableWork, raw: KafkaRecord, key: bytes, decoded: Decoded) -> str:
    """Why a record that says something of `key` is not applied."""
    if raw.key is None:
        return WITHOUT_KEY
    named = _named(table, raw, decoded)
    if named is None:
        return KEY_UNREADABLE
    return ELSEWHERE if named == key else KEY_OF_ANOTHER_ROW


def _named(table: TableWork, raw: KafkaRecord, decoded: Decoded) -> bytes | None:
    """The row that a record's key names, in whichever partition; None where it cannot be read."""
    reader = table.key_readers.get(decoded.key_schema)
    return None if reader is None or raw.key is None else reader.read(raw.key)


def _said_alone(table: TableWork, raw: KafkaRecord, decoders: Decoders, decoded: Decoded) -> Said | None:
    """What one record says; None for nothing."""
    value = raw.value
    if value is None:
        return None  # the tombstone message after a delete: for log compaction, says nothing new
    try:
        decoder = decoders.get(value[:WIRE_HEADER_BYTES])
        if decoder is None:
            raise Undecodable("The record is not Avro in the Confluent wire format, or not Debezium's envelope.")
        return decoder.decode(raw.offset, value)
    except Undecodable as error:
        _put_aside(table, raw, str(error), decoded, _named(table, raw, decoded))
        return None


def _put_aside(table: TableWork, raw: KafkaRecord, why: str, decoded: Decoded, key: bytes | None) -> None:
    """key: of the row that it is about, so that this can be checked and repaired; None where nothing names it."""
    if table.mapping.on_failure == "hold":
        decoded.held = Held(raw.offset, why)
    else:
        decoded.unwritable.append(Unwritable(raw, UNDECODABLE, why, key))
