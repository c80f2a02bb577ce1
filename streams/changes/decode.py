"""From a record's bytes to what it says about one key of one replica."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from streams.changes.envelope import Envelope, EnvelopeReader, Undecodable
from streams.changes.record import Op, Record
from streams.changes.values import UNAVAILABLE, ToText, binary, converter, identity
from streams.plan.mapping import Shape
from streams.rows.canonical import Row, encode

_MARKS = (UNAVAILABLE, binary(UNAVAILABLE.encode()))


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
        self._columns = [_column(column.name, types) for column in shape.read_columns]
        self._key_columns = [_column(name, types) for name in shape.key_columns]
        self._all_kept = len(shape.source_columns) == len(shape.read_columns)

    def decode(self, offset: int, value: bytes) -> Keyed | TableLevel | Passed:
        """What the record at `offset` says. Raises Undecodable for bytes that do not fit the schema."""
        envelope = self._reader.read(value)
        after = envelope.after
        if after is None:
            return self._without_row(offset, envelope)
        row = self._row(after)
        shape = self._shape
        key = encode(shape.key_of(row))
        if shape.terms and not shape.keeps(row):
            return self._left_out(offset, key, envelope)
        partial = _MARKS[0] in row or _MARKS[1] in row
        stored = row if self._all_kept else shape.stored(row)
        op = Op.read if envelope.read else Op.upsert
        record = Record(offset, op, stored, encode(stored), envelope.lsn, envelope.txid, partial)
        return Keyed(key, record, envelope.committed_ms)

    def _row(self, values: Mapping[str, Any]) -> Row:
        return tuple(
            [values[name] if to_text is identity else to_text(values[name]) for name, to_text in self._columns]
        )

    def _without_row(self, offset: int, envelope: Envelope) -> Keyed | TableLevel | Passed:
        before = envelope.before
        if before is None:
            return TableLevel(offset, envelope.committed_ms)
        key_texts = tuple([to_text(before[name]) for name, to_text in self._key_columns])
        if self._key_left_out(key_texts):
            return Passed(envelope.committed_ms)
        record = Record(offset, Op.delete, None, b"", envelope.lsn, envelope.txid)
        return Keyed(encode(key_texts), record, envelope.committed_ms)

    def _left_out(self, offset: int, key: bytes, envelope: Envelope) -> Keyed | Passed:
        """A row outside the filter: nothing if its key can never be inside, else the key must not be in the replica."""
        if self._shape.where_on_key_only:
            return Passed(envelope.committed_ms)
        op = Op.read if envelope.read else Op.upsert
        return Keyed(key, Record(offset, op, None, b"", envelope.lsn, envelope.txid), envelope.committed_ms)

    def _key_left_out(self, key: Row) -> bool:
        shape = self._shape
        return bool(shape.terms) and shape.where_on_key_only and not shape.keeps_key(key)  # type: ignore[arg-type]


def _column(name: str, types: Mapping[str, Any]) -> tuple[str, ToText]:
    if name not in types:
        raise Undecodable(
            f"The change topic's schema has no column {name}, which the mapping needs.",
            "Was it dropped at the source? Change the mapping, or add the column again.",
        )
    return name, converter(name, types[name])
