"""The fast ways of reading an envelope say what the plain way says."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.changes.envelope import Envelope, EnvelopeReader, NotAnEnvelope, Undecodable
from tests.unit.changes.envelopes import SCHEMA, record, row

ROWS = st.builds(row, st.integers(-(2**63), 2**63 - 1), st.none() | st.text(max_size=80), st.binary(max_size=9))
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


def columns(values: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if values is None else {name: values[name] for name in ("id", "name", "total")}


def said(envelope: Envelope) -> tuple[Any, ...]:
    return (columns(envelope.before), columns(envelope.after), *envelope[2:])


@given(st.lists(st.tuples(st.none() | ROWS, st.none() | ROWS, SOURCES), min_size=1, max_size=6))
def test_a_used_reader_says_what_a_fresh_one_says(records: list[tuple[Any, Any, dict[str, Any]]]) -> None:
    """A reader that has learned constants and lengths reads any other record as if it had not."""
    used = EnvelopeReader(SCHEMA)
    for before, after, source in records:
        value = record(before, after, **source)
        fresh = EnvelopeReader(SCHEMA).read(value)
        assert said(used.read(value)) == said(fresh)
        assert said(used.read(value)) == said(fresh)
        assert (columns(fresh.before), columns(fresh.after)) == (before, after)


def test_the_second_record_is_read_without_learning_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal constants and lengths take the fast way: only then is it fast."""
    reader = EnvelopeReader(SCHEMA)
    reader.read(record(None, row(1)))
    monkeypatch.setattr(reader, "_read_plain", lambda value: pytest.fail("read the plain way"))
    assert reader.read(record(None, row(2), lsn=700000000, txId=900)).lsn == 700000000
    assert reader.read(record(row(2), row(3))).after is not None
    assert reader.read(record(row(2), None, op="d")).after is None


@pytest.mark.parametrize("before", [None, row(1)])
def test_changed_constants_are_learned_anew(before: Any) -> None:
    """A connector's new version, or a rename, changes lengths in the middle of every record."""
    reader = EnvelopeReader(SCHEMA)
    reader.read(record(before, row(1)))
    for version in ("3.10.0.Final", "3.6.3.Final"):
        envelope = reader.read(record(before, row(7, "x"), version=version, lsn=5))
        assert columns(envelope.after) == row(7, "x")
        assert envelope.lsn == 5


def test_constants_of_the_same_length_are_compared() -> None:
    """Another table's records under one schema id are not taken for this one's layout by luck."""
    reader = EnvelopeReader(SCHEMA)
    first = reader.read(record(None, row(1), table="a"))
    second = reader.read(record(None, row(1), table="b"))
    assert said(first) == said(second)


def test_reads_are_told_from_changes() -> None:
    """Every value of `source.snapshot` but false and null is a snapshot's answer."""
    reader = EnvelopeReader(SCHEMA)
    kinds = ("true", "first", "last", "incremental", "false", None)
    assert [reader.read(record(None, row(1), snapshot=kind)).read for kind in kinds] == [True] * 4 + [False] * 2


@pytest.mark.parametrize("cut", [5, 6, 9, 30, 60])
def test_bytes_that_end_too_early_are_undecodable(cut: int) -> None:
    """Garbage is named as such, before and after the reader has learned, and does not spoil what it learned."""
    reader = EnvelopeReader(SCHEMA)
    value = record(None, row(1))
    for _ in range(2):
        with pytest.raises(Undecodable, match="do not fit its schema"):
            reader.read(value[:cut])
        assert columns(reader.read(value).after) == row(1)


@given(st.binary(max_size=120))
def test_garbage_is_undecodable_or_a_record_but_never_another_error(garbage: bytes) -> None:
    """Whatever bytes arrive, the caller has one error to handle."""
    reader = EnvelopeReader(SCHEMA)
    reader.read(record(None, row(1)))
    with suppress(Undecodable):
        reader.read(b"\x00\x00\x00\x00\x01" + garbage)


def test_a_flattened_topic_is_refused() -> None:
    """Without the envelope a TRUNCATE is lost (facts): it cannot be an input."""
    flat = {"type": "record", "name": "Value", "fields": [{"name": "id", "type": "long"}]}
    with pytest.raises(Undecodable, match="full envelope"):
        EnvelopeReader(flat)


def test_the_error_names_no_value() -> None:
    """A message may end in a log: it says what is wrong, not what was in the row."""
    reader = EnvelopeReader(SCHEMA)
    with pytest.raises(Undecodable) as caught:
        reader.read(record(None, row(1, "secret"))[:20])
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
        EnvelopeReader(schema)
