"""From a record's bytes to what it says about one key of one replica."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

from streams.changes.columns import Irregular
from streams.changes.envelope import EnvelopeReader, EnvelopeSchema, Undecodable
from streams.changes.envelopes import Envelopes, EnvelopesReader
from streams.changes.record import Op, Record
from streams.changes.texts import texts
from streams.changes.values import UNAVAILABLE, ToText, binary, converter, is_own_form
from streams.plan.mapping import COLUMN_GONE, TYPE_CHANGED, Column, Shape
from streams.rows.canonical import Row, encode, encode_columns

_MARKS = (UNAVAILABLE, binary(UNAVAILABLE.encode()))
_READ, _UPSERT = Op.read, Op.upsert
# Fewer records than this are read faster one by one.
MANY = 150


class Keyed(NamedTuple):
    """A record for one key. `committed_ms`: when its transaction committed at the SOT, in ms since 1970."""

    key: bytes
    record: Record
    committed_ms: int


class TableLevel(NamedTuple):
    """A record that is about the whole table: a TRUNCATE. txid: of its transaction."""

    offset: int
    committed_ms: int
    txid: int


class Passed(NamedTuple):
    """A record that changes nothing here: of a key the mapping's filter leaves out."""

    committed_ms: int


Said = Keyed | TableLevel | Passed

# What a NamedTuple's own constructor does, without the Python function around it.
_new_record, _new_keyed = partial(tuple.__new__, Record), partial(tuple.__new__, Keyed)


class OtherForm(Undecodable):
    """A mapped column does not arrive as what it was when the worker began."""


class Decoder:
    """Decodes the records of one writer schema for one shape.

    Raises UnknownType when the schema has a mapped column without a canonical form, Undecodable when a mapped column
    is not in the schema at all, OtherForm when it arrives as another type than the shape's: a store would round it, or
    keep a text among its numbers. older: the SOT is known to have the shape's types, so that such records were written
    before it had; it is asked for these columns.
    """

    def __init__(self, schema: Mapping[str, Any], shape: Shape, *, older: bool = False) -> None:
        described = EnvelopeSchema(schema)
        self._shape = shape
        types = {field["name"]: field["type"] for field in described.row}
        self._columns: list[tuple[str, ToText | None]] = [
            (column.name, self._to_text(column, types, older)) for column in shape.read_columns
        ]
        self._key_columns = [self._columns[index] for index in shape.key_index]
        self._one = EnvelopeReader(described)
        self._many = EnvelopesReader.of(described, [name for name, to_text in self._columns if to_text is not None])

    def _to_text(self, column: Column, types: Mapping[str, Any], older: bool) -> ToText | None:
        """None for a column whose values are asked of the SOT."""
        if column.name in self._shape.asked:
            return None
        found = _converter(column, types)
        if is_own_form(column, found):
            return found
        if older and column.name not in self._shape.key_columns:
            return None
        raise OtherForm(
            f"Column {column.name} does not arrive as {column.type}, as when the worker began: its type was changed.",
            TYPE_CHANGED,
        )

    def decode(self, offset: int, value: bytes) -> Said:
        """What the record at `offset` says. Raises Undecodable for bytes that do not fit the schema or the source."""
        before, after, read, committed_ms, txid, lsn = self._one.read(value)
        if after is not None:
            row = _converted(self._columns, after)
            if self._shape.terms:
                return self._filtered(offset, row, read, committed_ms, txid, lsn)
            key, op, stored = encode(self._shape.key_of(row)), _READ if read else _UPSERT, self._shape.stored(row)
            line = _possible(encode(stored))
            return Keyed(key, Record(offset, op, stored, line, lsn, txid, _is_partial(row)), committed_ms)
        if before is None:
            return TableLevel(offset, committed_ms, txid)
        key_texts = _converted(self._key_columns, before)
        if self._key_left_out(key_texts):
            return Passed(committed_ms)
        return Keyed(_possible(encode(key_texts)), Record(offset, Op.delete, None, b"", lsn, txid), committed_ms)

    def decode_many(self, offsets: Sequence[int], values: Sequence[bytes]) -> Sequence[Said | None]:
        """What each record says, where that is found out faster for many at once; None for the others."""
        if self._many is None or len(values) < MANY:
            return [None] * len(values)
        try:
            found = self._many.read(values)
            unsent = [UNAVAILABLE] * len(found.places)
            columns = [texts(found.columns[name], to_text) if to_text else unsent for name, to_text in self._columns]
            said = self._said([offsets[place] for place in found.places], columns, found)
        except (Irregular, Undecodable, *_NO_FORM):
            return [None] * len(values)  # one of them is not what it should be: it is found when each is read alone
        if len(said) == len(values):
            return said
        spread: list[Said | None] = [None] * len(values)
        for place, each in zip(found.places, said, strict=True):
            spread[place] = each
        return spread

    def _said(self, offsets: Sequence[int], columns: Sequence[Sequence[str | None]], found: Envelopes) -> list[Said]:
        _, _, read, committed_ms, txid, lsn = found
        if self._shape.terms:
            rows = zip(*columns, strict=True)
            return [*map(self._filtered, offsets, rows, read, committed_ms, txid, lsn)]
        keys = encode_columns([columns[index] for index in self._shape.key_index])
        ops = [_READ if each else _UPSERT for each in read]
        incomplete = _are_partial(columns)
        stored = self._shape.stored_columns(columns)
        lines = encode_columns(stored)
        _possible(b"".join(lines))
        rows = zip(*stored, strict=True)
        records = map(_new_record, zip(offsets, ops, rows, lines, lsn, txid, incomplete, strict=True))
        return [*map(_new_keyed, zip(keys, records, committed_ms, strict=True))]

    def _filtered(self, offset: int, row: Row, read: bool, committed_ms: int, txid: int, lsn: int) -> Keyed | Passed:
        """A row that may be outside: nothing if its key can never be inside, else the key must not be in the replica.

        A row is never judged by a value that was not sent: the SOT is asked, filter and all.
        """
        op, shape = _READ if read else _UPSERT, self._shape
        key, incomplete = _possible(encode(shape.key_of(row))), _is_partial(row)
        if (incomplete and not shape.where_on_key_only) or shape.keeps(row):
            stored = shape.stored(row)
            line = _possible(encode(stored))
            return Keyed(key, Record(offset, op, stored, line, lsn, txid, incomplete), committed_ms)
        if shape.where_on_key_only:
            return Passed(committed_ms)
        return Keyed(key, Record(offset, op, None, b"", lsn, txid), committed_ms)

    def _key_left_out(self, key: Row) -> bool:
        shape = self._shape
        return bool(shape.terms) and shape.where_on_key_only and not shape.keeps_key(key)  # type: ignore[arg-type]


