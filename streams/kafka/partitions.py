"""Which partition of a change topic a key is in: what Kafka Connect decided from the bytes, schema id included."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import fastavro

from streams.errors import HoldtrueError, NotReady
from streams.kafka.registry import Registry
from streams.kafka.schemas import key_subject
from streams.kafka.wire import frame
from streams.rows.canonical import decode

_MASK = 0xFFFFFFFF
_M = 0x5BD1E995


class KeyNotMapped(HoldtrueError):
    """A key's type cannot be turned back into the bytes Debezium wrote."""


class Partitioner(Protocol):
    """Canonical key → partition of its change topic."""

    def partition(self, key: bytes) -> int:
        """The partition of a key."""


class NotSent:
    """Of a table of which Kafka has no record: where its keys will be is not known, and an empty one has none."""

    def __init__(self, table: str) -> None:
        self._table = table

    def partition(self, key: bytes) -> int:
        """Raises NotReady: there is a key."""
        raise NotReady(
            f"No record of {self._table} has reached Kafka, so its keys have no owners yet.",
            "Wait until its snapshot has begun; `holdtrue connectors apply` asks for that of a table new in the plan.",
        )


class KeyPartitioner:
    """Canonical key → partition, for one change topic and its key schema. Raises KeyNotMapped where that is another."""

    def __init__(self, schema_id: int, schema: Mapping[str, Any], key_columns: Sequence[str], partitions: int) -> None:
        # Whoever writes to the topic may have registered what is no record.
        fields = schema.get("fields", ()) if isinstance(schema, Mapping) else ()
        types = {field["name"]: field["type"] for field in fields}
        if {*types} != {*key_columns}:
            raise KeyNotMapped(
                f"The newest schema of the table's keys (id {schema_id}) has the columns {', '.join(types) or 'none'}, "
                f"and the key in the plan {', '.join(key_columns)}.",
                "Was the key changed at the source, and back? Then delete that version of the subject that ends in "
                "-key from the registry. Otherwise the table has another key now: docs/operations.md, Table held.",
            )
        self._schema_id = schema_id
        self._partitions = partitions
        self._fields = [(name, list(key_columns).index(name), _from_text(name, types[name])) for name in types]
        self._schema = fastavro.parse_schema(dict(schema))

    def partition(self, key: bytes) -> int:
        """The partition of a key, given in canonical bytes."""
        place: int = of_hash(murmur2(self.framed(key)), self._partitions)
        return place

    def framed(self, key: bytes) -> bytes:
        """The bytes that its records have as their key."""
        texts = decode(key)
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._schema, {name: of(texts[place]) for name, place, of in self._fields})
        return frame(self._schema_id, out.getvalue())


def partitioner_of(
    registry: Registry, topic: str, table: str, key_columns: Sequence[str], partitions: int
) -> Partitioner:
    """Of a change topic, under the newest schema of its keys."""
    found = registry.latest(key_subject(topic))
    if found is None:
        return NotSent(table)
    schema_id, _, schema = found
    return KeyPartitioner(schema_id, schema, key_columns, partitions)


def _from_text(column: str, avro_type: Any) -> Callable[[Any], Any]:
    plain = avro_type["type"] if isinstance(avro_type, dict) else avro_type
    named = str(avro_type.get("connect.name", "")) if isinstance(avro_type, dict) else ""
    # A union, of a key that may be NULL, is no name.
    found = _PARSERS.get(plain) if isinstance(plain, str) and (not named or named in _TEXTS) else None
    if found is None:
        raise KeyNotMapped(
            f"The key column {column} arrives as {named or plain}; checks by key of that type are not built yet.",
            "Use a key of integers, text or uuid.",
        )
    return found


_TEXTS = frozenset({"io.debezium.data.Uuid", "io.debezium.data.Enum"})
_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "int": int,
    "long": int,
    "string": str,
    "boolean": lambda text: text == "t",
    "bytes": lambda text: bytes.fromhex(text[2:]),
}


def of_hash(hashed: Any, partitions: int) -> Any:
    """The partition of a hash, or those of an array of hashes."""
    return (hashed & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """Kafka's murmur2 of the key's bytes, as an unsigned 32-bit number."""
    length = len(data)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = (int.from_bytes(data[i : i + 4], "little") * _M) & _MASK
        k = ((k ^ (k >> 24)) * _M) & _MASK
        h = ((h * _M) & _MASK) ^ k
    if length > whole:
        h = ((h ^ int.from_bytes(data[whole:], "little")) * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return h ^ (h >> 15)
