"""Values of the project's own topics: Avro in the Confluent wire format, CloudEvents in the headers."""

from __future__ import annotations

import io
import struct
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from uuid import uuid4

import fastavro

from streams.errors import HoldtrueError
from streams.kafka.registry import NotAvro
from streams.kafka.schemas import schema

_FRAME: Final = struct.Struct(">BI")
FRAME_BYTES: Final = _FRAME.size
MAGIC: Final = 0
# What reading bytes as values of a schema may end with; the last two are about the writer's schema itself.
UNREADABLE: Final = (
    EOFError, ValueError, IndexError, TypeError, KeyError, AttributeError, OverflowError, ArithmeticError,
    fastavro.read.SchemaResolutionError, fastavro.schema.SchemaParseException, NotAvro,
)  # fmt: skip
Headers = list[tuple[str, bytes]]


class NotOurFormat(HoldtrueError):
    """Bytes that are not an Avro value in the Confluent wire format, or not of the schema they name."""


class Schemas(Protocol):
    """Where writer schemas come from: the registry."""

    def schema(self, schema_id: int) -> Any:
        """The schema with this id, as parsed JSON."""


def frame(schema_id: int, encoded: bytes) -> bytes:
    """Byte 0, the schema id in 4 bytes, then the Avro bytes."""
    return _FRAME.pack(MAGIC, schema_id) + encoded


def unframe(value: bytes) -> tuple[int, bytes]:
    """(schema id, Avro bytes). Raises NotOurFormat."""
    if len(value) < FRAME_BYTES or value[0] != MAGIC:
        raise NotOurFormat(
            f"A value of {len(value)} bytes is not in the Confluent wire format.",
            "Write this topic only with the schema registry's Avro serializer.",
        )
    return _FRAME.unpack_from(value)[1], value[FRAME_BYTES:]


class Encoder:
    """Encodes records of one local schema under the id the registry gave it."""

    def __init__(self, name: str, schema_id: int) -> None:
        self.name = name
        self.schema_id = schema_id
        self._parsed = fastavro.parse_schema(schema(name))

    def encode(self, record: dict[str, Any]) -> bytes:
        """The framed value; fields with a default may be left out. Raises NotOurFormat naming schema and field."""
        out = io.BytesIO(_FRAME.pack(MAGIC, self.schema_id))
        out.seek(FRAME_BYTES)
        try:
            fastavro.schemaless_writer(out, self._parsed, record, strict_allow_default=True)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise NotOurFormat(
                f"A record does not fit the schema {self.name}: {type(error).__name__} at {_field(error)}.",
                "This is a defect in holdtrue; please report it with this sentence.",
            ) from None
        return out.getvalue()


def _field(error: Exception) -> str:
    # fastavro ends its messages with the field's name; the value before it must not be shown.
    text = str(error)
    marker = "on field "
    return text.rpartition(marker)[2] if marker in text else "an unnamed field"


class Decoder:
    """Decodes values of one local schema, whatever version of it wrote them."""

    def __init__(self, name: str, schemas: Schemas) -> None:
        self.name = name
        self._schemas = schemas
        self._reader = fastavro.parse_schema(schema(name))
        self._writers: dict[int, Any] = {}

    def decode(self, value: bytes) -> dict[str, Any]:
        """The record. Raises NotOurFormat, and what the registry raises (UnknownSchema, RegistryUnavailable)."""
        schema_id, encoded = unframe(value)
        try:
            writer = self._writers.get(schema_id)
            if writer is None:
                writer = self._writers[schema_id] = fastavro.parse_schema(self._schemas.schema(schema_id))
            record = fastavro.schemaless_reader(io.BytesIO(encoded), writer, self._reader)
        except UNREADABLE as error:
            raise self._undecodable(schema_id, error) from None
        return dict(record)

    def _undecodable(self, schema_id: int, error: Exception) -> NotOurFormat:
        return NotOurFormat(
            f"A value with schema id {schema_id} cannot be read as {self.name}: {type(error).__name__}.",
            "Something else writes to this topic, or with a schema that is not compatible.",
        )


def cloud_event(event_type: str, source: str, *, event_id: str = "", at: datetime | None = None) -> Headers:
    """CloudEvents headers in binary mode. `source` names who says it, such as `/holdtrue/bank/reports`."""
    moment = (at or datetime.now(UTC)).astimezone(UTC)
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", (event_id or str(uuid4())).encode()),
        ("ce_type", event_type.encode()),
        ("ce_source", source.encode()),
        ("ce_time", moment.isoformat().replace("+00:00", "Z").encode()),
        ("content-type", b"application/avro"),
    ]
