"""The key of a record whose value cannot be read."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pytest

from streams.changes.keys import key_of
from streams.kafka.wire import frame
from streams.rows.canonical import encode
from tests.support.shapes import make_shape

SHAPE = make_shape({"id": "int8", "mood": "text", "value": "text"}, ["id", "mood"])
SCHEMA: dict[str, Any] = {
    "type": "record", "name": "Key",
    "fields": [{"name": "mood", "type": "string"}, {"name": "id", "type": "long"}],
}  # fmt: skip


def framed(**values: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(SCHEMA), values)
    return frame(7, out.getvalue())


def test_a_key_is_read_in_the_mappings_order() -> None:
    """Whatever order the schema has."""
    assert key_of(framed(id=12, mood="good"), SCHEMA, SHAPE) == encode(("12", "good"))


@pytest.mark.parametrize("key", [b"", b"\x00", framed(id=12, mood="good")[:8], framed(id=12, mood="no\0")])
def test_a_key_that_is_none_names_nothing(key: bytes) -> None:
    """Too short, cut off, or of a text that no source can have."""
    assert key_of(key, SCHEMA, SHAPE) is None


@pytest.mark.parametrize("schema", ["string", {"type": "record", "name": "Key", "fields": []}])
def test_another_schema_names_nothing(schema: Any) -> None:
    """Somebody else writes to the topic."""
    assert key_of(framed(id=12, mood="good"), schema, SHAPE) is None
