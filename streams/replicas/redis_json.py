"""A row as the JSON object readers of a Redis replica get, and back.

Integers are JSON numbers, booleans true and false, NULL null; everything else is its canonical text, numerics too, so
that no reader loses digits on the way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from streams.replicas.foreign import foreign, foreign_row
from streams.rows.canonical import Row
from streams.rows.types import Kind, kind_of

_BOOLEANS = {"t": True, "f": False}
_TEXTS = {True: "t", False: "f"}


class RowJson:
    """Encodes and reads the rows of one table; column names and Postgres types in the order of a row."""

    def __init__(self, columns: Sequence[str], types: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self._width = len(self._columns)
        self._write = [_writer(name) for name in types]
        self._read = [_reader(name) for name in types]
        self._encode = msgspec.json.Encoder().encode

    def encode(self, row: Row) -> bytes:
        """The JSON object of a canonical row, columns in order, no spaces."""
        return self._encode(
            {
                name: None if text is None else write(text)
                for name, write, text in zip(self._columns, self._write, row, strict=True)
            }
        )

    def decode(self, found: bytes) -> Row:
        """The canonical row of stored content; never fails: what we cannot have written reads as foreign."""
        try:
            fields = msgspec.json.decode(found)
            row = self._row(fields) if type(fields) is dict and len(fields) == self._width else None
        except (KeyError, ValueError, RecursionError):  # a lack of a column, no JSON, no UTF-8, nested without end
            row = None
        if row is None or (found != self._canonical(row) and not _names_each_once(found)):
            return foreign_row("a row of this table", found, self._width)
        return row

    def _row(self, fields: dict[str, Any]) -> Row:
        return tuple(
            None if (value := fields[name]) is None else read(value)
            for name, read in zip(self._columns, self._read, strict=True)
        )

    def _canonical(self, row: Row) -> bytes | None:
        try:
            return self.encode(row)
        except (KeyError, ValueError):  # a foreign value
            return None


def _names_each_once(found: bytes) -> bool:
    """Readers disagree on which of two fields with one name counts, so content with such a pair is no row."""

    def distinct(pairs: list[tuple[str, Any]]) -> None:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("a field twice")

    try:
        json.loads(found, object_pairs_hook=distinct)
    except (ValueError, RecursionError):
        return False
    return True


def _writer(type_name: str) -> Callable[[str], Any]:
    kind = kind_of(type_name)
    if kind is Kind.integer:
        return int
    if kind is Kind.boolean:
        return _BOOLEANS.__getitem__
    return str


def _reader(type_name: str) -> Callable[[Any], str]:
    kind = kind_of(type_name)
    if kind is Kind.integer:
        return lambda value: str(value) if type(value) is int else foreign("an integer", value)
    if kind is Kind.boolean:
        return lambda value: _TEXTS[value] if type(value) is bool else foreign("a boolean", value)
    return lambda value: value if type(value) is str and "\x00" not in value else foreign("text", value)
