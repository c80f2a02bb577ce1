"""A record of one of our topics, decoded, with where it stood and who said it."""

from __future__ import annotations

from typing import Any, NamedTuple


class Event(NamedTuple):
    """`said_by` is the CloudEvents source of the record, such as `/holdtrue/bank/cache`."""

    topic: str
    partition: int
    offset: int
    said_by: str
    record: dict[str, Any]

    @property
    def address(self) -> str:
        """Where it stands, as one word."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def place(self) -> dict[str, Any]:
        """Where it stands, as values of a statement."""
        return {"topic": self.topic, "partition": self.partition, "offset": self.offset}
