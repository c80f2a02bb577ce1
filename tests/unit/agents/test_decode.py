"""A batch up to the record that there is no schema for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from streams.agents.decode import DECODE_TURN, decode_batch
from streams.agents.table import Held
from streams.changes.decode import Keyed, Said, TableLevel
from streams.changes.envelope import Undecodable
from streams.changes.record import Op, Record
from streams.kafka.registry import NotAvro

KNOWN, UNKNOWN = (b"\x00" + number.to_bytes(4, "big") for number in (1, 2))


class Raw(NamedTuple):
    """A record, as far as it is looked at: one whose schema is no envelope of ours."""

    offset: int
    value: bytes | None
    key: bytes | None = None


class Table:
    """Knows one schema; the other one it cannot have, for the reason that a test gives."""

    mapping = SimpleNamespace(on_failure="dead-letter")

    def __init__(self, refuse: Exception | None = None) -> None:
        self.decoders: dict[int, None] = {}
        self._refuse = refuse

    async def load_decoders(self, schema_ids: Iterable[int], offset: int) -> None:
        """As of a table."""
        for schema_id in schema_ids:
            if schema_id in self.decoders:
                continue
            if schema_id != 1:
                raise self._refuse or Held(offset, "nobody knows it")
            self.decoders[schema_id] = None

    async def schema(self, schema_id: int, offset: int) -> str:
        """As of a table; keys may be under two schemas, and one that is not Avro."""
        if schema_id == 5:
            raise NotAvro("it is JSON")
        if schema_id not in (3, 4):
            raise self._refuse or Held(offset, "nobody knows it")
        return "a schema"


@pytest.mark.parametrize("before", [0, 1, DECODE_TURN + 1])
@pytest.mark.parametrize("refuse", [None, Undecodable("a type nobody knows")])
async def test_a_batch_ends_before_the_record_without_a_schema(before: int, refuse: Exception | None) -> None:
    """What came before it is taken in, however much; the hold names the record itself."""
    first = 10
    records: list[Any] = [Raw(first + n, KNOWN) for n in range(before)]
    at = first + before
    records += [Raw(at, UNKNOWN), Raw(at + 1, KNOWN), Raw(at + 2, UNKNOWN)]
    table: Any = Table(refuse)
    decoded = await decode_batch(table, records, -1)
    assert decoded.held is not None
    assert (decoded.held.offset, decoded.last_offset) == (at, at - 1)
    assert [letter.raw.offset for letter in decoded.unwritable] == [raw.offset for raw in records[:before]]


async def test_a_batch_whose_schemas_are_known_is_whole() -> None:
    """Nothing holds; a tombstone message has none."""
    table: Any = Table()
    decoded = await decode_batch(table, [Raw(0, KNOWN), Raw(1, None)], -1)  # type: ignore[list-item]
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
    decoded = await decode_batch(table, keyed(*ids), -1, before)
    assert decoded.held is not None
    assert (decoded.held.offset, decoded.last_offset, decoded.key_schema) == (at, at - 1, under)
    assert why in decoded.held.reason
    assert [letter.raw.offset for letter in decoded.unwritable] == list(range(10, at))


async def test_keys_that_stay_as_they_are_hold_nothing_and_ask_nobody() -> None:
    """Those without an id say nothing of it; the first id of a partition is what its keys are under."""
    table: Any = Table(AssertionError("asked"))
    decoded = await decode_batch(table, keyed(9, 0, 9), -1, 9)
    assert (decoded.held, decoded.last_offset, decoded.key_schema) == (None, 12, 9)
    decoded = await decode_batch(Table(), keyed(0, 4, 4), -1)  # type: ignore[arg-type]
    assert (decoded.held, decoded.last_offset, decoded.key_schema) == (None, 12, 4)


async def test_the_first_of_two_records_is_the_one_that_holds() -> None:
    """Whether its key or its value is what nobody knows."""
    table: Any = Table()
    for values, ids, at in (((UNKNOWN, KNOWN), (3, 9), 10), ((KNOWN, UNKNOWN), (9, 3), 10)):
        records: Any = [raw._replace(value=value) for raw, value in zip(keyed(*ids), values, strict=True)]
        decoded = await decode_batch(table, records, -1, 3)
        assert decoded.held is not None
        assert (decoded.held.offset, decoded.last_offset) == (at, at - 1)


class Says:
    """A decoder that reads a change of one row in every record, alone or many at once; or a TRUNCATE."""

    def __init__(self, *, truncate: bool = False) -> None:
        self._truncate = truncate

    def decode(self, offset: int, value: bytes) -> Said:
        """As the record says."""
        if self._truncate:
            return TableLevel(offset, 0, 7)
        return Keyed(b"1", Record(offset, Op.upsert, ("1",), b"1", 5, 6), 0)

    def decode_many(self, offsets: Sequence[int], values: Sequence[bytes]) -> list[Said]:
        """All of them."""
        return [self.decode(offset, value) for offset, value in zip(offsets, values, strict=True)]


@pytest.mark.parametrize("on_failure", ["dead-letter", "hold"])
async def test_a_change_without_a_key_is_not_applied_where_it_lies(on_failure: str) -> None:
    """The connector finds no key of a table that was renamed before it was read: its row's owner is another one."""
    table: Any = Table()
    table.decoders, table.mapping = {1: Says()}, SimpleNamespace(on_failure=on_failure)
    records: Any = [Raw(0, KNOWN, b"key"), Raw(1, KNOWN), Raw(2, KNOWN, b"key")]
    decoded = await decode_batch(table, records, -1)
    if on_failure == "hold":
        assert decoded.held is not None
        assert (decoded.held.offset, decoded.last_offset) == (1, 0)
    else:
        ((raw, _, error, key),) = decoded.unwritable
        assert (raw.offset, key) == (1, b"1")
        assert "The record has no key" in error
        assert [record.offset for record in decoded.keyed[b"1"]] == [0, 2]


async def test_a_truncate_has_no_key() -> None:
    """It is about every row."""
    table: Any = Table()
    table.decoders = {1: Says(truncate=True)}
    decoded = await decode_batch(table, [Raw(0, KNOWN)], -1)  # type: ignore[list-item]
    assert (decoded.truncate, decoded.unwritable) == (TableLevel(0, 0, 7), [])
