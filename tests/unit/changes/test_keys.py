"""What the keys of records name."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.changes import keys
from streams.changes.keys import KeyReader
from streams.kafka.wire import frame
from streams.rows.canonical import encode
from tests.support.shapes import make_shape
from tests.unit.changes.envelopes import TEXTS

SHAPE = make_shape({"id": "int8", "mood": "text", "value": "text"}, ["id", "mood"])
SCHEMA: dict[str, Any] = {
    "type": "record", "name": "Key",
    "fields": [{"name": "mood", "type": ["null", "string"]}, {"name": "id", "type": "long"}],
}  # fmt: skip
PARSED = fastavro.parse_schema(dict(SCHEMA))
READER = KeyReader(7, SCHEMA, SHAPE)


def framed(**values: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, PARSED, values)
    return frame(7, out.getvalue())


KEYS = st.builds(framed, id=st.integers(-(2**63), 2**63 - 1), mood=TEXTS)
NO_KEYS = [
    b"", b"\x00", framed(id=12, mood="good")[:8], framed(id=12, mood="no\0"), framed(id=12, mood=None),
    framed(id=12, mood="good").replace(b"\x07", b"\x08", 1), b"garbagekey",
]  # fmt: skip


def test_a_key_is_read_in_the_mappings_order() -> None:
    """Whatever order the schema has."""
    assert READER.read(framed(id=12, mood="good")) == encode(("12", "good"))


@pytest.mark.parametrize("key", NO_KEYS)
def test_a_key_that_is_none_names_nothing(key: bytes) -> None:
    """Too short, cut off, of a text that no source can have, with a NULL, under another schema, not framed."""
    assert READER.read(key) is None


@pytest.mark.parametrize(
    "schema",
    [
        None,
        "string",
        {"type": "record", "name": "Key", "fields": []},
        {"type": "record", "name": "Key", "fields": [{"name": "id", "type": "long"}, {"name": "mood", "type": "odd"}]},
    ],
)
def test_another_schema_names_nothing(schema: Any) -> None:
    """Somebody else writes to the topic, or what keys are under is not Avro."""
    reader = KeyReader(7, schema, SHAPE)
    assert reader.read(framed(id=12, mood="good")) is None
    assert reader.read_many([framed(id=12, mood="good")]) == [None]


@given(st.lists(KEYS | st.binary(max_size=20) | st.sampled_from(NO_KEYS), min_size=1, max_size=7))
def test_keys_that_are_read_together_name_what_each_names_alone(listed: list[bytes]) -> None:
    """Whatever bytes are among them."""
    assert _together(listed) == [*map(READER.read, listed)]


@given(st.lists(KEYS, min_size=1, max_size=7))
def test_keys_are_read_together(listed: list[bytes]) -> None:
    """None of them is read alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KeyReader, "read", None)
        assert None not in _together(listed)


def _together(listed: list[bytes]) -> list[bytes | None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "MANY", 1)
        return READER.read_many(listed)
