"""The drift topic, as whoever tells and whoever hears see it: the newest record of a drift is its state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.drift.lifecycle import ENDED
from streams.drift.told import Told

# What a record has that its sender left out.
DEFAULTS: Mapping[str, Any] = {"key_bytes": None, "causes": {}, "keys": 1, "ends_before": None}


class DriftTopic:
    """Of one replica, in one partition; what is sent is there at once."""

    def __init__(self, replica: str) -> None:
        self.records: list[dict[str, Any]] = []
        self.heard_times = 0
        self.told = Told(replica)

    def send(self, topic: str, key: str, schema: str, record: dict[str, Any]) -> None:
        """As `Events` does."""
        assert (topic, schema) == ("drift", "drift")
        self.told.take(len(self.records), DEFAULTS | record)
        self.records.append(DEFAULTS | record)

    async def flush(self) -> None:
        """Kafka has everything."""

    async def heard(self) -> Told:
        """As agents hear it."""
        self.heard_times += 1
        return self.told

    @property
    def open(self) -> list[dict[str, Any]]:
        """The newest record of each drift that has not ended."""
        newest = {record["id"]: record for record in self.records}
        return [record for record in newest.values() if record["state"] not in ENDED]

    @property
    def named(self) -> set[bytes]:
        """Keys with records of their own."""
        return {record["key_bytes"] for record in self.open if record["key_bytes"] is not None}

    @property
    def total(self) -> int:
        """What `holdtrue_drift_open` shows: keys that are named and that are counted."""
        return sum(record["keys"] for record in self.open)
