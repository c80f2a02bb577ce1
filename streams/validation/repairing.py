"""Carrying out a repair plan: ordered from the owners, checked again after it, every step on the drift topic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import uuid4

from streams.control.view import opened
from streams.drift.lifecycle import ENDED, State
from streams.drift.record import record
from streams.errors import HoldtrueError, NotReady, UsageError
from streams.repair.file import Item, RepairPlan
from streams.validation.exchange import Answer
from streams.validation.hidden import GONE, find_keys
from streams.validation.open import Opener, Pair, repair_channel
from streams.validation.publish import drift_event, send_event
from streams.validation.report import Drifted, Report
from streams.validation.run import validate_keys
from streams.validation.target import Target

REQUEST_ITEMS = 100
# An owner answers a request when it is done with all of it, within the worker's budget: long before anybody gives up.
ANSWER_SECONDS = 30
# Times the requests of this repair up to it, whose turn comes first: what nobody waits for is not done hours later.
REQUEST_SECONDS = 120.0
NO_REASONS: Mapping[bytes, str] = MappingProxyType({})
WRONG_AGAIN = "found wrong again after the repair"


@dataclass(frozen=True, slots=True)
class Order:
    """Who ordered a repair, why, and from which file."""

    by: str
    reason: str
    hash: str


class Failure(NamedTuple):
    """A key that is not resolved, by its columns, and why."""

    key: Mapping[str, str]
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one pair's repairs. resolved: repaired, and found right by two further looks.

    unchanged: a look found them right, and their drift had ended before, or nobody has their key any more: nothing was
    ordered.
    """

    repair: str
    replica: str
    table: str
    ordered: int
    repaired: int
    resolved: int
    failed: int
    unchanged: int = 0
    failures: tuple[Failure, ...] = ()


def apply_plan(
    opener: Opener, repairs: RepairPlan, by: str, reason: str, *, above_threshold: bool
) -> Iterator[Outcome]:
    """Repair pair after pair, whatever becomes of each.

    Raises UsageError before anything is done when a plan's threshold forbids it.
    """
    if repairs.plan != opener.plan.name:
        raise UsageError(f"The repair plan is of {repairs.plan}, not of {opener.plan.name}.", "Name it with --plan.")
    by_pair = groupby(repairs.items, key=lambda item: Pair(item.replica, item.table))
    groups = [(pair, list(items)) for pair, items in by_pair]
    for pair, items in groups:
        _refuse_storm(opener, pair, len(items), above_threshold=above_threshold)
    order = Order(by, reason, repairs.hash)
    for pair, items in groups:
        try:
            yield _repair_pair(opener, pair, items, order)
        except HoldtrueError as error:
            # The others are repaired all the same; what was begun here stays `repairing`, and can be ordered again.
            told = tuple(Failure(item.shown, f"{error.what} {error.hint}".rstrip()) for item in items)
            yield Outcome("", pair.replica, pair.table, len(items), 0, 0, len(items), failures=told)


def _refuse_storm(opener: Opener, pair: Pair, count: int, *, above_threshold: bool) -> None:
    declared = opener.plan.replicas.get(pair.replica)
    if declared is None or pair.table not in declared.tables:
        raise UsageError(f"The plan does not copy {pair.table} to {pair.replica}.", "Make a new repair plan.")
    limit = declared.tables[pair.table].repair.stop_above
    if count > limit and not above_threshold:
        raise UsageError(
            f"{count} keys of {pair.table} in {pair.replica} would be repaired; the plan stops above {limit}.",
            "Find out why so many differ. If they are to be repaired all the same, add --above-threshold.",
        )