# What a conversion raises for a value that is outside what it knows: it is as good as not sent.
_NO_FORM = (ValueError, OverflowError, IndexError)


def _possible(line: bytes) -> bytes:
    """Canonical bytes as they are; raises Undecodable for a text with U+0000, which no Postgres can have sent."""
    if b"\0" in line:
        raise Undecodable(
            "A text in the record holds U+0000, which Postgres cannot hold.",
            "It does not come from the source of truth: find out who writes to the change topic.",
        )
    return line


def _is_partial(row: Row) -> bool:
    """Whether a value is the placeholder of an unchanged TOAST value."""
    return _MARKS[0] in row or _MARKS[1] in row


def _are_partial(columns: Sequence[Sequence[str | None]]) -> Iterable[bool]:
    """`_is_partial` of each row; nearly always one look at each column settles that none is."""
    if any(mark in column for mark in _MARKS for column in columns):
        return map(_is_partial, zip(*columns, strict=True))
    return repeat(False, len(columns[0]))


def _converter(column: Column, types: Mapping[str, Any]) -> ToText:
    if column.name not in types:
        raise Undecodable(
            f"The change topic's schema has no column {column.name}, which the mapping needs.",
            f"Was it dropped at the source, or given a type that does not arrive? {COLUMN_GONE}",
        )
    return converter(column, types[column.name])


def _converted(columns: Sequence[tuple[str, ToText | None]], values: Mapping[str, Any]) -> Row:
    """The row's canonical texts; the placeholder for a value whose text cannot be told, which the SOT is asked for."""
    row: list[str | None] = []
    for name, to_text in columns:
        if to_text is None:
            row.append(UNAVAILABLE)
            continue
        value = values[name]
        try:
            row.append(None if value is None else to_text(value))
        except _NO_FORM:
            row.append(UNAVAILABLE)
    return tuple(row)
