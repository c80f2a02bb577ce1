"""Reading only what is needed of a Debezium envelope.

Avro has no field index: to read a field, all before it must be read. Everything needed lies before `source.lsn`, so a
writer schema cut off there reads a prefix of the record and leaves the rest. Within `source` most strings are the same
in every record; read as one fixed run of bytes and compared with the expected ones, they cost one field instead of six.
A record without `before` and with `after` (every insert, read and, under the default replica identity, update) is told
by its first two bytes and read as one flat record, without unions and nested records.
Measured against reading the whole envelope: docs/decisions/0003-prefix-decoding.md.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import fastavro
from fastavro import schemaless_reader

from streams.errors import HoldtrueError

WIRE_HEADER_BYTES = 5
_LAST_NEEDED = "lsn"
_CONSTANT = frozenset({"version", "connector", "name", "db", "schema", "table"})
_STREAMED = frozenset({None, "false"})
# The Avro union branches of `before` and `after`, one byte each: null, then the row.
_ONLY_AFTER = b"\x00\x02"
_FLAT_FROM = WIRE_HEADER_BYTES + len(_ONLY_AFTER)
# Names of the source's fields in a flat record: the dot cannot be in a column's Avro name.
_SOURCE = "source."


class Undecodable(HoldtrueError):
    """A record's bytes are not what its schema says."""


class Envelope(NamedTuple):
    """What is needed of one record. `before` and `after` hold Avro values by column name; times are in ms.

    `after` may hold more than the columns, under names that no column can have.
    """

    before: dict[str, Any] | None
    after: dict[str, Any] | None
    read: bool
    committed_ms: int
    txid: int
    lsn: int


