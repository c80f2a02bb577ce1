"""Looking again at the keys whose drift is open: what has come right is over, what has not is seen again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from streams.drift.lifecycle import State
from streams.drift.record import step_of
from streams.errors import HoldtrueError
from streams.kafka.groups import KafkaSilent
from streams.validation.open import Opener, Pair
from streams.validation.publish import Row, drift_event, ended_by, is_given_up, known_open, send_event
from streams.validation.repairing import proven
from streams.validation.report import Report
from streams.validation.run import validate_keys

RIGHT_AGAIN: Final = "looked at again, and right"


@dataclass(frozen=True, slots=True)
class Recheck:
    """What became of the open drift of one table × replica.

    keys: how many were looked at. ended: right now. wrong: seen again. undecided: moving, or not looked at: `reason`.
    left: drift that names no key of its own, or hides it: only a full run ends that.
    """

    table: str
    replica: str
    keys: int
    ended: int
    wrong: int
    undecided: int
    left: int
    reason: str | None = None


def recheck(opener: Opener, wanted: Sequence[Pair], note: Callable[[str], None]) -> Iterator[Recheck]:
    """One for each pair that has open drift; what was found is on the drift topic then.

    What keeps one pair from being looked at is in its answer. Raises ControlUnavailable and KafkaSilent.
    """
    for pair in wanted:
        rows = [row for row in known_open(opener, pair) if _is_due(row)]
        if not rows:
            continue
        found = _pair(opener, pair, rows)
        note(f"{pair.table} in {pair.replica}: {found.ended} of {found.keys} keys are right")
        yield found


def _is_due(row: Row) -> bool:
    """Whether nobody else ends it: it is open, or whoever repaired it has said nothing for long, and may be no more."""
    if row["state"] in (State.repairing, State.repaired):
        return is_given_up(row)
    return bool(row["state"] == State.open)


def _pair(opener: Opener, pair: Pair, rows: Sequence[Row]) -> Recheck:
    keyed = {bytes(row["key_bytes"]): row for row in rows if row["key_bytes"] is not None and not row["key_hidden"]}
    left = len(rows) - len(keyed)
    if not keyed:
        return Recheck(pair.table, pair.replica, 0, 0, 0, 0, left)
    try:
        report = _look(opener, pair, list(keyed))
    except KafkaSilent:
        raise
    except HoldtrueError as error:
        return Recheck(pair.table, pair.replica, len(keyed), 0, 0, len(keyed), left, str(error))
    right = proven(list(keyed), report)
    _tell(opener, pair, report, [keyed[key] for key in right])
    undecided = len(keyed) - len(right) - len(report.drift)
    return Recheck(
        pair.table, pair.replica, len(keyed), len(right), len(report.drift), undecided, left, report.reason or None
    )


def _look(opener: Opener, pair: Pair, keys: list[bytes]) -> Report:
    with opener.target(pair) as target:
        before = target.drift_ends()
        report = validate_keys(target, keys)
    report.drift_before = before
    return report


def _tell(opener: Opener, pair: Pair, report: Report, right: Sequence[Row]) -> None:
    for drifted in report.drift:
        send_event(opener, "drift", drift_event(opener, pair, drifted, State.open, run=report.run))
    for row in right:
        end: dict[str, Any] = {**ended_by(report, row), "reason": RIGHT_AGAIN}
        state = State.superseded if row["state"] == State.open else State.resolved
        send_event(opener, "drift", step_of({**row, **pair._asdict()}, state, datetime.now(UTC), **end))
    opener.writer.flush()
