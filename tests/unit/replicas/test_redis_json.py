"""Rows as JSON objects: what readers get, and that content we did not write never passes for a row."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from streams.replicas.foreign import is_foreign
from streams.replicas.redis_json import RowJson
from streams.rows.canonical import Row
from tests.unit.replicas.values import OF_TYPE, rows

EVERY = RowJson(list(OF_TYPE), list(OF_TYPE))
PAIR = RowJson(["id", "name", "active"], ["int4", "text", "bool"])


@given(rows())
def test_every_type_survives_the_round_trip(row: Row) -> None:
    """Canonical text in, the same text out."""
    assert EVERY.decode(EVERY.encode(row)) == row


def test_readers_get_json_they_can_use() -> None:
    """Integers are numbers, booleans booleans, NULL null; a numeric is text, so nobody rounds it."""
    form = RowJson(["id", "price", "ok", "gone"], ["int8", "numeric", "bool", "text"])
    written = form.encode(("9223372036854775807", "0.30000000000000004", "f", None))
    assert written == b'{"id":9223372036854775807,"price":"0.30000000000000004","ok":false,"gone":null}'


@given(rows())
def test_content_in_another_order_and_spacing_is_the_same_row(row: Row) -> None:
    """Somebody may have written an equal object in their own way."""
    fields = json.loads(EVERY.encode(row))
    turned = json.dumps(dict(reversed(fields.items())), indent=1).encode()
    assert EVERY.decode(turned) == row


@pytest.mark.parametrize(
    "found",
    [
        b"",
        b"not json",
        b"[1]",
        b"7",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"id":1,"name":"x"}',
        b'{"id":1,"name":"x","active":true,"more":1}',
        b'{"id":1,"name":"x","other":true}',
        b'{"id":1,"id":2,"name":"x","active":true}',
        b'{"id":1,"name":"x","active":true,"active":true}',
        b'{"id":1.0,"name":"x","active":true}',
        b'{"id":true,"name":"x","active":true}',
        b'{"id":"1","name":"x","active":true}',
        b'{"id":01,"name":"x","active":true}',
        b'{"id":1,"name":5,"active":true}',
        b'{"id":1,"name":"x","active":"t"}',
        b'{"id":1,"name":"x","active":1}',
        b'{"id":1,"name":"a\\u0000b","active":true}',
        b'{"id":1,"name":"\\ud800","active":true}',
        b'{"id":' + b"9" * 10_000 + b',"name":"x","active":true}',
    ],
)
def test_other_content_reads_as_foreign(found: bytes) -> None:
    """It never equals a row, keeps the row's width, and two reads of it agree."""
    row = PAIR.decode(found)
    assert is_foreign(row)
    assert len(row) == 3
    assert row == PAIR.decode(found)


def test_only_the_foreign_value_is_marked_and_nothing_of_it_shown() -> None:
    """So that the differing column can be named without giving its value away."""
    row = PAIR.decode(b'{"id":1,"name":["a secret"],"active":true}')
    assert (row[0], row[2]) == ("1", "t")
    assert "secret" not in str(row[1])
    assert row != PAIR.decode(b'{"id":1,"name":["another"],"active":true}')
