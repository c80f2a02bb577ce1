"""What a person decides about a drift: that it may stay for a time, or that it is over, which a look must confirm."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from streams.drift.lifecycle import ENDED, State, allowed
from streams.drift.record import step_of
from streams.errors import NotReady, UsageError
from streams.kafka.events import EventWriter
from streams.kafka.registry import Registry
from streams.kafka.wire import cloud_event
from streams.plan.model import Plan
from streams.validation.hidden import GONE, find_keys
from streams.validation.open import Opener, Pair
from streams.validation.publish import drift_event, ended_by, send_event
from streams.validation.repairing import proven
from streams.validation.run import validate_keys
from streams.validation.target import Target

Row = Mapping[str, Any]
CLIENT: Final = "holdtrue-cli"
STILL_WRONG: Final = "found wrong when it was to be closed"


def accept(plan: Plan, row: Row, by: str, reason: str, until: datetime) -> None:
    """Accept a known drift until then; in Kafka when this returns. Raises UsageError for one that is not open."""
    if not allowed(State(row["state"]), State.accepted):
        raise UsageError(
            f"The drift {row['id']} is {row['state']}: only what is open can be accepted.",
            f"See holdtrue drift show {row['id']}.",
        )
    decided = {"ordered_by": by, "accepted_by": by, "accepted_until": until, "reason": reason}
    event = step_of(row, State.accepted, datetime.now(UTC), **decided)
    writer = EventWriter(plan.kafka.bootstrap.resolve(), Registry(plan.kafka.registry.resolve()), client_id=CLIENT)
    writer.send(plan.own_topic("drift"), event["id"], "drift", event, _headers(plan))
    writer.flush()


def _headers(plan: Plan) -> list[tuple[str, bytes]]:
    return cloud_event("holdtrue.drift", f"/holdtrue/{plan.name}/cli")


def close(opener: Opener, row: Row, by: str, reason: str) -> None:
    """End a known drift whose key two looks find right; in Kafka when this returns.

    Raises UsageError for one that cannot be ended so, and NotReady where the key is wrong, or not known to be right.
    """
    pair = Pair(row["replica"], row["table"])
    _require_closable(opener.plan, pair, row)
    with opener.target(pair) as target:
        before = target.drift_ends()
        key = _key(opener, target, pair, row)
        if key is None:
            _end(opener, row, by, f"{reason} ({GONE})", {"ends_before": before[row["partition"]]})
            return
        report = validate_keys(target, [key])
    report.drift_before = before
    for drifted in report.drift:
        more = {"run": report.run, "reason": STILL_WRONG, "ordered_by": by}
        send_event(opener, "drift", drift_event(opener, pair, drifted, State.open, **more))
    if is_right := bool(proven([key], report)):
        _end(opener, row, by, reason, ended_by(report, row))
    opener.writer.flush()
    if report.drift:
        found = report.drift[0]
        raise NotReady(
            f"The drift {row['id']} is not closed: its key is wrong ({found.kind}, {found.cause}).",
            "Repair it: holdtrue repair plan, then holdtrue repair apply.",
        )
    if not is_right:
        raise NotReady(
            f"The drift {row['id']} is not closed: whether its key is right is not known "
            f"({report.reason or 'it kept changing'}).",
            "Try it again.",
        )


def _end(opener: Opener, row: Row, by: str, reason: str, seen: Mapping[str, Any]) -> None:
    """In Kafka when this returns. seen: which look has ended it."""
    end = {**seen, "reason": reason, "ordered_by": by}
    send_event(opener, "drift", step_of(row, State.resolved, datetime.now(UTC), **end))
    opener.writer.flush()


def _key(opener: Opener, target: Target, pair: Pair, row: Row) -> bytes | None:
    """None where the plan hides it, and nobody has it any more."""
    shown = bytes(row["key_bytes"])
    if not row["key_hidden"]:
        return shown
    return find_keys(target, opener.hiding_names(pair), [shown]).get(shown)


def _require_closable(plan: Plan, pair: Pair, row: Row) -> None:
    if pair.replica not in plan.replicas or pair.table not in plan.replicas[pair.replica].tables:
        raise UsageError(f"The plan does not copy {pair.table} to {pair.replica}.", "Nobody could check it.")
    if row["state"] in ENDED:
        raise UsageError(f"The drift {row['id']} has ended: it is {row['state']}.", "Nothing is left to do.")
    if row["key_bytes"] is None:
        raise UsageError(
            f"The drift {row['id']} is of the table, not of one key that could be looked at.",
            "Only a run that finds every key right ends it: "
            f"holdtrue validate --table {pair.table} --replica {pair.replica}",
        )
