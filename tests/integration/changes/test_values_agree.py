"""What Debezium sends, decoded, is what Postgres prints: every supported type, from the snapshot and from the log."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition

from streams.bench.subject import connect
from streams.changes.decode import Decoder, Keyed
from streams.connectors.render import connector_name, render
from streams.connectors.source import connect as connect_sot
from streams.connectors.source import endpoints_of, prepare
from streams.kafka.admin import Topics
from streams.kafka.connect import Connect
from streams.kafka.registry import Registry
from streams.kafka.topics import topics_of
from streams.plan.check import load_plan
from streams.plan.model import Plan
from streams.rows.types import canonical_sql
from streams.sot.shapes import read_shapes
from tests.integration.kafka.conftest import PLAN, stack

__all__ = ["stack"]
pytestmark = pytest.mark.stack

COLUMNS = """
    id int8 PRIMARY KEY, small int2, whole int4, free numeric, money numeric(12, 2), single float4, double float8,
    yes bool, words text, short varchar(20), padded char(6), mark uuid, raw bytea, doc json, docb jsonb, born date,
    clock time, stamp timestamp, moment timestamptz, mood {schema}.mood
"""
ROWS = (
    "1, 1, 2, 3.50, 4.50, 0.1, 0.1, true, 'text', 'v', 'p', '6f2ca8f0-5b0c-4b7e-9d4e-0d8f4c1f2a3b', '\\x00ff', "
    "'{\"b\": 1, \"a\": [1, 2]}', '{\"b\": 1, \"a\": [1, 2]}', '2024-02-29', '01:02:03.0004', "
    "'2024-02-29 01:02:03.25', '2024-02-29 01:02:03.000001+02', 'good'",
    "2, -32768, -2147483648, -0.00000000000000000001, -0.01, 1e-5, 1e15, false, e'tab\\t nl\\n back\\\\ \\\\N', '', "
    "'ab', '00000000-0000-0000-0000-000000000000', '', '1', 'null', '1582-10-25', '24:00:00', "
    "'1969-12-31 23:59:59.999999', '1969-12-31 23:59:59.9+00', 'bad'",
    "3, 32767, 2147483647, 123456789012345678901234567890.10, 9999999999.99, 'Infinity', 'NaN', null, 'üñ€😀', 'x', "
    "'      ', null, '\\xdeadbeef', '[]', '{}', '9999-12-31', '00:00:00', '9999-12-31 23:59:59.999999', "
    "'9999-12-31 23:59:59.999999+00', null",
    "4" + 19 * ", null",
    "5, 0, 0, 0.000, 100.00, 16777216, 1234567890123456.8, true, '', 'NULL', '\\N', null, null, 'null', '\"\"', "
    "'1970-01-01', '12:00:00', '1970-01-01', '1970-01-01 00:00+00', 'good'",
    "6, 0, 0, 1000, 1, 3.4028235e38, 5e-324, true, repeat('x', 1000), 'y', 'z', null, null, '  1', '1e3', "
    "'2000-01-01', '23:59:59.999999', '2000-01-01 10:20:30.1', '2000-01-01 10:20:30+00', 'good'",
    "7, 0, 0, 'NaN', 'NaN'" + 15 * ", null",
    "8, 0, 0, 'Infinity', 0.10" + 15 * ", null",
    "9, 0, 0, '-Infinity', -1000" + 15 * ", null",
)


@pytest.fixture
def plan(stack: None, tmp_path: Path) -> Iterator[Plan]:
    """A plan with one table of all types, its connector running from before the second half of the rows."""
    name = f"types{uuid.uuid4().hex[:8]}"
    file = tmp_path / "consistency.yaml"
    file.write_text(PLAN.format(name=name).replace(f"  {name}.part: {{key: [id], partitions: 1}}\n", ""))
    dsn = os.environ["HOLDTRUE_SOT_DSN"]
    with connect(dsn) as sot:
        sot.execute(f"CREATE SCHEMA {name}".encode())
        sot.execute(f"CREATE TYPE {name}.mood AS ENUM ('good', 'bad')".encode())
        sot.execute(f"CREATE TABLE {name}.item ({COLUMNS.format(schema=name)})".encode())
        _insert(sot, name)
        made = load_plan(file)
        client = Connect(made.kafka.connect.resolve())
        try:
            _start(made, client, dsn)
            yield made
        finally:
            client.delete(connector_name(made))
            _drop(sot, made)


def _insert(sot: psycopg.Connection[Any], schema: str) -> None:
    for row in ROWS:
        sot.execute(f"INSERT INTO {schema}.item VALUES ({row})".encode())


def _start(plan: Plan, client: Connect, dsn: str) -> None:
    Topics(plan.kafka.bootstrap.resolve()).apply(topics_of(plan))
    with connect_sot(dsn) as connection:
        prepare(connection, plan)
    client.put(connector_name(plan), render(plan, endpoints_of(dsn, plan.converter_url.resolve())))
    client.wait_running(connector_name(plan))


def _drop(sot: psycopg.Connection[Any], plan: Plan) -> None:
    find = "SELECT active FROM pg_replication_slots WHERE slot_name = %s"
    deadline = time.monotonic() + 20
    while (found := sot.execute(find, (plan.source.slot,)).fetchone()) and found[0] and time.monotonic() < deadline:
        time.sleep(0.1)
    if found:
        sot.execute("SELECT pg_drop_replication_slot(%s)", (plan.source.slot,))
    sot.execute(f"DROP PUBLICATION IF EXISTS {plan.source.publication}".encode())
    sot.execute(f"DROP SCHEMA {plan.name} CASCADE".encode())


def _records(plan: Plan, topic: str, count: int) -> list[Any]:
    """The first `count` records of the topic."""
    consumer = Consumer(
        {"bootstrap.servers": plan.kafka.bootstrap.resolve(), "group.id": topic, "enable.auto.commit": False}
    )
    try:
        consumer.assign([TopicPartition(topic, number, 0) for number in range(3)])
        found: list[Any] = []
        deadline = time.monotonic() + 60
        while len(found) < count and time.monotonic() < deadline:
            message = consumer.poll(1.0)
            if message is not None and message.error() is None:
                found.append(message)
        return found
    finally:
        consumer.close()


def test_decoded_rows_are_what_postgres_prints(plan: Plan) -> None:
    """Twice every row, read by the snapshot and then updated in the log, against COPY under the canonical session."""
    table = f"{plan.name}.item"
    shape = read_shapes(plan, "copy")[table]
    columns = ", ".join(canonical_sql(column) for column in shape.source_columns)
    topic = plan.change_topic(table)
    with connect(os.environ["HOLDTRUE_SOT_DSN"]) as sot:
        assert len(_records(plan, topic, len(ROWS))) == len(ROWS)
        sot.execute(f"UPDATE {table} SET id = id".encode())
        with sot.cursor().copy(f"COPY (SELECT {columns} FROM {table}) TO STDOUT".encode()) as copy:
            lines = [bytes(line)[:-1] for line in copy]
    wanted = {line.split(b"\t", 1)[0]: line for line in lines}
    registry, decoders = Registry(plan.kafka.registry.resolve()), {}
    seen: list[tuple[bytes, bool]] = []
    for message in _records(plan, topic, 2 * len(ROWS)):
        schema_id = int.from_bytes(message.value()[1:5], "big")
        decoder = decoders.setdefault(schema_id, Decoder(registry.schema(schema_id), shape))
        said = decoder.decode(message.offset(), message.value())
        assert isinstance(said, Keyed)
        assert said.record.line == wanted[said.key]
        seen.append((said.key, said.record.op.name == "read"))
    assert sorted(seen) == sorted((key, read) for key in wanted for read in (True, False))