def _repair_pair(opener: Opener, pair: Pair, items: Sequence[Item], order: Order) -> Outcome:
    repair = f"repair-{uuid4()}"
    with opener.target(pair) as target:
        items, gone = _with_keys(opener, target, pair, items)
        grouped = _by_partition(target, items)
        states = _states(opener, [*items, *gone])
        ended = [bytes.fromhex(item.key) for item in items if states.get(item.drift) in ENDED]
        right = set(proven(ended, validate_keys(target, ended))) if ended else set()
        _end_gone(opener, [item for item in gone if states.get(item.drift) not in ENDED])
        known = {key: item for item in items if (key := bytes.fromhex(item.key)) not in right}
        unchanged = len(right) + len(gone)
        if not known:
            return Outcome("", pair.replica, pair.table, unchanged, 0, 0, 0, unchanged)
        # What had ended and is wrong again begins a new life: no repair follows from an end.
        _publish(opener, pair, _as_known(known, [key for key in ended if key in known]), "open", repair)
        left = {n: [item for item in mine if bytes.fromhex(item.key) in known] for n, mine in grouped.items()}
        _publish(opener, pair, _as_known(known, known), "repairing", repair, reason=order.reason or None, by=order.by)
        answers = _ask_owners(opener, target, pair, repair, left, order)
        done = [key for key, answer in answers.items() if answer["outcome"] == "repaired"]
        _publish(opener, pair, _as_known(known, done), "repaired", repair)
        failures = _failures(answers)
        _publish(opener, pair, _as_known(known, failures), "open", repair, reasons=failures)
        report = validate_keys(target, done) if done else None
    wrong = {drifted.key: drifted for drifted in report.drift} if report else {}
    right_now = proven(done, report)
    run = report.run if report else None
    _publish(opener, pair, _as_known(known, right_now), "resolved", repair, run=run)
    _publish(opener, pair, wrong.values(), "open", repair, run=run, reason=WRONG_AGAIN)
    failures |= dict.fromkeys(wrong, WRONG_AGAIN)
    failures |= {key: _unproven(report) for key in done if key not in wrong and key not in right_now}
    told = tuple(Failure(known[key].shown, reason) for key, reason in failures.items())
    counts = (len(items) + len(gone), len(done), len(right_now), len(known) - len(done), unchanged)
    return Outcome(repair, pair.replica, pair.table, *counts, told)


