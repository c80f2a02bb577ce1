"""Drift events into the control database: the state of each drift, its history, and what the trail says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from psycopg.types.json import Jsonb

from streams.control.audit import Fact
from streams.control.database import Connection
from streams.control.queries import query
from streams.control.source import Event
from streams.drift.lifecycle import Seen, State, Step, Verdict, follow
from streams.plan.model import Plan

# Steps an auditor asks for. Suspicions and sightings again are in the history only.
_AUDITED: Final = frozenset({State.open, State.repairing, State.resolved, State.superseded, State.accepted})


def take(connection: Connection, events: Sequence[Event], _: Plan) -> list[Fact]:
    """Apply events of one partition in order; the facts for the audit trail."""
    states = _states(connection, [event.record["id"] for event in events])
    told = _told(connection, [event.record["id"] for event in events if event.record["ends_before"] is not None])
    rows, history, facts = [], [], []
    for event in events:
        drift = event.record["id"]
        before = states.get(drift)
        outdated = _is_outdated(event, told.get(drift, -1))
        step = Step(before, Verdict.refused) if outdated else follow(before, _seen(event.record), event.record["at"])
        if event.record["ends_before"] is None:
            told[drift] = event.offset
        history.append(_history(event, before, step))
        facts.extend(_facts(event, before, step))
        if step.verdict is not Verdict.refused and step.seen is not None:
            states[drift] = step.seen
            rows.append(_row(event, step.seen, fresh=step.verdict is Verdict.began))
    with connection.cursor() as cursor:
        cursor.executemany(query("put_drift"), rows)
        cursor.executemany(query("add_drift_event"), history)
    return facts


def _is_outdated(event: Event, told: int) -> bool:
    """Whether a run ends drift that was told of since it began; control was behind when the run asked what is open.

    told: offset of the last event of this drift that is no run's end, -1 where there is none.
    """
    before = event.record["ends_before"]
    return before is not None and told >= before


def _told(connection: Connection, ids: list[str]) -> dict[str, int]:
    """The offset of the last event of each of these that is no run's end."""
    found = connection.execute(query("drift_told"), {"ids": ids}).fetchall() if ids else []
    return {row["id"]: row["offset"] for row in found}


def _states(connection: Connection, ids: list[str]) -> dict[str, Seen]:
    found = connection.execute(query("drift_states"), {"ids": ids}).fetchall()
    return {row["id"]: _seen(row)._replace(lives=row["lives"]) for row in found}


def _seen(of: Mapping[str, Any]) -> Seen:
    """Of a record, or of a row of the table."""
    state = State(of["state"])
    until = of["accepted_until"] if state is State.accepted else None
    return Seen(state, of["first_seen"], of["last_seen"], of["times_seen"], kind=of["kind"], until=until)


def _row(event: Event, seen: Seen, *, fresh: bool) -> dict[str, Any]:
    """Values of put_drift. Row values (`sot_row`, `replica_row`) stay on the topic."""
    record = event.record
    kept = {
        "state": seen.state.value, "first_seen": seen.first, "last_seen": seen.last, "times_seen": seen.times,
        "lives": seen.lives, "fresh": fresh,
    }  # fmt: skip
    wrapped = {name: None if record[name] is None else Jsonb(record[name]) for name in ("key", "change", "causes")}
    return {**record, **kept, **wrapped}


def _history(event: Event, before: Seen | None, step: Step) -> dict[str, Any]:
    return {
        **event.record,
        **event.place,
        "before": None if before is None else before.state.value,
        "verdict": step.verdict.value,
        "life": 1 if step.seen is None else step.seen.lives,
        "said_by": event.said_by,
    }


def _facts(event: Event, before: Seen | None, step: Step) -> list[Fact]:
    record = event.record
    state = State(record["state"])
    refused = step.verdict is Verdict.refused
    # Accepted once more is another order of a person, perhaps with another end.
    again = step.verdict is Verdict.repeated and state is not State.accepted
    if state is State.suspected or (not refused and (again or state not in _AUDITED)):
        return []
    names = ("replica", "table", "kind", "cause", "run", "repair", "accepted_until")
    detail = {name: str(record[name]) for name in names if record[name] is not None}
    if refused and before is not None:
        detail |= {"from": before.state.value, "to": state.value}
    what = "drift.refused" if refused else f"drift.{state.value}"
    why = record["reason"] or ""
    return [Fact(record["at"], record["ordered_by"] or event.said_by, what, record["id"], why, detail, event.address)]
