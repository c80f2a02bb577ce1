"""One validation run of one table × replica, as the signal at its end tells of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from streams.errors import HoldtrueError

# The signal others wait for: every key was checked and is right. A run that ends otherwise says only that it ended.
VALIDATED: Final = "consistency-validated"
FINISHED: Final = "run-finished"
TYPES: Final = frozenset({VALIDATED, FINISHED})
OUTCOMES: Final = frozenset({"correct", "drifted", "incomplete"})
_POSITION: Final = re.compile(r"^[0-9A-F]{1,8}/[0-9A-F]{1,8}$")


class NotARun(HoldtrueError):
    """A signal that claims to be the end of a run and lacks what a run has."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of `validate` (interface document), and what control keeps beside them. Times are UTC.

    scope: what was checked, such as `table`. verified_through: position X/Y the mark moved to, reached at
    `verified_through_at`; None where coverage did not allow it to move. error: why a run was incomplete. Counts are
    None where nothing was counted. who: asked for it. plan_hash: of the plan's file, with the owner and approver it
    named; None where the run did not say.
    """

    run: str
    table: str
    replica: str
    depth: str
    outcome: str
    started: datetime
    finished: datetime
    seconds: float
    scope: str = "table"
    sot_rows: int | None = None
    replica_rows: int | None = None
    verified: int | None = None
    absent: int | None = None
    superseded: int | None = None
    skipped: int | None = None
    failed: int | None = None
    drift_found: int | None = None
    fence_lsn: str | None = None
    verified_through: str | None = None
    verified_through_at: datetime | None = None
    error: str | None = None
    who: str | None = None
    plan_hash: str | None = None
    owner: str | None = None
    approver: str | None = None


def run_of(signal: Mapping[str, Any]) -> Run:
    """The run a signal tells of: its `detail` holds the fields of `validate` as text. Raises NotARun."""
    detail: Mapping[str, str] = signal["detail"]
    # `verified_through` is a position with the time it was reached: `X/Y at 2026-05-01T12:00:00+00:00`.
    through, _, reached = detail.get("verified_through", "").partition(" at ")
    fields = {
        **detail,
        "fence_lsn": detail.get("fence_lsn") or None,
        "verified_through": through or None,
        "verified_through_at": reached or None,
        "error": detail.get("reason"),
        "finished": signal["at"],
        "started": signal["at"],
        **{name: signal[name] for name in ("run", "table", "replica")},
    }
    try:
        run = msgspec.convert(fields, Run, strict=False)
    except msgspec.ValidationError as error:
        raise NotARun(f"The signal {signal['id']} is no run: {error}.", "Something else writes to the topic.") from None
    positions = (run.fence_lsn, run.verified_through)
    if run.outcome not in OUTCOMES or not all(p is None or _POSITION.match(p) for p in positions):
        raise NotARun(f"The signal {signal['id']} has no known outcome or position.", "Upgrade control.")
    return msgspec.structs.replace(run, started=run.finished - timedelta(seconds=run.seconds))


def now() -> datetime:
    """The present moment, in the form all records use."""
    return datetime.now(UTC)
