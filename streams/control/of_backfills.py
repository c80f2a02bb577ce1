"""Signals of backfills into the control database: that one was ordered, what owners did of it, how its run ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streams.control.database import Connection
from streams.control.queries import query
from streams.control.source import Event

ORDERED: Final = "backfill-ordered"
ENDED: Final = "backfill-ended"
VALIDATED: Final = "backfill-validated"
TYPES: Final = (ORDERED, ENDED, VALIDATED)
_COUNTED: Final = ("looked", "written", "removed", "failed")


def take(connection: Connection, event: Event) -> dict[str, Any]:
    """Keep what one of them says; what the audit trail is to tell."""
    detail = event.record["detail"]
    told = {name: text for name, text in detail.items() if name not in ("who", "reason", "scope")}
    match event.record["type"]:
        case "backfill-ordered":
            connection.execute(query("put_backfill"), {**event.record, **_ordered(detail)})
        case "backfill-ended":
            connection.execute(query("put_backfill_part"), {**event.record, **_part(detail)})
        case "backfill-validated":
            ended = {"backfill": detail.get("backfill", ""), "outcome": detail.get("outcome", "")}
            connection.execute(query("end_backfill"), {**event.record, **ended})
    return {"step": event.record["type"].removeprefix("backfill-"), **told}


def _ordered(detail: Mapping[str, str]) -> dict[str, Any]:
    texts = {name: detail.get(name, "") for name in ("backfill", "scope", "range", "who", "reason")}
    return {**texts, "rows": _number(detail, "rows"), "partitions": _number(detail, "partitions")}


def _part(detail: Mapping[str, str]) -> dict[str, Any]:
    numbers = {name: _number(detail, name) for name in ("partition", *_COUNTED)}
    return {"backfill": detail.get("backfill", ""), "reason": detail.get("reason", ""), **numbers}


def _number(detail: Mapping[str, str], name: str) -> int:
    text = detail.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 19 else 0
