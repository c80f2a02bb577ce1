"""Several runs one after the other; what they found is published when each ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streams.checks.request import Depth
from streams.validation.open import Opener, Pair
from streams.validation.publish import publish_report
from streams.validation.report import Report
from streams.validation.run import validate


def run_all(opener: Opener, wanted: Sequence[Pair], depth: Depth, note: Callable[[str], None]) -> list[Report]:
    """One report per pair. Drift found and the run itself are on their topics when this returns."""
    reports = []
    for pair in wanted:
        with opener.target(pair) as target:
            report = validate(target, depth)
        publish_report(opener, pair, report)
        note(f"{pair.table} in {pair.replica}: {report.outcome}{': ' + report.reason if report.reason else ''}")
        reports.append(report)
    return reports
