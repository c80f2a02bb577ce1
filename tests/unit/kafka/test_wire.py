from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.registry import UnknownSchema
from streams.kafka.schemas import schema
from streams.kafka.wire import Decoder, Encoder, NotOurFormat, cloud_event, frame, unframe

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
SIGNAL = {"id": "1", "type": "Sync updated", "at": NOW}


class Known:
    """A registry that knows the given schemas."""

    def __init__(self, **schemas: Any) -> None:
        self.schemas = {int(name[1:]): value for name, value in schemas.items()}
        self.asked = 0

    def schema(self, schema_id: int) -> Any:
        self.asked += 1
        if schema_id not in self.schemas:
            raise UnknownSchema(f"no {schema_id}")
        return self.schemas[schema_id]


@given(st.integers(0, 2**32 - 1), st.binary(max_size=100))
def test_frame_round_trip(schema_id: int, body: bytes) -> None:
    """Every id and body come back as they were framed."""
    assert unframe(frame(schema_id, body)) == (schema_id, body)


@pytest.mark.parametrize("value", [b"", b"\x00\x00\x00\x01", b"\x01\x00\x00\x00\x01x", b'{"json": 1}'])
def test_other_bytes_are_not_taken_for_avro(value: bytes) -> None:
    """A value without magic byte and id is refused, not guessed at."""
    with pytest.raises(NotOurFormat):
        unframe(value)


def test_record_round_trip_fills_in_defaults() -> None:
    """Fields with a default may be left out when writing and are there when reading."""
    value = Encoder("signal", 7).encode(SIGNAL)
    registry = Known(_7=schema("signal"))
    decoder = Decoder("signal", registry)
    expected = {**SIGNAL, "replica": None, "table": None, "position": None, "run": None, "detail": {}}
    assert decoder.decode(value) == decoder.decode(value) == expected
    assert registry.asked == 1


def test_record_that_does_not_fit_names_the_field_and_not_the_value() -> None:
    """The error of a wrong record never shows what is in it."""
    with pytest.raises(NotOurFormat) as caught:
        Encoder("signal", 7).encode({"id": 4711, "type": "geheim", "at": NOW})
    assert "4711" not in str(caught.value)
    assert "geheim" not in str(caught.value)
    assert "id" in str(caught.value)


def test_reads_what_an_older_version_wrote() -> None:
    """A writer that did not know a later field is read with the field's default."""
    older = schema("signal")
    older["fields"] = [field for field in older["fields"] if field["name"] != "detail"]
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(older), SIGNAL)
    assert Decoder("signal", Known(_3=older)).decode(frame(3, out.getvalue()))["detail"] == {}


def test_unknown_schema_id_is_not_a_malformed_value() -> None:
    """Whether to wait or to give up is the caller's decision: the two are different errors."""
    with pytest.raises(UnknownSchema):
        Decoder("signal", Known()).decode(Encoder("signal", 7).encode(SIGNAL))


@pytest.mark.parametrize("cut", [6, 10, -1])
def test_truncated_value_is_refused(cut: int) -> None:
    """Avro bytes that end too early are an error that says of which schema."""
    value = Encoder("signal", 7).encode(SIGNAL)
    with pytest.raises(NotOurFormat, match="signal"):
        Decoder("signal", Known(_7=schema("signal"))).decode(value[:cut])


def test_a_time_that_no_calendar_has_is_refused() -> None:
    """It is written by hand, and must end nobody who reads it."""
    raw = schema("signal")
    for each in raw["fields"]:
        if each["name"] == "at":
            each["type"] = "long"
    encoded = io.BytesIO()
    fastavro.schemaless_writer(encoded, fastavro.parse_schema(raw), SIGNAL | {"at": 1 << 62})
    with pytest.raises(NotOurFormat, match="OverflowError"):
        Decoder("signal", Known(_7=schema("signal"))).decode(frame(7, encoded.getvalue()))


def test_value_of_another_schema_is_refused() -> None:
    """A registered schema that has nothing to do with ours is not read as ours."""
    other = {"type": "record", "name": "Other", "fields": [{"name": "x", "type": "long"}]}
    with pytest.raises(NotOurFormat):
        Decoder("signal", Known(_9=other)).decode(frame(9, b"\x02"))


def test_cloud_event_headers() -> None:
    """Binary mode: specversion, id, type, source and time as headers, time in UTC."""
    local = NOW.astimezone(timezone(timedelta(hours=2)))
    headers = dict(cloud_event("holdtrue.drift", "/holdtrue/bank/reports", event_id="x", at=local))
    assert headers == {
        "ce_specversion": b"1.0",
        "ce_id": b"x",
        "ce_type": b"holdtrue.drift",
        "ce_source": b"/holdtrue/bank/reports",
        "ce_time": b"2026-01-02T03:04:05.678901Z",
        "content-type": b"application/avro",
    }


def test_cloud_event_ids_differ() -> None:
    """Without an id of its own each event gets a new one."""
    assert dict(cloud_event("a", "/b"))["ce_id"] != dict(cloud_event("a", "/b"))["ce_id"]
