"""Several runs one after the other; what they found is published when each ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streams.checks.request import Depth
from streams.errors import HoldtrueError, UsageError
from streams.validation.open import Opener, Pair
from streams.validation.publish import publish_report
from streams.validation.report import Report
from streams.validation.run import not_begun, validate


def run_all(opener: Opener, wanted: Sequence[Pair], depth: Depth, note: Callable[[str], None]) -> list[Report]:
    """One report per pair. Drift found and the run itself are on their topics when this returns.

    What keeps one pair from being looked at is in its report; the others are looked at all the same.
    """
    reports = []
    for pair in wanted:
        report = _run(opener, pair, depth)
        publish_report(opener, pair, report)
        note(f"{pair.table} in {pair.replica}: {report.outcome}{': ' + report.reason if report.reason else ''}")
        reports.append(report)
    return reports


def _run(opener: Opener, pair: Pair, depth: Depth) -> Report:
    try:
        with opener.target(pair) as target:
            return validate(target, depth)
    except UsageError:
        raise  # the plan or the command is wrong, which no look would change
    except HoldtrueError as error:
        return not_begun(*pair, depth, error)