def _with_keys(opener: Opener, target: Target, pair: Pair, items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """The items with their keys, where the plan hides them; and those whose key is nowhere any more, as they are."""
    hidden = [bytes.fromhex(item.key) for item in items if item.hidden]
    keys = find_keys(target, opener.hiding_names(pair), hidden) if hidden else {}
    found: list[Item] = []
    gone: list[Item] = []
    for item in items:
        if not item.hidden:
            found.append(item)
        elif (key := keys.get(bytes.fromhex(item.key))) is not None:
            found.append(replace(item, key=key.hex()))
        else:
            gone.append(item)
    return found, gone


def _states(opener: Opener, items: Sequence[Item]) -> dict[str, str]:
    """Of the drift of these items, as far as control knows."""
    with opened(opener.plan) as database:
        rows = database.rows("drift_states", {"ids": [item.drift for item in items]}) if database is not None else []
    return {row["id"]: row["state"] for row in rows}


def _end_gone(opener: Opener, gone: Sequence[Item]) -> None:
    """End the drift of keys that nobody has any more; it is in Kafka when this returns."""
    for item in gone:
        send_event(opener, "drift", _end_of_gone(item))
    if gone:
        opener.writer.flush()


def _end_of_gone(item: Item) -> dict[str, Any]:
    shown = bytes.fromhex(item.key)
    named: dict[str, Any] = {"key": None, "key_bytes": shown, "key_hidden": True, "reason": GONE}
    said: dict[str, Any] = {"kind": item.kind, "cause": item.cause, "state": State.superseded, "at": datetime.now(UTC)}
    return record(item.replica, item.table, place=shown, **said, **named)


def proven(done: Sequence[bytes], report: Report | None) -> list[bytes]:
    """The keys that a check of them all has found right, each by itself: others may go on changing."""
    if report is None or report.reason or report.skipped or report.failed:
        return []  # which keys were not decided is not known
    doubtful = {drifted.key for drifted in report.drift} | report.moving
    return [key for key in done if key not in doubtful]


def _unproven(report: Report | None) -> str:
    """Why keys that were repaired are not known to be right."""
    undecided = "keys were left out" if report and (report.skipped or report.failed) else "it kept changing"
    why = (report.reason if report else "") or undecided
    return f"repaired, but the check after it came to no verdict: {why}"


def _ask_owners(
    opener: Opener, target: Target, pair: Pair, repair: str, grouped: Mapping[int, Sequence[Item]], order: Order
) -> dict[bytes, Answer]:
    """The owners' answers by key. Raises NotReady when one does not come in time: what was done stays `repairing`."""
    exchange = opener.exchange(repair_channel(opener.plan, pair))
    size = _request_items(opener, pair)
    wanted = sum(len(mine) for mine in grouped.values())
    try:
        parts = [
            (partition, mine[start : start + size])
            for partition, mine in grouped.items()
            for start in range(0, len(mine), size)
        ]
        for number, (partition, part) in enumerate(parts, start=1):
            exchange.ask(partition, _request(pair, repair, part, order), REQUEST_SECONDS * number)
        exchange.flush()
        answers: dict[bytes, Answer] = {}
        for answer in exchange.answers(repair, target.silence_seconds, target.on_silence):
            answers[answer["key"]] = answer
            if len(answers) == wanted:
                return answers
    finally:
        exchange.close()
    raise NotReady(
        f"Only {len(answers)} of {wanted} keys of {pair.table} were answered by the workers of {pair.replica}.",
        f"Is `holdtrue worker --replica {pair.replica}` running? Apply the file again: repairing twice is safe.",
    )


def _request_items(opener: Opener, pair: Pair) -> int:
    """Keys of one request: as many as are repaired within ANSWER_SECONDS while every partition has its share."""
    per_second = opener.plan.replicas[pair.replica].tables[pair.table].repair.rows_per_second
    return max(1, min(REQUEST_ITEMS, per_second * ANSWER_SECONDS // opener.plan.tables[pair.table].partitions))


def _by_partition(target: Target, items: Sequence[Item]) -> dict[int, list[Item]]:
    """Raises UsageError for a key that no row of the table can have: then nothing of the pair is ordered."""
    grouped: dict[int, list[Item]] = {}
    for item in items:
        try:
            partition = target.partitioner.partition(bytes.fromhex(item.key))
        except (ValueError, IndexError):
            raise UsageError(
                f"The repair plan names a key that no row of {target.table} can have.", "Make a new repair plan."
            ) from None
        grouped.setdefault(partition, []).append(item)
    return grouped


def _request(pair: Pair, repair: str, items: Sequence[Item], order: Order) -> dict[str, Any]:
    return {
        "repair": repair,
        "replica": pair.replica,
        "table": pair.table,
        "items": [
            {
                "drift": item.drift,
                "key": bytes.fromhex(item.key),
                "kind": item.kind,
                "replica_token": bytes.fromhex(item.replica_token) if item.replica_token else None,
            }
            for item in items
        ],
        "hash": order.hash,
        "ordered_by": order.by,
        "reason": order.reason,
    }


def _failures(answers: dict[bytes, Answer]) -> dict[bytes, str]:
    """Key → why its owner did not repair it."""
    return {
        key: f"the repair {answer['outcome']}: {answer['reason'] or 'no reason given'}"
        for key, answer in answers.items()
        if answer["outcome"] != "repaired"
    }


def _as_known(known: Mapping[bytes, Item], keys: Iterable[bytes]) -> list[Drifted]:
    """The drift of each key as the file has it: a step of a repair says nothing new of what is wrong, or why."""
    return [Drifted(key, known[key].kind, cause=known[key].cause) for key in keys]


def _publish(
    opener: Opener,
    pair: Pair,
    drift: Iterable[Drifted],
    state: str,
    repair: str,
    *,
    run: str | None = None,
    reason: str | None = None,
    by: str | None = None,
    reasons: Mapping[bytes, str] = NO_REASONS,
) -> None:
    """One event a key, `reasons` by key before the one `reason` of all; returns when Kafka has them."""
    for drifted in drift:
        why = reasons.get(drifted.key, reason)
        more = {"repair": repair, "run": run, "reason": why, "ordered_by": by}
        send_event(opener, "drift", drift_event(opener, pair, drifted, state, **more))
    opener.writer.flush()
