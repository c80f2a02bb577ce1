"""The key of a record whose value cannot be read: what cannot be applied is still told of a row."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import fastavro

from streams.changes.envelope import WIRE_HEADER_BYTES, bare
from streams.changes.values import UnknownType, converter
from streams.plan.mapping import Shape
from streams.rows.canonical import encode


def key_of(framed: bytes, schema: Mapping[str, Any], shape: Shape) -> bytes | None:
    """Canonical bytes of the key in a record's key bytes, written under `schema`; None for one that cannot be read."""
    columns = [shape.read_columns[index] for index in shape.key_index]
    try:
        types = {field["name"]: field["type"] for field in schema["fields"]}
        encoded = io.BytesIO(framed[WIRE_HEADER_BYTES:])
        found: Any = fastavro.schemaless_reader(encoded, fastavro.parse_schema(bare(dict(schema))), None)
        texts = [converter(column, types[column.name])(found[column.name]) for column in columns]
    except (
        UnknownType, KeyError, TypeError, ValueError, IndexError, EOFError, OverflowError, AttributeError,
        fastavro.schema.SchemaParseException,
    ):  # fmt: skip
        return None
    key = encode(texts)
    return None if b"\0" in key else key