class EnvelopeReader:
    """Reads records of one writer schema."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._fields = {field["name"]: field for field in schema["fields"]}
        if not {"before", "after", "source"} <= self._fields.keys():
            raise Undecodable(
                "The topic does not carry Debezium's full envelope.",
                "Remove ExtractNewRecordState (or other flattening) from the connector.",
            )
        self._plain = self._prefix(list(_until_last(self._source_fields())))
        self._fused: Any = None
        self._flat: Any = None
        # The constant runs as they must be: in nested records, and in flat ones.
        self._expected: dict[str, bytes] = {}
        self._expected_flat: list[tuple[str, bytes]] = []
        self._null_first = all(self._branches(name)[0] == "null" for name in ("before", "after"))

    @property
    def row_fields(self) -> list[Mapping[str, Any]]:
        """The Avro fields of a row, in column order, as the writer declared them."""
        record = next(branch for branch in self._branches("before") if isinstance(branch, dict))
        return list(record["fields"])

    def read(self, value: bytes) -> Envelope:
        """One record in Confluent wire format; raises Undecodable when the bytes do not fit the schema."""
        try:
            return self._read(value)
        except Exception as error:  # fastavro raises EOFError, IndexError, UnicodeDecodeError and others alike
            raise Undecodable(
                f"The record's bytes do not fit its schema ({type(error).__name__}).",
                "Look at it with `holdtrue dlq show`; if the producer is not Debezium, use another topic.",
            ) from error

    def _read(self, value: bytes) -> Envelope:
        try:
            envelope = self._read_expecting(value)
        except Exception:
            # Constants of another length shift all that follows, which can then look like anything.
            envelope = None
        if envelope is not None:
            return envelope
        stream = io.BytesIO(value)
        stream.seek(WIRE_HEADER_BYTES)
        record = schemaless_reader(stream, self._plain, None)
        self._learn(record["source"])
        return _envelope(record)

    def _read_expecting(self, value: bytes) -> Envelope | None:
        """The record if its constants are those of the record before, which is the case for nearly all."""
        if self._fused is None:
            return None
        stream = io.BytesIO(value)
        if self._flat is not None and value.startswith(_ONLY_AFTER, WIRE_HEADER_BYTES):
            stream.seek(_FLAT_FROM)
            record = schemaless_reader(stream, self._flat, None)
            for name, expected in self._expected_flat:
                if record[name] != expected:
                    return None
            return _flat_envelope(record)
        stream.seek(WIRE_HEADER_BYTES)
        record = schemaless_reader(stream, self._fused, None)
        source = record["source"]
        return _envelope(record) if all(source[name] == each for name, each in self._expected.items()) else None

    def _learn(self, source: Mapping[str, Any]) -> None:
        """From now on, expect the constant strings that this record has."""
        fields: list[Mapping[str, Any]] = []
        self._expected = {}
        for run in _runs(_until_last(self._source_fields())):
            if not _is_constant(run[0]):
                fields.extend(run)
                continue
            expected = b"".join(_avro_string(source[field["name"]]) for field in run)
            name = "fixed_" + run[0]["name"]
            self._expected[name] = expected
            fields.append({"name": name, "type": {"type": "fixed", "name": name, "size": len(expected)}})
        self._fused = self._prefix(fields)
        self._expected_flat = [(_SOURCE + name, expected) for name, expected in self._expected.items()]
        self._flat = self._flat_prefix(fields) if self._null_first else None

    def _branches(self, name: str) -> list[Any]:
        branches: list[Any] = self._fields[name]["type"]
        return branches

    def _source_fields(self) -> list[Mapping[str, Any]]:
        fields: list[Mapping[str, Any]] = self._fields["source"]["type"]["fields"]
        return fields

    def _prefix(self, source_fields: list[Mapping[str, Any]]) -> Any:
        source = {"type": "record", "name": "Source", "fields": [_bare_field(field) for field in source_fields]}
        fields = [_bare_field(self._fields["before"]), _bare_field(self._fields["after"])]
        fields.append({"name": "source", "type": source})
        return fastavro.parse_schema({"type": "record", "name": "Envelope", "fields": fields})

    def _flat_prefix(self, source_fields: list[Mapping[str, Any]]) -> Any:
        source = [{**_bare_field(field), "name": _SOURCE + field["name"]} for field in source_fields]
        fields = [*(_bare_field(field) for field in self.row_fields), *source]
        return fastavro.parse_schema({"type": "record", "name": "Flat", "fields": fields})


def _envelope(record: Mapping[str, Any]) -> Envelope:
    source = record["source"]
    return Envelope(
        record["before"],
        record["after"],
        source["snapshot"] not in _STREAMED,
        source["ts_ms"],
        source["txId"] or 0,
        source["lsn"] or 0,
    )


def _flat_envelope(record: dict[str, Any]) -> Envelope:
    return Envelope(
        None,
        record,
        record["source.snapshot"] not in _STREAMED,
        record["source.ts_ms"],
        record["source.txId"] or 0,
        record["source.lsn"] or 0,
    )


def _until_last(fields: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for field in fields:
        yield field
        if field["name"] == _LAST_NEEDED:
            return
    raise Undecodable(
        "The records' source block has no lsn.", "Is this topic written by Debezium's Postgres connector?"
    )


def _is_constant(field: Mapping[str, Any]) -> bool:
    plain = field["type"]
    return field["name"] in _CONSTANT and (plain == "string" or (isinstance(plain, dict) and plain["type"] == "string"))


def _runs(fields: Iterator[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    run: list[Mapping[str, Any]] = []
    for field in fields:
        if run and _is_constant(field) != _is_constant(run[-1]):
            yield run
            run = []
        run.append(field)
    if run:
        yield run


def _avro_string(text: str) -> bytes:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, "string", text)
    return buffer.getvalue()


def _bare_field(field: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": field["name"], "type": _bare(field["type"])}


def _bare(avro_type: Any) -> Any:
    """A type without logical types and documentation, so that fastavro converts nothing we convert better ourselves."""
    if isinstance(avro_type, list):
        return [_bare(branch) for branch in avro_type]
    if not isinstance(avro_type, dict):
        return avro_type
    if avro_type["type"] == "record":
        kept = {key: avro_type[key] for key in ("type", "name", "namespace") if key in avro_type}
        return {**kept, "fields": [_bare_field(field) for field in avro_type["fields"]]}
    if avro_type["type"] in ("array", "map", "enum", "fixed"):
        return avro_type
    return avro_type["type"]
