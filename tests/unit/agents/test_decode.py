"""A batch up to the record that there is no schema for, and without those that are not applied where they lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from streams.agents.decode import DECODE_TURN, ELSEWHERE, KEY_OF_ANOTHER_ROW, KEY_UNREADABLE, WITHOUT_KEY, decode_batch
from streams.agents.table import Held
from streams.changes.decode import Keyed, Said, TableLevel
from streams.changes.envelope import Undecodable
from streams.changes.keys import KeyReader
from streams.changes.record import Op, Record
from streams.kafka.partitions import KeyPartitioner
from tests.support.shapes import make_shape

KNOWN, UNKNOWN = (b"\x00" + number.to_bytes(4, "big") for number in (1, 2))
SHAPE = make_shape({"id": "int8"}, ["id"])
KEY_SCHEMA = {"type": "record", "name": "Key", "fields": [{"name": "id", "type": "long"}]}


class Raw(NamedTuple):
    """A record, as far as it is looked at: one whose schema is no envelope of ours."""

    offset: int
    value: bytes | None
    key: bytes | None = None


class Table:
    """Knows one schema; the other one it cannot have, for the reason that a test gives."""

    mapping = SimpleNamespace(on_failure="dead-letter")
    partitions = 1

    def __init__(self, refuse: Exception | None = None) -> None:
        self.decoders: dict[int, None] = {}
        self.key_readers: dict[int, KeyReader] = {}
        self._refuse = refuse

    async def load_decoders(self, schema_ids: Iterable[int], offset: int) -> None:
        """As of a table."""
        for schema_id in schema_ids:
            if schema_id in self.decoders:
                continue
            if schema_id != 1:
                raise self._refuse or Held(offset, "nobody knows it")
            self.decoders[schema_id] = None

    async def load_key_reader(self, schema_id: int, offset: int) -> None:
        """As of a table; keys may be under two schemas, and one that is not Avro."""
        if schema_id in self.key_readers:
            return
        if schema_id not in (3, 4, 5):
            raise self._refuse or Held(offset, "nobody knows it")
        self.key_readers[schema_id] = KeyReader(schema_id, None if schema_id == 5 else KEY_SCHEMA, SHAPE)


@pytest.mark.parametrize("before", [0, 1, DECODE_TURN + 1])
@pytest.mark.parametrize("refuse", [None, Undecodable("a type nobody knows")])
async def test_a_batch_ends_before_the_record_without_a_schema(before: int, refuse: Exception | None) -> None:
    """What came before it is taken in, however much; the hold names the record itself."""
    first = 10
    records: list[Any] = [Raw(first + n, KNOWN) for n in range(before)]
    at = first + before
    records += [Raw(at, UNKNOWN), Raw(at + 1, KNOWN), Raw(at + 2, UNKNOWN)]
    table: Any = Table(refuse)
    decoded = await decode_batch(table, records, -1, 0)
    assert decoded.held is not None
    assert (decoded.held.offset, decoded.last_offset) == (at, at - 1)
    assert [letter.raw.offset for letter in decoded.unwritable] == [raw.offset for raw in records[:before]]


async def test_a_batch_whose_schemas_are_known_is_whole() -> None:
    """Nothing holds; a tombstone message has none."""
    table: Any = Table()
    decoded = await decode_batch(table, [Raw(0, KNOWN), Raw(1, None)], -1, 0)  # type: ignore[list-item]
    assert (decoded.held, decoded.last_offset) == (None, 1)


def keyed(*ids: int) -> Any:
    """Records with keys under these ids, from offset 10 on; 0: a key that is not framed."""
    keys = [b"\x00" + number.to_bytes(4, "big") + b"key" if number else b"\xff" for number in ids]
    return [Raw(10 + n, KNOWN, key) for n, key in enumerate(keys)]


@pytest.mark.parametrize(
    ("ids", "before", "at", "under", "why"),
    [
        ((3, 3, 9, 3), -1, 12, 3, "nobody knows it"),
        ((3, 3, 9, 3), 3, 12, 3, "nobody knows it"),
        ((9, 3), -1, 10, -1, "nobody knows it"),
        ((9, 3), 3, 10, 3, "nobody knows it"),
        ((3, 4), -1, 11, 3, "schema id 4 instead of 3"),
        ((0, 4, 3), 3, 11, 3, "schema id 4 instead of 3"),
        ((3, 5), 3, 11, 3, "schema id 5 instead of 3"),
        ((4, 9), 3, 10, 3, "schema id 4 instead of 3"),
    ],
)
async def test_a_batch_ends_before_the_record_whose_key_is_under_another_schema(
    ids: tuple[int, ...], before: int, at: int, under: int, why: str
) -> None:
    """One that nobody knows is told as that. Neither becomes what the keys of the partition are under."""
    table: Any = Table()
    decoded = await decode_batch(table, keyed(*ids), -1, 0, before)
    assert decoded.held is not None
    assert (decoded.held.offset, decoded.last_offset, decoded.key_schema) == (at, at - 1, under)
    assert why in decoded.held.reason
    assert [letter.raw.offset for letter in decoded.unwritable] == list(range(10, at))


async def test_keys_that_stay_as_they_are_hold_nothing_and_ask_nobody() -> None:
    """Those without an id say nothing of it; the first id of a partition is what its keys are under."""
    table: Any = Table(AssertionError("asked"))
    table.key_readers[9] = KeyReader(9, KEY_SCHEMA, SHAPE)
    decoded = await decode_batch(table, keyed(9, 0, 9), -1, 0, 9)
    assert (decoded.held, decoded.last_offset, decoded.key_schema) == (None, 12, 9)
    decoded = await decode_batch(Table(), keyed(0, 4, 4), -1, 0)  # type: ignore[arg-type]
    assert (decoded.held, decoded.last_offset, decoded.key_schema) == (None, 12, 4)


async def test_the_first_of_two_records_is_the_one_that_holds() -> None:
    """Whether its key or its value is what nobody knows."""
    table: Any = Table()
    for values, ids, at in (((UNKNOWN, KNOWN), (3, 9), 10), ((KNOWN, UNKNOWN), (9, 3), 10)):
        records: Any = [raw._replace(value=value) for raw, value in zip(keyed(*ids), values, strict=True)]
        decoded = await decode_batch(table, records, -1, 0, 3)
        assert decoded.held is not None
        assert (decoded.held.offset, decoded.last_offset) == (at, at - 1)


class Says:
    """A decoder that reads a change of the row that a value names behind its header, alone or many at once.

    Of no row: a TRUNCATE. many: whether they are read together.
    """

    def __init__(self, *, many: bool = True) -> None:
        self._many = many

    def decode(self, offset: int, value: bytes) -> Said:
        """As the record says."""
        if not (key := value[len(KNOWN) :]):
            return TableLevel(offset, 0, 7)
        return Keyed(key, Record(offset, Op.upsert, (key.decode(),), key, 5, 6), 0)

    def decode_many(self, offsets: Sequence[int], values: Sequence[bytes]) -> list[Said | None]:
        """All of them."""
        return [self.decode(*each) if self._many else None for each in zip(offsets, values, strict=True)]


def key_of(row: int) -> bytes:
    """The key's bytes, as a record of the row has them."""
    return b"\x00\x00\x00\x00\x03" + bytes([2 * row])


