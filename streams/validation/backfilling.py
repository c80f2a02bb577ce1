"""Backfills: ordered from the owners, followed while they are carried out, validated; only then is drift resolved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import islice
from typing import Any, Final, NamedTuple
from uuid import uuid4

from streams.checks.request import ORDER_WITHIN, RUN_SECONDS_MAX, Depth, request
from streams.control import of_backfills
from streams.control.view import LIST_MAX, opened
from streams.drift.lifecycle import OPEN, State
from streams.drift.record import step_of
from streams.errors import NotReady, UsageError
from streams.kafka.wire import cloud_event
from streams.repair.file import EFFECTS
from streams.rows.canonical import decode, encode
from streams.sot.connection import SotChanged
from streams.sot.reader import EVERYWHERE, Between
from streams.validation.depth import RunDepth
from streams.validation.exchange import Answer
from streams.validation.open import Opener, Pair
from streams.validation.publish import drift_event, publish_report, send_event
from streams.validation.repairing import proven
from streams.validation.report import Report
from streams.validation.run import validate, validate_keys
from streams.validation.target import Target

Row = Mapping[str, Any]

# How often owners are asked how far they are: the question is the order, which changes nothing where it is known.
POLL_SECONDS: Final = 2.0
# The keys of a range are checked one by one after it; those of a larger one by a run of the whole table.
RANGE_KEYS_MAX: Final = 20_000
_LISTED_KEYS: Final = 5_000
REFUSED: Final = "refused"


class Order(NamedTuple):
    """A backfill of one table of one replica. rows: how many the source has in the range."""

    backfill: str
    pair: Pair
    between: Between
    by: str
    reason: str
    rows: int

    @property
    def is_whole(self) -> bool:
        """Whether it is of every row."""
        return self.between == EVERYWHERE


@dataclass(slots=True)
class Progress:
    """How far the partitions are, by their last answers; and, in the end, what the run after it says."""

    partitions: int
    answers: dict[int, Answer] = field(default_factory=dict)
    report: Report | None = None

    def counted(self, name: str) -> int:
        """Keys, over all partitions."""
        return sum(answer[name] for answer in self.answers.values())

    @property
    def states(self) -> dict[int, str]:
        """What each partition says of it: waiting, done, given up, or refused."""
        return {number: answer["backfill"] or REFUSED for number, answer in self.answers.items()}

    @property
    def waiting(self) -> list[int]:
        """Partitions that are not over."""
        known = self.states
        return [number for number in range(self.partitions) if known.get(number, "waiting") == "waiting"]

    @property
    def is_taken(self) -> bool:
        """Whether a partition has not refused it."""
        return any(state != REFUSED for state in self.states.values())

    @property
    def reasons(self) -> dict[int, str]:
        """Why partitions have not done it, or do not go on just now."""
        return {n: answer["incomplete"] for n, answer in sorted(self.answers.items()) if answer["incomplete"]}


def between_of(opener: Opener, pair: Pair, lower: Sequence[str], upper: Sequence[str]) -> Between:
    """The range between two bounds, each given as COLUMN=VALUE of the first key columns. Raises UsageError."""
    columns = opener.shape(pair).key_columns
    return _bound(columns, lower), _bound(columns, upper)


def _bound(columns: Sequence[str], given: Sequence[str]) -> bytes:
    if not given:
        return b""
    names, values = zip(*((text.partition("=")[0], text.partition("=")[2]) for text in given), strict=True)
    if list(names) != list(columns[: len(names)]) or not all("=" in text for text in given):
        raise UsageError(
            f"{', '.join(given)} is no bound of a range.",
            f"Give COLUMN=VALUE for the first key columns, each by an option of its own: {', '.join(columns)}.",
        )
    return encode(values)


def shown(opener: Opener, pair: Pair, between: Between) -> str:
    """The range in words; its ends are not shown where keys are not."""
    if between == EVERYWHERE:
        return "all"
    names = opener.names(pair)
    if names.secret is not None:
        return "a range"
    lower, upper = (", ".join(f"{c}={v}" for c, v in zip(names.key_columns, decode(b), strict=False)) if b else ""
                    for b in between)  # fmt: skip
    return " ".join(part for part in (f"from {lower}" * bool(lower), f"to {upper}" * bool(upper)) if part)


def rows_in(target: Target, between: Between) -> int:
    """How many rows of the source it is about. Raises UsageError where a bound is no value of its column."""
    try:
        return target.sot.count(between)
    except SotChanged as error:
        if between == EVERYWHERE:
            raise
        raise UsageError(
            f"The range cannot be read: {error.what}", "Are its ends values of the key's columns?"
        ) from None


def scope(between: Between) -> str:
    """What tells one range from others."""
    return blake2b(b"\x00".join(between), digest_size=16).hexdigest()


def known_order(opener: Opener, pair: Pair, between: Between) -> str | None:
    """The backfill of this range that was ordered lately, and is not done, as far as control knows."""
    with opened(opener.plan) as database:
        place = {**pair._asdict(), "scope": scope(between)}
        rows = database.rows("open_backfill", place) if database is not None else []
    return rows[0]["backfill"] if rows else None


def name() -> str:
    """Of a new one."""
    return f"backfill-{uuid4()}"


def begin(opener: Opener, target: Target, order: Order) -> None:
    """Order it from every owner; in Kafka when this returns."""
    detail = {
        "backfill": order.backfill, "scope": scope(order.between), "range": shown(opener, order.pair, order.between),
        "who": order.by, "reason": order.reason, "rows": str(order.rows), "partitions": str(target.partitions),
    }  # fmt: skip
    _signal(opener, order, of_backfills.ORDERED, detail)
    for partition in range(target.partitions):
        _ask(target, order, partition, 0, ORDER_WITHIN.total_seconds())
    target.exchange.flush()


def taken(opener: Opener, target: Target, order: Order) -> None:
    """An owner has taken it: drift in the range is `repairing` from now on."""
    for row in _drift_in(opener, target, order):
        if row["state"] == State.open:
            _step(opener, order, row, State.repairing, ordered_by=order.by, reason=order.reason or None)
    opener.writer.flush()


def given_up(opener: Opener, target: Target, order: Order, why: str) -> None:
    """No owner has done it: drift in the range is open, as it was."""
    for row in _drift_in(opener, target, order):
        if row["state"] == State.repairing:
            _step(opener, order, row, State.open, reason=why)
    opener.writer.flush()


def follow(target: Target, order: Order) -> Iterator[Progress]:
    """How far it is, each time that is heard of, until no partition is waiting. Raises NotReady after long silence."""
    progress = Progress(target.partitions)
    number = 0
    while waiting := progress.waiting:
        number += 1
        for partition in waiting:
            _ask(target, order, partition, number, RUN_SECONDS_MAX)
        target.exchange.flush()
        _hear(target, order, progress, number, set(waiting))
        yield progress
        if progress.waiting:
            time.sleep(POLL_SECONDS)


def _hear(target: Target, order: Order, progress: Progress, number: int, missing: set[int]) -> None:
    for answer in target.exchange.answers(order.backfill, target.silence_seconds, target.on_silence):
        progress.answers[answer["partition"]] = answer
        if answer["chunk"] == number:
            missing.discard(answer["partition"])
        if not missing:
            return
    raise NotReady(
        f"The workers of {target.replica} do not say how far the backfill of {target.table} is.",
        f"Is `holdtrue worker --replica {target.replica}` running? The order stands; give it again to follow it.",
    )


def _ask(target: Target, order: Order, partition: int, number: int, within_seconds: float) -> None:
    lower, upper = order.between
    asked = request(
        order.backfill, *order.pair, Depth.backfill, lower=lower, upper=upper, chunk=number,
        mapping=target.digester.version,
    )  # fmt: skip
    target.exchange.ask(partition, asked, within_seconds)


def end(opener: Opener, target: Target, order: Order, progress: Progress, settled: Callable[[], None]) -> Report:
    """Validate what was filled, and end the drift that is gone by it. settled: wait until control knows all of it."""
    settled()
    rows = _drift_in(opener, target, order)
    for row in rows:
        if row["state"] == State.repairing:
            _step(opener, order, row, State.repaired)
    opener.writer.flush()
    keys = None if order.is_whole else _keys_in(target, order.between, [bytes(row["key_bytes"]) for row in rows])
    if keys is None:
        settled()  # the run resolves what it finds repaired
        report = validate(target, RunDepth.full)
        publish_report(opener, order.pair, report)
    else:
        report = validate_keys(target, keys)
        _end_drift(opener, order, rows, keys, report)
    counted = {name: str(progress.counted(name)) for name in ("looked", "written", "removed", "failed")}
    detail = {"backfill": order.backfill, "who": order.by, "reason": order.reason, "outcome": report.outcome, **counted}
    _signal(opener, order, of_backfills.VALIDATED, detail, run=report.run)
    opener.writer.flush()
    progress.report = report
    return report


def _end_drift(opener: Opener, order: Order, rows: Sequence[Row], keys: Sequence[bytes], report: Report) -> None:
    names = opener.names(order.pair)
    right = {names.shown(key) for key in proven(keys, report)}
    for row in rows:
        if bytes(row["key_bytes"]) in right:
            _step(opener, order, row, State.resolved, run=report.run)
    for drifted in report.drift:
        more = {"run": report.run, "repair": order.backfill}
        send_event(opener, "drift", drift_event(opener, order.pair, drifted, State.open, **more))


def _drift_in(opener: Opener, target: Target, order: Order) -> list[Row]:
    """Drift of single keys in the range that has not ended, as far as control knows."""
    with opened(opener.plan) as database:
        place = {**order.pair._asdict(), "limit": LIST_MAX}
        known = database.rows("open_drift", place) if database is not None else []
    rows: list[Row] = [row for row in known if row["key_bytes"] is not None and row["state"] in OPEN]
    rows = [row for row in rows if row["kind"] in EFFECTS]
    if order.is_whole:
        return rows
    if opener.names(order.pair).secret is not None:
        return []  # which keys these are is not told: a run ends them
    keys = {bytes(row["key_bytes"]): row for row in rows}
    return [keys[key] for key in target.sot.within([*keys], order.between)]


def _keys_in(target: Target, between: Between, drifted: Sequence[bytes]) -> list[bytes] | None:
    """Keys of the range, those in drift first; None where they are too many to be looked at one by one.

    Source and replica name those that they have. What was removed is in neither, and its drift is to end, too.
    """
    keys = dict.fromkeys(drifted)
    keys |= dict.fromkeys(islice(_in_sot(target, between), RANGE_KEYS_MAX + 1))
    if len(keys) > RANGE_KEYS_MAX:
        return None
    for listed in target.store.keys(_LISTED_KEYS):
        keys |= dict.fromkeys(target.sot.within([key for key in listed if key is not None], between))
        if len(keys) > RANGE_KEYS_MAX:
            return None
    return [*keys]


def _in_sot(target: Target, between: Between) -> Iterator[bytes]:
    after = None
    while keys := target.sot.keys_after(after, _LISTED_KEYS, between):
        yield from keys
        after = keys[-1]


def _step(opener: Opener, order: Order, row: Row, state: State, **more: Any) -> None:
    known = {**row, **order.pair._asdict()}
    send_event(opener, "drift", step_of(known, state, datetime.now(UTC), repair=order.backfill, **more))


def _signal(opener: Opener, order: Order, kind: str, detail: Mapping[str, str], run: str | None = None) -> None:
    """Under the key that owners' signals of this table have, so that control takes them in in this order."""
    record = {
        "id": str(uuid4()), "type": kind, "replica": order.pair.replica, "table": order.pair.table, "position": None,
        "run": run, "detail": dict(detail), "at": datetime.now(UTC),
    }  # fmt: skip
    key, headers = f"{order.pair.replica}/{order.pair.table}", cloud_event("holdtrue.signal", opener.source)
    opener.writer.send(opener.plan.own_topic("signals"), key, "signal", record, headers)
