"""What a run found, as events: drift opened or seen again, drift gone, the run itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from streams.checks.request import ORDER_WITHIN, Depth, request
from streams.control.database import ControlUnavailable
from streams.control.view import LIST_MAX, opened
from streams.drift.flood import Beyond, Telling, flood_id, flood_records, is_flood, larger, telling
from streams.drift.lifecycle import State
from streams.drift.names import Names
from streams.drift.record import key_record, step_of
from streams.kafka.topics import checks_topic
from streams.kafka.wire import cloud_event
from streams.validation.open import Opener, Pair
from streams.validation.report import Drifted, Report

Row = dict[str, Any]
# As open_since of queries.sql has it.
GIVEN_UP: Final = timedelta(minutes=10)


def publish_report(opener: Opener, pair: Pair, report: Report, before: Collection[str] = ()) -> None:
    """Put the report's drift on the drift topic and the run on the signals topic; returns when Kafka has them.

    before: ids of the drift that it told of before it was interrupted. A run that cannot say which drift it ends has
    not said all: it is incomplete.
    """
    known: list[Row] = []
    if report.drift or report.covers_all:
        try:
            known = known_open(opener, pair)
        except ControlUnavailable as error:
            if report.covers_all:
                report.reason = f"which drift was open before is not known: {error}"
    told = set()
    found = _found(opener, pair, report, {row["id"] for row in known})
    numbers = _numbers(opener, pair, report, found.beyond, {row["id"]: row for row in known})
    for event in _events(opener, pair, report, found.each, numbers):
        told.add(event["id"])
        if event["id"] not in before:
            send_event(opener, "drift", event)
    if report.covers_all:
        for row in known:
            if row["id"] not in before and _is_ended(row, report, told):
                send_event(opener, "drift", _end(pair, row, report))
    send_event(opener, "signals", _signal(opener, pair, report))
    opener.writer.flush()
    if numbers:
        _tell_owners(opener, pair, report.run, numbers)


def _found(opener: Opener, pair: Pair, report: Report, known: Collection[str]) -> Telling[Drifted]:
    """Who of the keys that the run found wrong gets a record. known: ids of drift that has not ended."""
    if not report.drift:
        return Telling((), ())
    names, above = opener.names(pair), opener.mapping(pair).drift.flood_above
    return telling(report.drift, above, lambda drifted: names.id(drifted.key) in known)


def _numbers(
    opener: Opener, pair: Pair, report: Report, beyond: Sequence[Drifted], known: Mapping[str, Row]
) -> dict[int, Beyond]:
    """How many others there are by partition, whose owner says its number in the same record. known: as of `_found`."""
    if not beyond:
        return {}
    names, partitioner, counted = opener.names(pair), opener.partitioner(pair), dict[int, Beyond]()
    for drifted in beyond:
        counted.setdefault(partitioner.partition(drifted.key), Counter())[drifted.kind, drifted.cause] += 1
    if report.covers_all:
        return counted
    # Who has not looked at every key has found a part of what is known.
    return {n: larger(found, _known_numbers(names, found, n, known)) for n, found in counted.items()}


def _known_numbers(names: Names, numbers: Beyond, partition: int, known: Mapping[str, Row]) -> Beyond:
    """Of the same kinds in this partition, what was told before."""
    rows = {kind: known.get(flood_id(names, kind, partition)) for kind, _ in numbers}
    return Counter({(kind, cause): keys for kind, row in rows.items() if row for cause, keys in row["causes"].items()})


def _events(
    opener: Opener, pair: Pair, report: Report, each: Sequence[Drifted], numbers: Mapping[int, Beyond]
) -> Iterator[dict[str, Any]]:
    for drifted in each:
        yield drift_event(opener, pair, drifted, "open", run=report.run)
    for partition, beyond in sorted(numbers.items()):
        yield from flood_records(opener.names(pair), beyond, partition, at=datetime.now(UTC), run=report.run)


def _tell_owners(opener: Opener, pair: Pair, run: str, partitions: Iterable[int]) -> None:
    """Keys of these partitions are counted: their owners hear what was told before they name any that they find."""
    topic, headers = checks_topic(opener.plan, *pair), cloud_event("holdtrue.check-request", opener.source)
    asked = request(run, *pair, Depth.counted) | {"deadline": datetime.now(UTC) + ORDER_WITHIN}
    for partition in partitions:
        order = {**asked, "partition": partition}
        opener.writer.send(topic, run, "check-request", order, headers, partition=partition)
    opener.writer.flush()


def _is_ended(row: Row, report: Report, told: Collection[str]) -> bool:
    """Whether the run, which has looked at every key, has found that it is over. told: what it found itself.

    What was told after the run began may be what it did not see; what is being repaired is ended by the repair, unless
    that has said nothing for long.
    """
    if row["state"] == State.repairing and not is_given_up(row):
        return False
    if row["offset"] >= report.drift_before[row["partition"]]:
        return False
    if row["key_bytes"] is not None or is_flood(row):
        return row["id"] not in told
    # Of the table as a whole, or of a key nobody knows: closed by a run that found every key right.
    return report.outcome == "correct"


def is_given_up(row: Row) -> bool:
    """Whether whoever repairs it has said nothing for so long that it may be no more."""
    return bool(datetime.now(UTC) - row["at"] > GIVEN_UP)


def _end(pair: Pair, row: Row, report: Report) -> dict[str, Any]:
    """The event that ends a known drift, named as it was."""
    state = "resolved" if row["state"] == State.repaired else "superseded"
    return step_of({**row, **pair._asdict()}, state, datetime.now(UTC), **ended_by(report, row))


def ended_by(report: Report, row: Mapping[str, Any]) -> dict[str, Any]:
    """Of the end of a known drift: which looks ended it, and what they did not see."""
    return {"run": report.run, "ends_before": report.drift_before[row["partition"]]}


def known_open(opener: Opener, pair: Pair) -> list[Row]:
    """Drift of the pair that has not ended, as far as control knows."""
    with opened(opener.plan) as database:
        place = {"table": pair.table, "replica": pair.replica, "limit": LIST_MAX}
        return database.rows("open_drift", place) if database is not None else []


def drift_event(opener: Opener, pair: Pair, drifted: Drifted, state: str, **more: Any) -> dict[str, Any]:
    """A drift event about one key."""
    said: dict[str, Any] = {"kind": drifted.kind, "cause": drifted.cause, "state": state, "at": datetime.now(UTC)}
    said |= {
        "entry_token": drifted.token, "replica_token": drifted.other_token, "entry_digest": drifted.entry_digest,
        "replica_digest": drifted.other_digest, "columns": list(drifted.columns), "evidence": drifted.evidence,
        "sot_row": drifted.sot_row, "replica_row": drifted.replica_row,
    }  # fmt: skip
    return key_record(opener.names(pair), drifted.key, **{**said, **more})


def send_event(opener: Opener, topic: str, record: dict[str, Any]) -> None:
    """Queue a drift event or a signal; it is written when `opener.writer.flush` has returned."""
    schema = "drift" if topic == "drift" else "signal"
    headers = cloud_event(f"holdtrue.{schema}", opener.source)
    opener.writer.send(opener.plan.own_topic(topic), record["id"], schema, record, headers)


def _signal(opener: Opener, pair: Pair, report: Report) -> dict[str, Any]:
    """The run as a signal; `Consistency validated` only when every key was looked at, and is right."""
    validated = report.outcome == "correct" and report.covers_all
    return {
        # One id, however often a run that was killed as it ended tells of its end.
        "id": str(uuid5(NAMESPACE_URL, report.run)),
        "type": "consistency-validated" if validated else "run-finished",
        "replica": pair.replica,
        "table": pair.table,
        "position": report.fence_lsn or None,
        "run": report.run,
        "detail": {name: str(value) for name, value in report.document().items() if value is not None} | _under(opener),
        "at": datetime.now(UTC),
    }


def _under(opener: Opener) -> dict[str, str]:
    """Who asked, and under which plan: what an auditor asks of a run that was long ago."""
    plan = opener.plan
    said = {"who": opener.by, "plan_hash": plan.sha256, "owner": plan.owner, "approver": plan.approver}
    return {name: text for name, text in said.items() if text}
