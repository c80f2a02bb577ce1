"""What cannot be applied becomes visible: a dead letter with the original bytes, and an open drift (design, Drift)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from streams.agents.events import Events
from streams.changes.record import Record
from streams.drift import cause
from streams.drift.letter import REFUSED
from streams.drift.names import Names
from streams.drift.record import key_record, record
from streams.metrics import CHANGES_APPLIED, DEAD_LETTERS
from streams.transport.batches import KafkaRecord


class Unwritable(NamedTuple):
    """A record that cannot be applied: the raw record, a short reason for metrics, a sentence for people."""

    raw: KafkaRecord
    reason: str
    error: str
    key: bytes | None = None


class Failures:
    """Publishes dead letters of one table × replica; returns when Kafka has them."""

    def __init__(self, events: Events, names: Names, topic: str) -> None:
        self._events = events
        self._names = names
        self._replica = names.replica
        self._table = names.table
        self._topic = topic

    async def publish(
        self,
        undecodable: Sequence[Unwritable],
        refused: Mapping[bytes, str],
        keyed: Mapping[bytes, Sequence[Record]],
        records: Sequence[KafkaRecord],
        partition: int,
    ) -> None:
        """Dead letters for what could not be decoded, and for the last record of each key that was refused.

        `records`: the batch, of the change topic's `partition`.
        """
        if not undecodable and not refused:
            return
        by_offset = {record.offset: record for record in records}
        letters = list(undecodable)
        for key, reason in refused.items():
            raw = by_offset[keyed[key][-1].offset]
            letters.append(Unwritable(raw, REFUSED, _refused(reason), key))
        for letter in letters:
            self._one(letter, partition)
            DEAD_LETTERS.labels(self._table, self._replica, letter.reason).inc()
        CHANGES_APPLIED.labels(self._table, self._replica, "dead-lettered").inc(len(letters))
        await self._events.flush()

    async def publish_rows(self, refused: Mapping[bytes, str]) -> None:
        """An open drift for each of these keys, whose rows were read from the SOT: no record of them has arrived."""
        if not refused:
            return
        for key, reason in refused.items():
            event = self._drift(key, cause.REFUSED, _refused(reason), None, datetime.now(UTC))
            self._events.send("drift", event["id"], "drift", event)
        await self._events.flush()

    def _one(self, letter: Unwritable, partition: int) -> None:
        now = datetime.now(UTC)
        place = f"{letter.raw.offset}@{self._topic}[{partition}]" if letter.key is None else letter.key
        why = cause.REFUSED if letter.reason == REFUSED else letter.reason
        change = {"topic": self._topic, "partition": partition, "offset": letter.raw.offset}
        event = self._drift(place, why, letter.error, change, now)
        drift = event["id"]
        self._events.send("dlq", drift, "dead-letter", self._letter(letter, partition, drift, now))
        self._events.send("drift", drift, "drift", event)

    def _letter(self, letter: Unwritable, partition: int, drift: str, now: datetime) -> dict[str, Any]:
        raw = letter.raw
        return {
            "id": f"{self._replica}/{self._topic}/{partition}/{raw.offset}",
            "replica": self._replica,
            "table": self._table,
            "topic": self._topic,
            "partition": partition,
            "offset": raw.offset,
            "timestamp": datetime.fromtimestamp(raw.timestamp / 1000, UTC),
            "key": raw.key,
            "value": raw.value,
            "headers": [{"name": name, "value": value} for name, value in raw.headers],
            "reason": letter.reason,
            "error": letter.error,
            "drift": drift,
            "at": now,
        }

    def _drift(
        self, place: bytes | str, why: str, error: str, change: dict[str, Any] | None, now: datetime
    ) -> dict[str, Any]:
        """place: the key, or where the record is whose key is not known."""
        said: dict[str, Any] = {"kind": "unapplied", "cause": why, "state": "open", "at": now}
        said |= {"change": change, "reason": error}
        if isinstance(place, str):
            return record(self._replica, self._table, place=place, **said)
        return key_record(self._names, place, **said)


def _refused(reason: str) -> str:
    return f"the store refused the row: {reason}"
