"""A batch up to the record that there is no schema for."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from streams.agents.decode import DECODE_TURN, decode_batch
from streams.agents.table import Held
from streams.changes.envelope import Undecodable

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
            if schema_id != 1:
                raise self._refuse or Held(offset, "nobody knows it")
            self.decoders[schema_id] = None


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
