"""Reading only what is needed of a Debezium envelope.

Avro has no field index: to read a field, all before it must be read. Everything needed lies before `source.lsn`, so a
writer schema cut off there reads a prefix of the record and leaves the rest. Within `source` most fields are the same
in every record or not needed; a run of them is read as one field of fixed size, with its constants compared to what
they must be, so that it costs one field instead of up to six. A record without `before` and with `after` (every insert,
read and, under the default replica identity, update) is told by its first two bytes and read as one flat record,
without unions and nested records.
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
_NEEDED = frozenset({"ts_ms", "snapshot", "txId", "lsn"})
_CONSTANT = frozenset({"version", "connector", "name", "db", "schema", "table"})
_STREAMED = frozenset({None, "false"})
# The Avro union branches of `before` and `after`, one byte each: null, then the row.
_ONLY_AFTER = b"\x00\x02"
_FLAT_FROM = WIRE_HEADER_BYTES + len(_ONLY_AFTER)
# Names of the source's fields in a flat record: the dot cannot be in a column's Avro name.
_SOURCE = "source."


class Undecodable(HoldtrueError):
    """A record's bytes are not what its schema says."""


class NotAnEnvelope(Undecodable):
    """A schema that is not the one of Debezium's full envelope: somebody else's records, or flattened ones."""


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


class _Run(NamedTuple):
    """Neighbouring fields of the source, read as one: constants at the end, and perhaps others before them.

    The constants prove that everything is where it is expected: were a field before them longer or shorter, they would
    stand elsewhere.
    """

    name: str
    start: bytes
    end: bytes
    size: int

    @classmethod
    def of(cls, fields: list[Mapping[str, Any]], source: Mapping[str, Any]) -> _Run:
        """The run as this record has it."""
        constant = [_is_constant(field) for field in fields]
        parts = [_encoded(field, source[field["name"]]) for field in fields]
        first = (*constant, False).index(False)
        last = len(parts) - (*reversed(constant), False).index(False)
        return cls("run_" + fields[0]["name"], b"".join(parts[:first]), b"".join(parts[last:]), len(b"".join(parts)))

    @property
    def field(self) -> dict[str, Any]:
        """The Avro field that reads it."""
        return {"name": self.name, "type": {"type": "fixed", "name": self.name, "size": self.size}}

    def holds(self, record: Mapping[str, Any]) -> bool:
        """Whether the constants are where and what they were."""
        found: bytes = record[self.name]
        return found.startswith(self.start) and found.endswith(self.end)


class EnvelopeReader:
    """Reads records of one writer schema."""

    def __init__(self, schema: Any) -> None:
        self._fields = _envelope_fields(schema)
        self._plain = self._prefix(list(_until_last(self._source_fields())))
        self._fused: Any = None
        self._flat: Any = None
        self._runs: list[_Run] = []
        self._runs_flat: list[_Run] = []
        self._null_first = all(self._branches(name)[0] == "null" for name in ("before", "after"))

    @property
    def row_fields(self) -> list[Mapping[str, Any]]:
        """The Avro fields of a row, in column order, as the writer declared them."""
        record = next(branch for branch in self._branches("before") if isinstance(branch, dict))
        return list(record["fields"])

    def read(self, value: bytes) -> Envelope:
        """One record in Confluent wire format; raises Undecodable when the bytes do not fit the schema."""
        try:
            envelope = self._read_expecting(value)
        except Exception:
            # Constants of another length shift all that follows, which can then look like anything.
            envelope = None
        if envelope is not None:
            return envelope
        try:
            return self._read_plain(value)
        except Exception as error:  # fastavro raises EOFError, IndexError, UnicodeDecodeError and others alike
            raise Undecodable(
                f"The record's bytes do not fit its schema ({type(error).__name__}).",
                "Look at it with `holdtrue dlq show`; if the producer is not Debezium, use another topic.",
            ) from error

    def _read_plain(self, value: bytes) -> Envelope:
        stream = io.BytesIO(value)
        stream.seek(WIRE_HEADER_BYTES)
        record = schemaless_reader(stream, self._plain, None)
        envelope = _envelope(record)
        self._learn(record["source"])
        return envelope

    def _read_expecting(self, value: bytes) -> Envelope | None:
        """The record if its constants are those of the record before, which is the case for nearly all."""
        if self._flat is None or not value.startswith(_ONLY_AFTER, WIRE_HEADER_BYTES):
            return self._read_fused(value)
        stream = io.BytesIO(value)
        stream.seek(_FLAT_FROM)
        record = schemaless_reader(stream, self._flat, None)
        for name, start, end, _ in self._runs_flat:
            if not (record[name].startswith(start) and record[name].endswith(end)):
                return None
        read = record["source.snapshot"] not in _STREAMED
        return Envelope(
            None, record, read, record["source.ts_ms"], record["source.txId"] or 0, record["source.lsn"] or 0
        )

    def _read_fused(self, value: bytes) -> Envelope | None:
        if self._fused is None:
            return None
        stream = io.BytesIO(value)
        stream.seek(WIRE_HEADER_BYTES)
        record = schemaless_reader(stream, self._fused, None)
        return _envelope(record) if all(run.holds(record["source"]) for run in self._runs) else None

    def _learn(self, source: Mapping[str, Any]) -> None:
        """From now on, expect the constants that this record has, and its lengths."""
        fields: list[Mapping[str, Any]] = []
        self._runs = []
        for run in _runs(_until_last(self._source_fields())):
            if not _is_constant(run[-1]):
                fields.extend(run)
                continue
            learned = _Run.of(run, source)
            self._runs.append(learned)
            fields.append(learned.field)
        self._runs_flat = [run._replace(name=_SOURCE + run.name) for run in self._runs]
        self._fused = self._prefix(fields)
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


def _is_constant(field: Mapping[str, Any]) -> bool:
    plain = field["type"]
    return field["name"] in _CONSTANT and (plain == "string" or (isinstance(plain, dict) and plain["type"] == "string"))


def _runs(fields: Iterator[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Runs of fields that are not needed, each to its last constant, and the other fields one by one."""
    run: list[Mapping[str, Any]] = []
    for field in fields:
        run.append(field)
        if field["name"] in _NEEDED:
            constants = [place for place, each in enumerate(run) if _is_constant(each)]
            cut = constants[-1] + 1 if constants else 0
            if cut:
                yield run[:cut]
            yield from ([each] for each in run[cut:])
            run = []


def _encoded(field: Mapping[str, Any], value: Any) -> bytes:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, _bare(field["type"]), value)
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
