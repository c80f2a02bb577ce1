"""What the vocabulary of a plan has and this version does not do yet: refused by name, never ignored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from streams.plan.draft import Placed, value_at
from streams.plan.load import Path_
from streams.plan.mapping import Problem
from streams.plan.text import listed

TRIGGERS: Final = frozenset(("realtime",))
JOIN_REFUSED: Final = (
    "joins are refused: a joined row has no single key whose log orders its changes; "
    "copy both tables and join them in the replica"
)


# What is refused as soon as it says anything, and why: in the plan as a whole, and for a table of a replica.
WHOLE: Final[Mapping[Path_, str]] = {
    ("monitoring",): "monitoring by the plan is not built yet: leave it out, and use the rules in ops/alerts",
    ("review_triggers",): "reviews are not built yet: leave it out",
}
OF_A_TABLE: Final[Mapping[Path_, str]] = {
    ("windows",): "windows belong to the trigger scheduled, which is not built yet: leave them out",
    ("validation", "thresholds"): "thresholds are not built yet: leave them out; every drifted key counts",
}


def whole_not_built(plan: Any) -> Iterator[Problem]:
    """Everything about the plan as a whole that is in the vocabulary but not built."""
    yield from _said(plan, WHOLE)


def _said(raw: Any, words: Mapping[Path_, str]) -> Iterator[Problem]:
    for path, message in words.items():
        value = value_at(raw, path)
        if value is not None and value is not False:
            yield Problem(path, message)


def not_built(table: Placed) -> Iterator[Problem]:
    """Everything about this table of a replica that is in the vocabulary but not built."""
    if isinstance(table.raw, list):
        yield Problem((), "feeding several shapes from one table is not built yet: give one shape")
        return
    yield from _said(table.raw, OF_A_TABLE)
    yield from _words(table.raw)
    if value_at(table.raw, ("columns", "compute")):
        yield Problem(("columns", "compute"), "computed columns are not built yet")


def _words(raw: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _word(raw, "tombstones", frozenset(("attribute",)), ("table",))
    yield from _word(raw, "trigger", TRIGGERS, ("scheduled", "on_demand"))
    if value_at(raw, ("consistency", "kind")) == "strong":
        yield Problem(("consistency", "kind"), "strong consistency is not built yet; use {kind: eventual, lag: …}")
    if isinstance(raw.get("conflict"), Mapping) and "last_write_wins" in raw["conflict"]:
        yield Problem(("conflict",), "last_write_wins is not built yet; use source_wins")


def _word(raw: Mapping[str, Any], field: str, built: frozenset[str], others: tuple[str, ...]) -> Iterator[Problem]:
    if raw.get(field) in others:
        yield Problem((field,), f"{raw[field]} is not built yet; use {listed(sorted(built), 'or')}")
