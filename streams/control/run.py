"""One validation run of one table × replica, and how it travels: as a signal that control remembers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import msgspec

from streams.errors import HoldtrueError

# The signal others wait for: every key was checked and is right. A run that ends otherwise says only that it ended.
VALIDATED: Final = "consistency-validated"
ENDED: Final = "run-ended"
TYPES: Final = frozenset({VALIDATED, ENDED})
OUTCOMES: Final = frozenset({"correct", "drifted", "incomplete"})
_POSITION: Final = re.compile(r"^[0-9A-F]{1,8}/[0-9A-F]{1,8}$")


class NotARun(HoldtrueError):
    """A signal that claims to be the end of a run and lacks what a run has."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of `validate` (interface document), and what control keeps beside them. Times are UTC.

    scope: what was checked, such as `table` or `bounds aid 1..1000`. verified_through: position X/Y the mark moved to,
    reached at `verified_through_at`; None where coverage did not allow it to move. error: why a run was incomplete.
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
    verified: int = 0
    superseded: int = 0
    skipped: int = 0
    failed: int = 0
    drift_found: int = 0
    fence_lsn: str | None = None
    verified_through: str | None = None
    verified_through_at: datetime | None = None
    error: str | None = None

    def signal(self) -> dict[str, Any]:
        """The record for the signals topic (schemas/signal.avsc)."""
        fields = msgspec.to_builtins(self)
        detail = {name: str(value) for name, value in fields.items() if value is not None and name not in _OUTSIDE}
        return {
            "id": str(uuid4()),
            "type": VALIDATED if self.outcome == "correct" else ENDED,
            "replica": self.replica,
            "table": self.table,
            "position": self.verified_through,
            "run": self.run,
            "detail": detail,
            "at": self.finished,
        }


_OUTSIDE: Final = frozenset({"run", "table", "replica", "verified_through"})


def run_of(signal: Mapping[str, Any]) -> Run:
    """The run a signal tells of. Raises NotARun."""
    fields = {**signal["detail"], "verified_through": signal["position"]}
    fields |= {"run": signal["run"], "table": signal["table"], "replica": signal["replica"]}
    try:
        run = msgspec.convert(fields, Run, strict=False)
    except msgspec.ValidationError as error:
        raise NotARun(f"The signal {signal['id']} is no run: {error}.", "Something else writes to the topic.") from None
    positions = (run.fence_lsn, run.verified_through)
    if run.outcome not in OUTCOMES or not all(p is None or _POSITION.match(p) for p in positions):
        raise NotARun(f"The signal {signal['id']} has no known outcome or position.", "Upgrade control.")
    return run


def now() -> datetime:
    """The present moment, in the form all records use."""
    return datetime.now(UTC)