def change(offset: int, row: int, key: bytes | None) -> Raw:
    """A record that says something of a row."""
    return Raw(offset, KNOWN + b"%d" % row, key)


PARTITIONS = 3
PARTITIONER = KeyPartitioner(3, KEY_SCHEMA, ["id"], PARTITIONS)
HERE, BESIDE, ELSEWHERES = 4, *(
    next(row for row in range(5, 60) if (PARTITIONER.partition(b"%d" % row) == PARTITIONER.partition(b"4")) is same)
    for same in (True, False)
)  # fmt: skip


@pytest.mark.parametrize("on_failure", ["dead-letter", "hold"])
@pytest.mark.parametrize("others", [2, 100])
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("row", "key", "why"),
    [
        (BESIDE, None, WITHOUT_KEY),
        (BESIDE, b"garbagekey", KEY_UNREADABLE),
        (BESIDE, key_of(BESIDE)[:-1], KEY_UNREADABLE),
        (BESIDE, key_of(HERE), KEY_OF_ANOTHER_ROW),
        (ELSEWHERES, key_of(HERE), KEY_OF_ANOTHER_ROW),
        (HERE, key_of(ELSEWHERES), KEY_OF_ANOTHER_ROW),
        (ELSEWHERES, key_of(ELSEWHERES), ELSEWHERE),
    ],
)
async def test_a_change_is_not_applied_where_it_does_not_belong(
    row: int, key: bytes | None, why: str, together: bool, others: int, on_failure: str
) -> None:
    """Its row's owner is another one, or its key is another row's: what is said of which row is not known.

    The connector finds no key of a table that was renamed before it was read; the others are of a stranger.
    """
    table: Any = Table()
    table.decoders, table.mapping = {1: Says(many=together)}, SimpleNamespace(on_failure=on_failure)
    table.partitions = PARTITIONS
    records: Any = [change(n, HERE, key_of(HERE)) for n in range(others)]
    records[1] = change(1, row, key)
    decoded = await decode_batch(table, records, -1, PARTITIONER.partition(b"%d" % HERE))
    if on_failure == "hold":
        assert decoded.held is not None
        assert (decoded.held.offset, decoded.held.reason, decoded.last_offset) == (1, why, 0)
    else:
        assert [(each.raw.offset, each.error, each.key) for each in decoded.unwritable] == [(1, why, b"%d" % row)]
        assert [*decoded.keyed] == [b"%d" % HERE]
        assert len(decoded.keyed[b"%d" % HERE]) == others - 1


async def test_what_cannot_be_read_is_told_of_the_row_that_its_key_names() -> None:
    """So that it can be checked and repaired."""
    table: Any = Table()
    records: Any = [Raw(0, KNOWN, key_of(HERE)), Raw(1, KNOWN), Raw(2, KNOWN, b"garbagekey")]
    decoded = await decode_batch(table, records, -1, 0)
    assert [each.key for each in decoded.unwritable] == [b"%d" % HERE, None, None]


async def test_a_truncate_has_no_key() -> None:
    """It is about every row."""
    table: Any = Table()
    table.decoders = {1: Says()}
    decoded = await decode_batch(table, [Raw(0, KNOWN)], -1, 0)  # type: ignore[list-item]
    assert (decoded.truncate, decoded.unwritable) == (TableLevel(0, 0, 7), [])
