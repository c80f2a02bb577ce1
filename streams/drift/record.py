"""A record of the drift topic: one step in the life of one drift (schemas/drift.avsc, design: Drift)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from streams.drift.identity import drift_id
from streams.drift.names import Names

# What tells of a known drift which it is.
_NAMED: Final = (
    "id", "replica", "table", "key", "key_bytes", "key_hidden", "kind", "cause", "keys", "causes", "first_seen",
    "last_seen",
)  # fmt: skip


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


def step_of(known: Mapping[str, Any], state: str, at: datetime, **more: Any) -> dict[str, Any]:
    """The next step of a drift that is known, as a row of the control database: named as it was, and not seen again."""
    return {name: known[name] for name in _NAMED} | {"state": state, "at": at, **more}
