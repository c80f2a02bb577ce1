"""Reading only what is needed of a Debezium envelope.

Avro has no field index: to read a field, all before it must be read. Everything needed lies before `source.lsn`, so a
writer schema cut off there reads a prefix of the record and leaves the rest. Within `source` most strings are the same
in every record; read as one fixed run of bytes and compared with the expected ones, they cost one field instead of six.
Measured against reading the whole envelope: docs/decisions/0003-prefix-decoding.md.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import fastavro

from streams.errors import HoldtrueError

WIRE_HEADER_BYTES = 5
_LAST_NEEDED = "lsn"
_CONSTANT = frozenset({"version", "connector", "name", "db", "schema", "table"})
_STREAMED = frozenset({None, "false"})


class Undecodable(HoldtrueError):
    """A record's bytes are not what its schema says."""


class Envelope(NamedTuple):
    """What is needed of one record. `before` and `after` hold Avro values by column name; times are in ms."""

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
        self._expected: dict[str, bytes] = {}

    @property
    def row_fields(self) -> list[Mapping[str, Any]]:
        """The Avro fields of a row, in column order, as the writer declared them."""
        branches = self._fields["before"]["type"]
        record = next(branch for branch in branches if isinstance(branch, dict))
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
        stream = io.BytesIO(value)
        if self._fused is not None:
            stream.seek(WIRE_HEADER_BYTES)
            record = fastavro.schemaless_reader(stream, self._fused)
            source = record["source"]
            if all(source[name] == expected for name, expected in self._expected.items()):
                return _envelope(record)
        stream.seek(WIRE_HEADER_BYTES)
        record = fastavro.schemaless_reader(stream, self._plain)
        self._learn(record["source"])
        return _envelope(record)

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

    def _source_fields(self) -> list[Mapping[str, Any]]:
        fields: list[Mapping[str, Any]] = self._fields["source"]["type"]["fields"]
        return fields

    def _prefix(self, source_fields: list[Mapping[str, Any]]) -> Any:
        source = {"type": "record", "name": "Source", "fields": [_bare_field(field) for field in source_fields]}
        fields = [_bare_field(self._fields["before"]), _bare_field(self._fields["after"])]
        fields.append({"name": "source", "type": source})
        return fastavro.parse_schema({"type": "record", "name": "Envelope", "fields": fields})


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
