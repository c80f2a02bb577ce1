"""A partition's whole fetch as one event of a Faust stream.

Stock Faust spends about 90 µs on a record before an agent sees it (facts document). Here a stream's event is a batch,
so that this cost is paid once per fetch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import faust
from faust.types import TP


class KafkaRecord(Protocol):
    """What aiokafka gives for one record, as far as it is used here."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Fetching(Protocol):
    """What those who take batches may ask of the consumer."""

    def pause(self, tp: TP) -> None:
        """Fetch no more of this partition."""

    def resume(self, tp: TP) -> None:
        """Fetch it again."""


class Batch(NamedTuple):
    """Consecutive records of one partition, in offset order, never empty.

    start: where they were read from; offsets between it and the first record's are of nothing that is in the topic.
    """

    tp: TP
    records: Sequence[KafkaRecord]
    start: int

    @property
    def last_offset(self) -> int:
        """Offset of the last record."""
        return self.records[-1].offset


class BatchSchema(faust.Schema):  # type: ignore[misc]  # faust ships no types
    """Makes a stream's value the `Batch` itself: nothing is decoded on the way in, nothing can fail there."""

    def compile(self, app: Any, **_: Any) -> Any:
        """The function that turns a message of the consumer into an event."""

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return faust.Event(app, None, message.value, message.headers, message)

        return decode
