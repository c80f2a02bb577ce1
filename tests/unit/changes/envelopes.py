"""Debezium envelopes as the connector writes them, made in memory."""

from __future__ import annotations

import io
from typing import Any

import fastavro
from hypothesis import strategies as st

MOMENT_MS = 1_795_442_694_071
SCHEMA: dict[str, Any] = {
    "type": "record", "name": "Envelope", "namespace": "bank.public.t",
    "fields": [
        {"name": "before", "default": None, "type": ["null", {
            "type": "record", "name": "Value", "fields": [
                {"name": "id", "type": "long"},
                {"name": "name", "type": ["null", "string"], "default": None},
                {"name": "total", "type": {"type": "bytes", "scale": 2, "precision": 12, "logicalType": "decimal",
                                           "connect.name": "org.apache.kafka.connect.data.Decimal"}},
            ]}]},
        {"name": "after", "default": None, "type": ["null", "Value"]},
        {"name": "source", "type": {"type": "record", "name": "Source", "namespace": "io.debezium", "fields": [
            {"name": "version", "type": "string"}, {"name": "connector", "type": "string"},
            {"name": "name", "type": "string"}, {"name": "ts_ms", "type": "long"},
            {"name": "snapshot", "type": [{"type": "string", "connect.name": "io.debezium.data.Enum"}, "null"],
             "default": "false"},
            {"name": "db", "type": "string"}, {"name": "sequence", "type": ["null", "string"], "default": None},
            {"name": "ts_us", "type": ["null", "long"], "default": None},
            {"name": "ts_ns", "type": ["null", "long"], "default": None},
            {"name": "schema", "type": "string"}, {"name": "table", "type": "string"},
            {"name": "txId", "type": ["null", "long"], "default": None},
            {"name": "lsn", "type": ["null", "long"], "default": None},
            {"name": "xmin", "type": ["null", "long"], "default": None},
        ]}},
        {"name": "op", "type": "string"},
        {"name": "ts_ms", "type": ["null", "long"], "default": None},
    ],
}  # fmt: skip

Row = dict[str, Any]


def row(key: int, name: str | None = "n", total: bytes = b"\x7d") -> Row:
    return {"id": key, "name": name, "total": total}


def source(**changed: Any) -> Row:
    base = {
        "version": "3.6.3.Final", "connector": "postgresql", "name": "bank", "ts_ms": MOMENT_MS, "snapshot": "false",
        "db": "sot", "sequence": '["609925200","609925256"]', "ts_us": MOMENT_MS * 1000, "ts_ns": MOMENT_MS * 10**6,
        "schema": "public", "table": "t", "txId": 792, "lsn": 609925256, "xmin": None,
    }  # fmt: skip
    return {**base, **changed}


def record(before: Row | None, after: Row | None, op: str = "u", schema: Any = SCHEMA, **changed: Any) -> bytes:
    """One record in the Confluent wire format, schema id 1."""
    out = io.BytesIO()
    value = {"before": before, "after": after, "source": source(**changed), "op": op, "ts_ms": MOMENT_MS}
    # Decimals are given as their bytes, as the reader gives them.
    fastavro.schemaless_writer(out, _without_logical(schema), value)
    return b"\x00\x00\x00\x00\x01" + out.getvalue()


def _without_logical(schema: Any) -> Any:
    def bare(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: bare(each) for name, each in part.items() if name != "logicalType"}
        return [bare(each) for each in part] if isinstance(part, list) else part

    return fastavro.parse_schema(bare(schema))


# No Postgres text holds U+0000.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=80)
ROWS = st.builds(row, st.integers(-(2**63), 2**63 - 1), st.none() | TEXTS, st.binary(max_size=9))
NUMBERS = st.none() | st.integers(0, 2**62)
SOURCES = st.fixed_dictionaries(
    {
        "version": st.sampled_from(["3.6.3.Final", "3.10.0.Final", ""]),
        "name": st.sampled_from(["bank", "a-much-longer-name" * 5]),
        "snapshot": st.sampled_from(["false", "true", "last", "incremental", None]),
        "sequence": st.none() | st.text(max_size=60),
        "ts_ms": st.integers(0, 2**50), "ts_us": NUMBERS, "ts_ns": NUMBERS, "txId": NUMBERS, "lsn": NUMBERS,
        "table": st.sampled_from(["t", "table_of_another_length"]),
    }
)  # fmt: skip
