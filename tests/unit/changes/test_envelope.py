"""Of a Debezium envelope, what is needed is read, and everything that is none is named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.changes.envelope import Envelope, EnvelopeReader, EnvelopeSchema, NotAnEnvelope, Undecodable
from tests.unit.changes.envelopes import ROWS, SCHEMA, SOURCES, record, row


def reader() -> EnvelopeReader:
    return EnvelopeReader(EnvelopeSchema(SCHEMA))


@given(st.none() | ROWS, st.none() | ROWS, SOURCES)
def test_what_was_written_is_read(before: Any, after: Any, source: dict[str, Any]) -> None:
    """Rows, position, transaction and time of commit, whatever else is in the record."""
    found = reader().read(record(before, after, **source))
    assert (found.before, found.after) == (before, after)
    assert (found.committed_ms, found.txid, found.lsn) == (source["ts_ms"], source["txId"] or 0, source["lsn"] or 0)


def test_reads_are_told_from_changes() -> None:
    """Every value of `source.snapshot` but false and null is a snapshot's answer."""
    one = reader()
    kinds = ("true", "first", "last", "incremental", "false", None)
    assert [one.read(record(None, row(1), snapshot=kind)).read for kind in kinds] == [True] * 4 + [False] * 2


@pytest.mark.parametrize("cut", [5, 6, 9, 30, 60])
def test_bytes_that_end_too_early_are_undecodable(cut: int) -> None:
    """A record that was cut off is named as such."""
    with pytest.raises(Undecodable, match="do not fit its schema"):
        reader().read(record(None, row(1))[:cut])


@given(st.binary(max_size=120))
def test_garbage_is_undecodable_or_a_record_but_never_another_error(garbage: bytes) -> None:
    """Whatever bytes arrive, the caller has one error to handle."""
    outcome: object
    try:
        outcome = reader().read(b"\x00\x00\x00\x00\x01" + garbage)
    except Undecodable as error:
        outcome = error
    assert isinstance(outcome, (Envelope, Undecodable))


def test_a_flattened_topic_is_refused() -> None:
    """Without the envelope a TRUNCATE is lost (facts): it cannot be an input."""
    flat = {"type": "record", "name": "Value", "fields": [{"name": "id", "type": "long"}]}
    with pytest.raises(Undecodable, match="full envelope"):
        EnvelopeSchema(flat)


def test_the_error_names_no_value() -> None:
    """A message may end in a log: it says what is wrong, not what was in the row."""
    with pytest.raises(Undecodable) as caught:
        reader().read(record(None, row(1, "secret"))[:20])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "schema",
    [
        "string",
        ["null", "string"],
        {"type": "array", "items": "int"},
        {"type": "record", "name": "R", "fields": []},
        {"type": "record", "name": "R", "fields": [{"name": n, "type": "int"} for n in ("before", "after", "source")]},
    ],
    ids=["text", "union", "array", "empty", "flat"],
)
def test_a_schema_that_is_no_envelope_is_named_as_such(schema: object) -> None:
    """Somebody else's records in a change topic end as dead letters, not in a worker that cannot start any more."""
    with pytest.raises(NotAnEnvelope):
        EnvelopeSchema(schema)
