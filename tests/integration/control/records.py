"""Records of our topics as a consumer hands them over, in the real wire format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from streams.kafka.registry import UnknownSchema
from streams.kafka.schemas import schema, schema_names
from streams.kafka.wire import Encoder

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DRIFT = "holdtrue.drift"
SIGNALS = "holdtrue.signals"
LETTERS = "holdtrue.dlq"
REPAIRS = "holdtrue.repairs.results"
TABLE = "public.pgbench_accounts"
_IDS = {name: number for number, name in enumerate(schema_names(), start=1)}


class Schemas:
    """A registry that knows our schemas."""

    def schema(self, schema_id: int) -> Any:
        """The schema with this id."""
        for name, number in _IDS.items():
            if number == schema_id:
                return schema(name)
        raise UnknownSchema(f"no schema {schema_id}")


SCHEMAS = Schemas()


@dataclass
class Record:
    """A Kafka record."""

    offset: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = (("ce_source", b"/holdtrue/bank/cache"),)


def at(minute: int) -> datetime:
    """Some minutes after noon."""
    return NOON + timedelta(minutes=minute)


def encoded(name: str, record: dict[str, Any]) -> bytes:
    """The record in the wire format."""
    return Encoder(name, _IDS[name]).encode(record)


def drift(offset: int, state: str, *, drift: str = "d1", minute: int | None = None, **fields: Any) -> Record:
    """A drift event."""
    moment = at(offset if minute is None else minute)
    event = {
        "id": drift, "replica": "cache", "table": TABLE, "key": {"aid": "7"}, "key_bytes": b"7", "kind": "stale",
        "state": state, "first_seen": moment, "last_seen": moment, "at": moment,
    }  # fmt: skip
    return Record(offset, encoded("drift", event | fields))


def signal(offset: int, type_: str, detail: dict[str, str], **fields: Any) -> Record:
    """A signal about the table."""
    event = {
        "id": f"s{offset}", "type": type_, "replica": "cache", "table": TABLE, "detail": detail, "at": at(offset),
    }  # fmt: skip
    return Record(offset, encoded("signal", event | fields))


def letter(offset: int, of: int, **fields: Any) -> Record:
    """A dead letter for the change at offset `of`."""
    event = {
        "id": f"l{offset}", "replica": "cache", "table": TABLE, "topic": f"bank.{TABLE}", "partition": 2, "offset": of,
        "key": b"kk", "value": b"secret row", "headers": [{"name": "h", "value": b"secret"}], "reason": "undecodable",
        "error": "It is no Avro.", "at": at(offset),
    }  # fmt: skip
    return Record(offset, encoded("dead-letter", event | fields))


def repaired(offset: int, outcome: str, *, repair: str = "r1", drift: str = "d1", key: bytes = b"7") -> Record:
    """A repair result."""
    event = {
        "repair": repair, "replica": "cache", "table": TABLE, "partition": 2, "drift": drift, "key": key,
        "outcome": outcome, "at": at(offset),
    }  # fmt: skip
    return Record(offset, encoded("repair-result", event))
