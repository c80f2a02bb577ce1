"""Several runs one after the other; what they found is published when each ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streams.errors import HoldtrueError, UsageError
from streams.kafka.groups import KafkaSilent
from streams.plan.mapping import MappingError
from streams.validation.depth import RunDepth
from streams.validation.open import Opener, Pair
from streams.validation.publish import publish_report
from streams.validation.report import Report
from streams.validation.run import not_begun, validate
from streams.validation.sample import BY_PLAN, Sampling


def run_all(
    opener: Opener,
    wanted: Sequence[Pair],
    depth: RunDepth,
    note: Callable[[str], None],
    sampling: Sampling = BY_PLAN,
) -> list[Report]:
    """One report per pair. Drift found and the run itself are on their topics when this returns.

    What keeps one pair from being looked at is in its report; the others are looked at all the same. But where Kafka is
    away as a run begins, none of those that are left is begun, or recorded: it would be waited for in each anew.
    """
    reports: list[Report] = []
    try:
        for pair in wanted:
            report = _run(opener, pair, depth, sampling)
            publish_report(opener, pair, report)
            note(f"{pair.table} in {pair.replica}: {report.sentence}")
            reports.append(report)
    except KafkaSilent as error:
        left = wanted[len(reports) :]
        note(f"{len(left)} runs could not begin, and are not recorded: {error}")
        reports += [not_begun(*pair, depth, error) for pair in left]
    return reports


def _run(opener: Opener, pair: Pair, depth: RunDepth, sampling: Sampling) -> Report:
    try:
        with opener.target(pair) as target:
            return validate(target, depth, sampling)
    except MappingError as error:
        return not_begun(*pair, depth, error)  # of this table alone
    except (UsageError, KafkaSilent):
        raise  # the plan or the command is wrong, which no look would change; or there is no way to anybody
    except HoldtrueError as error:
        return not_begun(*pair, depth, error)
