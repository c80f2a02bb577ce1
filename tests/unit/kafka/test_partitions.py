"""Which partition a key is in, under the key schema that the registry has."""

from __future__ import annotations

from typing import Any

import pytest

from streams.kafka.partitions import KeyNotMapped, KeyPartitioner


def schema(**fields: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": "Key",
        "fields": [{"name": name, "type": avro_type} for name, avro_type in fields.items()],
    }


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"id2": "int"}, "has the columns id2, and the key in the plan id"),
        ({"id": "int", "region": "string"}, "has the columns id, region, and the key in the plan id"),
        ({}, "has the columns none"),
        ({"id": ["null", "int"]}, "The key column id arrives as"),
        ({"id": {"type": ["null", "int"]}}, "The key column id arrives as"),
        ({"id": {"type": "int", "connect.name": "io.debezium.time.Date"}}, "arrives as io.debezium.time.Date"),
    ],
)
def test_a_key_schema_that_is_not_the_plans_is_told(fields: dict[str, Any], said: str) -> None:
    """One that was changed and changed back leaves it as the subject's newest: no partition is guessed under it."""
    with pytest.raises(KeyNotMapped, match=said):
        KeyPartitioner(7, schema(**fields), ["id"], 3)


@pytest.mark.parametrize("found", ["string", {"type": "string"}])
def test_a_key_schema_that_is_no_record_is_told(found: Any) -> None:
    """Somebody's producer with plain keys registers one where nothing is compared with it."""
    with pytest.raises(KeyNotMapped, match="has the columns none"):
        KeyPartitioner(7, found, ["id"], 3)


def test_columns_may_stand_in_another_order() -> None:
    """The plan's order is that of the canonical key, the schema's that of the bytes."""
    one = KeyPartitioner(7, schema(b="string", a="int"), ["a", "b"], 12)
    assert one.framed(b"1\tx") == b"\0\0\0\0\7\2x\2"
    assert 0 <= one.partition(b"1\tx") < 12
