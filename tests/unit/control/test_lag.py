"""Lag told from offsets, and the position through which everything is applied."""

from __future__ import annotations

import copy
import io
import json
from typing import Any

import fastavro
import pytest

from streams.control.lag import PartitionLag, Said, lag_of, position, said
from streams.kafka.registry import UnknownSchema
from streams.kafka.wire import frame

NOW = 1_000_000.0
SCHEMA: dict[str, Any] = {
    "type": "record", "name": "Envelope", "fields": [
        {"name": "before", "type": ["null", "string"]}, {"name": "after", "type": ["null", "string"]},
        {"name": "source", "type": {"type": "record", "name": "Source", "fields": [
            {"name": "ts_ms", "type": "long"}, {"name": "sequence", "type": ["null", "string"]},
            {"name": "lsn", "type": ["null", "long"]}]}},
    ],
}  # fmt: skip


class Schemas:
    def schema(self, schema_id: int) -> Any:
        if schema_id != 1:
            raise UnknownSchema("unknown")
        return SCHEMA


def record(ts_ms: int, sequence: list[str | None] | None, lsn: int | None, schema_id: int = 1) -> bytes:
    out = io.BytesIO()
    source = {"ts_ms": ts_ms, "sequence": sequence and json.dumps(sequence), "lsn": lsn}
    row: Any = {"before": None, "after": "x", "source": source}
    fastavro.schemaless_writer(out, fastavro.parse_schema(SCHEMA), row)
    return frame(schema_id, out.getvalue())


def behind(last_commit: int | None, *, age: float = 5.0, lsn: int = 900, events: int = 1) -> PartitionLag:
    return PartitionLag(0, 10, 10 - events, Said(int(NOW - age * 1000), lsn, last_commit))


def done(lsn: int) -> PartitionLag:
    return PartitionLag(0, 10, 10, Said(0, lsn, lsn - 50))


EMPTY = PartitionLag(0, 0, None)


def test_nothing_left_is_no_lag_and_applied_through_the_newest_position() -> None:
    """However old the last change is; empty partitions say nothing."""
    assert not lag_of([EMPTY, EMPTY], NOW).begun
    lag = lag_of([done(300), done(700), EMPTY], NOW)
    assert lag == (0.0, 0, position(700), True, True)


def test_a_topic_whose_records_are_all_gone_is_not_behind_and_tells_no_position() -> None:
    """Deleted or expired after they were applied: only a record says where in the log it is."""
    gone = PartitionLag(10, 10, 10)
    assert lag_of([gone], NOW) == (0.0, 0, None, True, True)
    assert lag_of([gone, done(700)], NOW).applied_through == position(700)


def test_the_oldest_open_commit_counts() -> None:
    """Over all partitions, in seconds; the events of all of them."""
    lag = lag_of([behind(400, age=2), behind(300, age=7, events=4), done(700)], NOW)
    assert (lag.seconds, lag.events) == (7.0, 5)


def test_a_partition_behind_is_complete_only_up_to_the_last_commit_before_its_open_record() -> None:
    """The open record's own position may lie below changes already applied: a long transaction is sent at its end."""
    assert lag_of([behind(300, lsn=120), behind(500), done(900)], NOW).applied_through == position(300)


def test_a_snapshot_that_is_loading_has_no_position() -> None:
    """Its rows do not say which transactions they contain."""
    assert lag_of([behind(None), behind(500)], NOW).applied_through is None


def test_a_group_that_never_committed_starts_at_what_the_topic_still_has() -> None:
    """Retention has taken the first records."""
    lag = lag_of([PartitionLag(4, 10, None, Said(int(NOW) - 1000, 1, 1))], NOW)
    assert (lag.events, lag.committed) == (6, False)


def test_a_commit_that_retention_has_overtaken_counts_what_is_there() -> None:
    """Committed 2, first record 4: six are left (and two are gone, which continuity drift tells)."""
    assert PartitionLag(4, 10, 2).events == 6


def test_a_clock_ahead_of_the_sot_is_no_negative_lag() -> None:
    """Clocks differ by some ms."""
    assert lag_of([behind(1, age=-3)], NOW).seconds == 0.0


@pytest.mark.parametrize(
    ("sequence", "last"), [(["609925200", "609925256"], 609925200), ([None, "189840432"], None), (None, None)]
)
def test_a_record_says_when_and_where(sequence: list[str | None] | None, last: int | None) -> None:
    """Debezium's sequence is [last commit, this change]."""
    assert said(record(77, sequence, 609925256), 5, Schemas()) == Said(77, 609925256, last)


@pytest.mark.parametrize("value", [b"", b"\x00", b"text", frame(1, b"\xff\xff"), record(1, None, 1, schema_id=9)])
def test_a_record_that_cannot_be_read_still_has_kafkas_time(value: bytes) -> None:
    """Status works on a topic with anything on it, and without the registry."""
    assert said(value, 5, Schemas()) == Said(5)


def test_a_numeric_whose_scale_is_beyond_its_precision_is_no_trouble() -> None:
    """Legal in Postgres 15, and not as an Avro decimal."""
    odd = {"type": "bytes", "logicalType": "decimal", "precision": 3, "scale": 5}
    schema = copy.deepcopy(SCHEMA)
    schema["fields"][1]["type"] = ["null", odd]
    out = io.BytesIO()
    plain = copy.deepcopy(SCHEMA)
    plain["fields"][1]["type"] = ["null", "bytes"]
    row: Any = {"before": None, "after": b"x", "source": {"ts_ms": 7, "sequence": None, "lsn": 5}}
    fastavro.schemaless_writer(out, fastavro.parse_schema(plain), row)

    class Odd:
        def schema(self, schema_id: int) -> Any:
            return schema

    assert said(frame(1, out.getvalue()), 99, Odd()) == Said(7, 5, None)


def test_positions_are_written_as_postgres_writes_them() -> None:
    """Upper-case hexadecimal, two halves."""
    assert position(0x16B3748) == "0/16B3748"
    assert position((0xAB << 32) + 1) == "AB/1"
