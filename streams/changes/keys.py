"""What the keys of records name: the canonical bytes of a row's key, however its value reads."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import fastavro
import numpy as np
from fastavro import schemaless_reader

from streams.changes.columns import Block, Compiler, Field, Irregular, NotColumnar, read_fields
from streams.changes.envelope import WIRE_HEADER_BYTES, bare
from streams.changes.texts import texts
from streams.changes.values import ToText, UnknownType, converter
from streams.plan.mapping import Shape
from streams.rows.canonical import encode, encode_columns

# Fewer keys than this are read faster one by one.
MANY = 20
_HEADER_BITS = np.uint64((1 << 8 * WIRE_HEADER_BYTES) - 1)
# What a schema raises that is none of a key of ours, and a key that is none under its schema.
_NO_SCHEMA = (UnknownType, KeyError, TypeError, ValueError, AttributeError, fastavro.schema.SchemaParseException)
_NO_KEY = (KeyError, TypeError, ValueError, IndexError, EOFError, OverflowError, AttributeError)


class KeyReader:
    """Reads keys that are written under one schema, for one shape.

    None is what a key names that cannot be read; under a schema that is none of the shape's keys, each of them.
    """

    def __init__(self, schema_id: int, schema: Any, shape: Shape) -> None:
        self._header = b"\0" + schema_id.to_bytes(WIRE_HEADER_BYTES - 1, "big")
        self._schema: Any = None
        self._many: Sequence[tuple[str, Field]] | None = None
        columns = [shape.read_columns[index] for index in shape.key_index]
        try:
            types = {field["name"]: field["type"] for field in schema["fields"]}
            self._columns = [(column.name, converter(column, types[column.name])) for column in columns]
            self._schema = fastavro.parse_schema(bare(dict(schema)))
            self._many = Compiler().fields(schema["fields"])
        except (NotColumnar, *_NO_SCHEMA):
            return

    def read(self, framed: bytes) -> bytes | None:
        """What one record's key names."""
        if self._schema is None or not framed.startswith(self._header):
            return None
        try:
            found: Any = schemaless_reader(io.BytesIO(framed[WIRE_HEADER_BYTES:]), self._schema, None)
            key = encode([_text(to_text, found[name]) for name, to_text in self._columns])
        except _NO_KEY:
            return None
        return None if b"\0" in key else key

    def read_many(self, framed: Sequence[bytes]) -> list[bytes | None]:
        """What each record's key names."""
        if self._many is not None and len(framed) >= MANY:
            try:
                return [*self._together(self._many, Block(framed))]
            except (Irregular, *_NO_KEY):
                pass  # one of them is not what it should be: it is found when each is read alone
        return [*map(self.read, framed)]

    def _together(self, fields: Sequence[tuple[str, Field]], block: Block) -> list[bytes]:
        if (block.words(block.starts) & _HEADER_BITS != int.from_bytes(self._header, "little")).any():
            raise Irregular
        columns, at = read_fields(fields, None, block, block.starts + WIRE_HEADER_BYTES)
        listed = [texts(columns[name], to_text) for name, to_text in self._columns]
        keys = encode_columns(listed)
        if (at > block.ends).any() or b"\0" in b"".join(keys) or any(None in each for each in listed):
            raise Irregular
        return keys


def _text(to_text: ToText, value: Any) -> str:
    if value is None:
        raise ValueError("a key has no NULL")
    return to_text(value)
