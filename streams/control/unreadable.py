"""Records on our own topics that cannot be read: each is kept by its place and named in the trail, once."""

from __future__ import annotations

from typing import Any, Final

from streams.control.audit import Fact
from streams.control.database import Connection
from streams.control.queries import query
from streams.control.run import now

# The signal by which a worker tells of one among the requests that it was asked for.
SIGNAL: Final = "record-unreadable"


def keep(connection: Connection, place: dict[str, Any], why: str, *, said_by: str = "control") -> Fact:
    """place: topic, partition and offset. Keeps the record's; the fact for the trail."""
    connection.execute(query("add_unreadable"), {**place, "error": why})
    address = f"{place['topic']}/{place['partition']}/{place['offset']}"
    return Fact(now(), said_by, "record.unreadable", address, why, {}, address)
