"""The steps a batch goes through, by name, so that logs, metrics and fault tests speak of the same moments.

`HOLDTRUE_CRASH_AT=store-written:3` makes the worker kill itself (SIGKILL: no handler, no flush) the third time it
reaches that step. It exists for the crash tests, is off unless the variable is set, and says so when it is on.
"""

from __future__ import annotations

import logging
import os
import signal
from collections import Counter
from enum import StrEnum
from functools import cache

from streams.errors import UsageError

log = logging.getLogger(__name__)


class Step(StrEnum):
    """Moments of a worker's life, in the order they are passed for one batch."""

    batch_received = "batch-received"
    batch_decoded = "batch-decoded"
    sot_asked = "sot-asked"
    store_about_to_write = "store-about-to-write"
    store_written = "store-written"
    changelog_acknowledged = "changelog-acknowledged"
    state_written = "state-written"
    offset_committed = "offset-committed"
    check_received = "check-received"
    rows_stamped = "rows-stamped"
    check_answered = "check-answered"
    repair_received = "repair-received"
    repair_written = "repair-written"
    repair_recorded = "repair-recorded"
    recovery_batch = "recovery-batch"
    truncate_fenced = "truncate-fenced"
    sweep_ordered = "sweep-ordered"
    rows_swept = "rows-swept"
    loss_recorded = "loss-recorded"
    log_ordered = "log-ordered"
    partition_taken_over = "partition-taken-over"
    rows_rebuilt = "rows-rebuilt"
    rebuild_done = "rebuild-done"
    keys_scrubbed = "keys-scrubbed"
    drift_found = "drift-found"
    foreign_seen = "foreign-seen"
    foreign_told = "foreign-told"
    backfill_ordered = "backfill-ordered"
    rows_backfilled = "rows-backfilled"
    backfill_noted = "backfill-noted"
    backfill_done = "backfill-done"
    # Of a validation.
    run_kept = "run-kept"
    run_told = "run-told"


class _Crash:
    def __init__(self, step: Step, count: int) -> None:
        self.step = step
        self.count = count


_reached: Counter[Step] = Counter()


@cache
def _crash() -> _Crash | None:
    order = os.environ.get("HOLDTRUE_CRASH_AT", "")
    if not order:
        return None
    name, _, count = order.partition(":")
    if name not in set(Step) or not (count or "1").isdigit():
        raise UsageError(f"HOLDTRUE_CRASH_AT={order} names no step.", f"Use one of {', '.join(Step)}, then :COUNT.")
    log.warning("this worker will kill itself at step %s (HOLDTRUE_CRASH_AT)", order)
    return _Crash(Step(name), int(count or "1"))


def expect_crash() -> None:
    """Look at HOLDTRUE_CRASH_AT before anything else is done. Raises UsageError where it names no step."""
    _crash()


def reached(step: Step) -> None:
    """Note that the worker is at `step`."""
    crash = _crash()
    if crash is None or crash.step is not step:
        return
    _reached[step] += 1
    if _reached[step] >= crash.count:
        os.kill(os.getpid(), signal.SIGKILL)
