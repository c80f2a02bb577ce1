"""A record of the drift topic: one step in the life of one drift (schemas/drift.avsc, design: Drift)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from streams.drift.identity import drift_id
from streams.drift.names import Names


def record(
    replica: str, table: str, *, kind: str, cause: str, state: str, at: datetime, place: bytes | str, **more: Any
) -> dict[str, Any]:
    """A record without a key. place: what tells this drift of the table from others. more: further fields."""
    return {
        "id": drift_id(replica, table, place), "replica": replica, "table": table, "kind": kind, "cause": cause,
        "state": state, "first_seen": at, "last_seen": at, "at": at, **more,
    }  # fmt: skip


def key_record(
    names: Names, key: bytes, *, kind: str, cause: str, state: str, at: datetime, **more: Any
) -> dict[str, Any]:
    """A record of one key, given in canonical bytes."""
    said: dict[str, Any] = {"kind": kind, "cause": cause, "state": state, "at": at, **more}
    return record(names.replica, names.table, place=names.shown(key), **names.fields(key), **said)
