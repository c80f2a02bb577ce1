"""What a table's mode contradicts: who writes it decides what can be asked of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from streams.plan.draft import Placed, value_at
from streams.plan.duration import format_duration, parse_duration
from streams.plan.mapping import Problem

# A run waits that long between its looks, three times for some thousand keys.
OTHERS_LAG_MAX: Final = timedelta(minutes=10)


def mode_conflicts(table: Placed) -> Iterator[Problem]:
    """Every contradiction between the mode of a table and what else is decided for it."""
    if not isinstance(table.raw, Mapping):
        return
    if table.raw.get("mode") in ("verify", "invalidate") and value_at(table.raw, ("validation", "replica_log")) is True:
        message = f"shows what others write, which is what is expected under mode {table.raw['mode']}: leave it out"
        yield Problem(("validation", "replica_log"), message)
    if table.raw.get("mode") == "verify":
        yield from _verify(table.raw)
    elif table.raw.get("mode") == "invalidate":
        yield from _invalidate(table.raw, table.kind)


def _verify(raw: Mapping[str, Any]) -> Iterator[Problem]:
    if value_at(raw, ("repair", "automatic")):
        message = "somebody else writes this table (mode: verify), which is only repaired on an order: write []"
        yield Problem(("repair", "automatic"), message)
    if value_at(raw, ("consistency", "kind")) == "strong":
        message = "mode verify needs {kind: eventual, lag: …}: how long the other writer may take"
        yield Problem(("consistency", "kind"), message)
    if _lag(raw) > OTHERS_LAG_MAX:
        most = format_duration(OTHERS_LAG_MAX)
        message = f"must be at most {most} under mode verify: a run waits that long before each of its looks"
        yield Problem(("consistency", "lag"), message)


def _lag(raw: Mapping[str, Any]) -> timedelta:
    try:
        return parse_duration(value_at(raw, ("consistency", "lag")))
    except ValueError:
        return timedelta(0)  # told of elsewhere


def _invalidate(raw: Mapping[str, Any], kind: str) -> Iterator[Problem]:
    if kind == "dynamodb":
        message = (
            "invalidate has no meaning in a dynamodb replica: a deleted item stays there as a tombstone, which whoever "
            "fills in would take for a row, and an item that expires reads as somebody else's; use replicate or verify"
        )
        yield Problem(("mode",), message)
    automatic = value_at(raw, ("repair", "automatic"))
    if isinstance(automatic, list) and "missing" in automatic:
        message = "names missing, but a row that a cache does not have is no drift (mode: invalidate): leave it out"
        yield Problem(("repair", "automatic"), message)
