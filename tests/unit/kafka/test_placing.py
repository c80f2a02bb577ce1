"""The partitions of many keys are those of each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.kafka import placing
from streams.kafka.partitions import KeyPartitioner, murmur2, of_hash
from streams.kafka.placing import partitions_of
from streams.kafka.wire import frame

SCHEMA = {"type": "record", "name": "Key", "fields": [{"name": "id", "type": "long"}]}


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=40), st.integers(1, 100))
def test_keys_are_placed_together_as_alone(keys: list[bytes], partitions: int) -> None:
    """Of every length, in every order, empty ones among them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placing, "MANY", 1)
        patch.setattr(placing, "_LONG_BYTES", 30 if len(keys) % 2 else 40)
        assert partitions_of(keys, partitions) == [of_hash(murmur2(key), partitions) for key in keys]


def test_keys_are_where_checks_look_for_them() -> None:
    """Which is where a partitioner finds them from what they name."""
    found = partitions_of([frame(3, bytes([2 * number])) for number in range(60)], 7)
    partitioner = KeyPartitioner(3, SCHEMA, ["id"], 7)
    assert found == [partitioner.partition(b"%d" % number) for number in range(60)]
    assert len(set(found)) == 7
