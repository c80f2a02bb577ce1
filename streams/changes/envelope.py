"""Reading what is needed of a Debezium envelope.

Avro has no field index: to read a field, all before it must be read. Everything needed lies before `source.lsn`, so a
writer schema cut off there reads a prefix of the record and leaves the rest. This is how single records are read, and
those that `envelopes` does not read by the thousand.
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
# What `source.snapshot` says of a change that was streamed from the log.
STREAMED = frozenset({None, "false"})


class Undecodable(HoldtrueError):
    """A record's bytes are not what its schema says."""


class NotAnEnvelope(Undecodable):
    """A schema that is not the one of Debezium's full envelope: somebody else's records, or flattened ones."""


class Envelope(NamedTuple):
    """What is needed of one record. `before` and `after` hold Avro values by column name; times are in ms."""

    before: dict[str, Any] | None
    after: dict[str, Any] | None
    read: bool
    committed_ms: int
    txid: int
    lsn: int


class EnvelopeSchema:
    """The writer schema of an envelope, as far as it is needed. Raises NotAnEnvelope for every other schema."""

    def __init__(self, schema: Any) -> None:
        fields = _envelope_fields(schema)
        self.before: list[Any] = fields["before"]["type"]
        self.after: list[Any] = fields["after"]["type"]
        # The fields of a row, in column order, and those of the source up to the last one needed.
        self.row = _resolved(next(each for each in self.before if isinstance(each, dict))["fields"], {})
        self.source = list(_until_last(fields["source"]["type"]["fields"]))

    def prefix(self) -> Any:
        """The schema of what is needed of a record."""
        source = {"type": "record", "name": "Source", "fields": [_bare_field(field) for field in self.source]}
        fields = [
            {"name": "before", "type": bare(self.before)},
            {"name": "after", "type": bare(self.after)},
            {"name": "source", "type": source},
        ]
        return fastavro.parse_schema({"type": "record", "name": "Envelope", "fields": fields})


class EnvelopeReader:
    """Reads single records of one writer schema."""

    def __init__(self, schema: EnvelopeSchema) -> None:
        self._prefix = schema.prefix()

    def read(self, value: bytes) -> Envelope:
        """One record in Confluent wire format; raises Undecodable when the bytes do not fit the schema."""
        stream = io.BytesIO(value)
        stream.seek(WIRE_HEADER_BYTES)
        try:
            return _envelope(schemaless_reader(stream, self._prefix, None))
        except Exception as error:  # fastavro raises EOFError, IndexError, UnicodeDecodeError and others alike
            raise Undecodable(
                f"The record's bytes do not fit its schema ({type(error).__name__}).",
                "Look at it with `holdtrue dlq show`; if the producer is not Debezium, use another topic.",
            ) from error


def _envelope(record: Mapping[str, Any]) -> Envelope:
    source = record["source"]
    return Envelope(
        record["before"],
        record["after"],
        source["snapshot"] not in STREAMED,
        source["ts_ms"],
        source["txId"] or 0,
        source["lsn"] or 0,
    )


def _envelope_fields(schema: Any) -> dict[str, Mapping[str, Any]]:
    """The fields of an envelope by name; raises NotAnEnvelope for every other schema."""
    fields = _fields_of(schema)
    if not (_fields_of_union(fields.get("before")) and _fields_of_union(fields.get("source")) and "after" in fields):
        raise NotAnEnvelope(
            "The record does not carry Debezium's full envelope.",
            "Remove ExtractNewRecordState (or other flattening) from the connector; let nothing else write this topic.",
        )
    return fields


def _fields_of(schema: Any) -> dict[str, Mapping[str, Any]]:
    listed = schema.get("fields") if isinstance(schema, dict) else None
    return {field["name"]: field for field in listed} if isinstance(listed, list) else {}


def _fields_of_union(field: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    """The fields of the record that a field is, or may be beside null."""
    kind = field["type"] if field is not None else None
    branches = kind if isinstance(kind, list) else [kind]
    return next((fields for branch in branches if (fields := _fields_of(branch))), {})


def _until_last(fields: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for field in fields:
        yield field
        if field["name"] == _LAST_NEEDED:
            return
    raise Undecodable(
        "The records' source block has no lsn.", "Is this topic written by Debezium's Postgres connector?"
    )


def _resolved(fields: list[Mapping[str, Any]], named: dict[str, Any]) -> list[Mapping[str, Any]]:
    """Fields whose types are all described: Avro describes a named type once, and then only names it."""
    return [{**field, "type": _resolved_type(field["type"], named)} for field in fields]


def _resolved_type(avro_type: Any, named: dict[str, Any]) -> Any:
    if isinstance(avro_type, list):
        return [_resolved_type(branch, named) for branch in avro_type]
    if not isinstance(avro_type, dict):
        return named.get(avro_type, avro_type)
    if "name" in avro_type:
        named[avro_type["name"]] = avro_type
        named[f"{avro_type.get('namespace', '')}.{avro_type['name']}"] = avro_type
    return avro_type


def _bare_field(field: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": field["name"], "type": bare(field["type"])}


def bare(avro_type: Any) -> Any:
    """A type without logical types and documentation, so that fastavro converts nothing we convert better ourselves."""
    if isinstance(avro_type, list):
        return [bare(branch) for branch in avro_type]
    if not isinstance(avro_type, dict):
        return avro_type
    if avro_type["type"] == "record":
        kept = {key: avro_type[key] for key in ("type", "name", "namespace") if key in avro_type}
        return {**kept, "fields": [_bare_field(field) for field in avro_type["fields"]]}
    if avro_type["type"] in ("array", "map", "enum", "fixed"):
        return avro_type
    return avro_type["type"]
