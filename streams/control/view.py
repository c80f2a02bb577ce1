"""What the command line shows of the control database. Reads only, and works before control has ever started."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from streams.address import shown
from streams.control.database import ControlUnavailable, Database, Row
from streams.drift.lifecycle import OPEN, State
from streams.plan.model import Plan

Place = tuple[str, str]  # (table, replica)
LIST_MAX: Final = 100_000
APPLICATION: Final = "holdtrue command line"


class ControlEmpty(ControlUnavailable):
    """Control has never started in its database, or the plan names another one."""


@dataclass(frozen=True)
class Remembered:
    """What control knows per table × replica; a place that is not named has none. `held`: where, and why.

    unrecorded: where the last validation found drift of no key, of which there is no record. suspected: keys whose
    store holds a token that is not its worker's, not settled yet.
    """

    verified: Mapping[Place, Row] = field(default_factory=dict)
    drift_open: Mapping[Place, int] = field(default_factory=dict)
    held: Mapping[Place, str] = field(default_factory=dict)
    unrecorded: frozenset[Place] = frozenset()
    suspected: Mapping[Place, int] = field(default_factory=dict)


@contextmanager
def opened(plan: Plan) -> Iterator[Database | None]:
    """The control database, or None where control has never started. Raises ControlRefused for another plan's."""
    database = Database(plan.control.dsn.resolve(), application=APPLICATION)
    try:
        known = database.has_schema()
        if known:
            database.require_plan(plan.name)
        yield database if known else None
    finally:
        database.close()


@contextmanager
def opened_with_schema(plan: Plan) -> Iterator[Database]:
    """The control database. Raises ControlEmpty: that nothing is remembered is no answer."""
    with opened(plan) as database:
        if database is None:
            raise ControlEmpty(
                f"The control database at {shown(plan.control.dsn.resolve())} is empty: control never started in it.",
                "Start control: holdtrue worker --control (or correct control.dsn, where it runs already).",
            )
        yield database


def remembered(plan: Plan) -> Remembered:
    """What `status` needs. Raises ControlEmpty."""
    with opened_with_schema(plan) as database:
        marks = database.rows("verified_through")
        drift, suspected = _counted(database, OPEN), _counted(database, {State.suspected})
        holds = database.rows("holds")
        unrecorded = database.rows("unrecorded_drift")
    return Remembered(
        {(row["table"], row["replica"]): row for row in marks},
        drift,
        _held(plan, holds),
        frozenset((row["table"], row["replica"]) for row in unrecorded),
        suspected,
    )


def _counted(database: Database, states: Collection[State]) -> Counter[Place]:
    """Drift in one of these states, by place."""
    counted = Counter[Place]()
    for row in database.rows("drift_counts", {"states": [state.value for state in states]}):
        counted[row["table"], row["replica"]] += row["count"]
    return counted


def _held(plan: Plan, holds: Sequence[Row]) -> dict[Place, str]:
    """By place, the first partition that is held, and how many more are."""
    told: dict[Place, list[str]] = {}
    for row in holds:
        topic = plan.change_topic(row["table"])
        told.setdefault((row["table"], row["replica"]), []).append(held_text(topic, row))
    more = {place: f" ({len(texts) - 1} more partitions are held)" for place, texts in told.items() if len(texts) > 1}
    return {place: texts[0] + more.get(place, "") for place, texts in told.items()}


def held_text(topic: str, hold: Mapping[str, Any]) -> str:
    """The record that a hold stops before, and the reason. What is not of one record has none."""
    if hold["partition"] < 0:
        return str(hold["reason"])
    record = f" offset {hold['offset']}" if hold["offset"] >= 0 else ""
    return f"{topic} partition {hold['partition']}{record}: {hold['reason']}"


def drift_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `drift`, as JSON shows it: keys as the plan lets them be seen, tokens and digests in hex."""
    shown = {name: _text(value) for name, value in row.items() if name not in ("key_bytes", "key_hidden")}
    return {**shown, "key": shown_key(row)}


def letter_row(topic: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """A dead letter, as JSON shows it: the key as the plan lets it be seen, and where on `topic` its bytes are."""
    return {**drift_row(row), "letter_topic": topic}


def shown_key(row: Mapping[str, Any]) -> Any:
    """Column → text; where the plan hides keys their HMAC; None for a drift that is not of one key."""
    if row["key"] is not None and not row["key_hidden"]:
        return row["key"]
    hidden = row["key_bytes"]
    return f"hmac:{bytes(hidden).hex()}" if row["key_hidden"] and hidden is not None else None


def plain(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows as JSON shows them: bytes in hex, times in ISO 8601."""
    return [{name: _text(value) for name, value in row.items()} for row in rows]


def _text(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return value.isoformat() if isinstance(value, datetime) else value
