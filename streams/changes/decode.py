"""From a record's bytes to what it says about one key of one replica."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from streams.changes.envelope import Envelope, EnvelopeReader, Undecodable
from streams.changes.record import Op, Record
from streams.changes.values import UNAVAILABLE, ToText, binary, converter, identity
from streams.plan.mapping import Shape
from streams.rows.canonical import Row, encode, encode_nullable

_MARKS = (UNAVAILABLE, binary(UNAVAILABLE.encode()))
_MARK_IN_LINE = UNAVAILABLE.encode()
_READ, _UPSERT = Op.read, Op.upsert


class Keyed(NamedTuple):
    """A record for one key. `committed_ms`: when its transaction committed at the SOT, in ms since 1970."""

    key: bytes
    record: Record
    committed_ms: int


class TableLevel(NamedTuple):
    """A record that is about the whole table: a TRUNCATE."""

    offset: int
    committed_ms: int


class Passed(NamedTuple):
    """A record that changes nothing here: of a key the mapping's filter leaves out."""

    committed_ms: int


class Decoder:
    """Decodes the records of one writer schema for one shape.

    Raises UnknownType when the schema has a mapped column without a canonical form, Undecodable when a mapped column
    is not in the schema at all.
    """

    def __init__(self, schema: Mapping[str, Any], shape: Shape) -> None:
        self._reader = EnvelopeReader(schema)
        self._shape = shape
        types = {field["name"]: field["type"] for field in self._reader.row_fields}
        columns = [_column(column.name, types) for column in shape.read_columns]
        self._values = _getter([name for name, _ in columns])
        self._conversions = [(place, to) for place, (_, to) in enumerate(columns) if to is not identity]
        self._nullable = [place for place, (name, _) in enumerate(columns) if isinstance(types[name], list)]
        self._key_columns = [_column(name, types) for name in shape.key_columns]
        self._key_of = _getter(shape.key_index)
        self._all_kept = len(shape.source_columns) == len(shape.read_columns)
        self._binary = any(column.type == "bytea" for column in shape.read_columns)
        self._filtered = bool(shape.terms)

    def decode(self, offset: int, value: bytes) -> Keyed | TableLevel | Passed:
        """What the record at `offset` says. Raises Undecodable for bytes that do not fit the schema."""
        envelope = self._reader.read(value)
        _, after, read, committed_ms, txid, lsn = envelope
        if after is None:
            return self._without_row(offset, envelope)
        row = self._row(after)
        key = encode(self._key_of(row))
        if self._filtered and not self._keeps(row):
            return self._left_out(offset, key, envelope)
        if self._all_kept:
            stored, line = row, encode_nullable(row, self._nullable)
            # One look at the line first: nearly always it settles that no value is a mark.
            partial = (_MARK_IN_LINE in line or self._binary) and _is_partial(row)
        else:
            stored = self._shape.stored(row)
            line, partial = encode(stored), _is_partial(row)
        return Keyed(key, Record(offset, _READ if read else _UPSERT, stored, line, lsn, txid, partial), committed_ms)

    def _keeps(self, row: Row) -> bool:
        """Whether the filter lets the row in, or cannot tell: a value that was not sent is asked of the SOT."""
        return self._shape.keeps(row) or (not self._shape.where_on_key_only and _is_partial(row))

    def _row(self, values: Mapping[str, Any]) -> Row:
        row = [*self._values(values)]
        place = 0
        try:
            for place, to_text in self._conversions:
                row[place] = to_text(row[place])
        except _NO_FORM:
            raise _without_form(self._shape.read_columns[place].name) from None
        return tuple(row)

    def _without_row(self, offset: int, envelope: Envelope) -> Keyed | TableLevel | Passed:
        before = envelope.before
        if before is None:
            return TableLevel(offset, envelope.committed_ms)
        key_texts = self._key(before)
        if self._key_left_out(key_texts):
            return Passed(envelope.committed_ms)
        record = Record(offset, Op.delete, None, b"", envelope.lsn, envelope.txid)
        return Keyed(encode(key_texts), record, envelope.committed_ms)

    def _key(self, before: Mapping[str, Any]) -> Row:
        key: list[str | None] = []
        for name, to_text in self._key_columns:
            try:
                key.append(to_text(before[name]))
            except _NO_FORM:
                raise _without_form(name) from None
        return tuple(key)

    def _left_out(self, offset: int, key: bytes, envelope: Envelope) -> Keyed | Passed:
        """A row outside the filter: nothing if its key can never be inside, else the key must not be in the replica."""
        if self._shape.where_on_key_only:
            return Passed(envelope.committed_ms)
        op = _READ if envelope.read else _UPSERT
        return Keyed(key, Record(offset, op, None, b"", envelope.lsn, envelope.txid), envelope.committed_ms)

    def _key_left_out(self, key: Row) -> bool:
        shape = self._shape
        return bool(shape.terms) and shape.where_on_key_only and not shape.keeps_key(key)  # type: ignore[arg-type]


# What a conversion raises for a value that is outside what it knows.
_NO_FORM = (ValueError, OverflowError, IndexError)


def _without_form(column: str) -> Undecodable:
    return Undecodable(
        f"A value of column {column} has no canonical form (such as infinity, or a year beyond 9999).",
        "Correct the value at the source, or leave the column out of the mapping (columns.omit).",
    )


def _is_partial(row: Row) -> bool:
    """Whether a value is the placeholder of an unchanged TOAST value."""
    return _MARKS[0] in row or _MARKS[1] in row


def _getter(places: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Takes these places out of a row or mapping, as a tuple also where there is only one."""
    if len(places) == 1:
        only = places[0]
        return lambda values: (values[only],)
    return itemgetter(*places)


def _column(name: str, types: Mapping[str, Any]) -> tuple[str, ToText]:
    if name not in types:
        raise Undecodable(
            f"The change topic's schema has no column {name}, which the mapping needs.",
            "Was it dropped at the source? Change the mapping, or add the column again.",
        )
    return name, converter(name, types[name])
