"""Several runs one after the other; what they found is published when each ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

from streams.errors import HoldtrueError, UsageError
from streams.kafka.groups import KafkaSilent
from streams.kafka.topics import DRIFT_PARTITIONS
from streams.plan.mapping import MappingError
from streams.steps import Step, reached
from streams.validation.depth import OF_EVERY_KEY, RunDepth
from streams.validation.kept import ANEW, GONE_ON_WITHIN, Kept, RunFile
from streams.validation.open import Opener, Pair, check_channel
from streams.validation.publish import publish_report
from streams.validation.report import Report
from streams.validation.run import go_on, not_begun, validate
from streams.validation.sample import BY_PLAN, Sampling
from streams.validation.target import Target


def run_all(
    opener: Opener,
    wanted: Sequence[Pair],
    depth: RunDepth,
    note: Callable[[str], None],
    sampling: Sampling = BY_PLAN,
    *,
    keeping: bool = False,
    from_begin: bool = False,
) -> list[Report]:
    """One report per pair. Drift found and the run itself are on their topics when this returns.

    keeping: a run that is killed can be gone on with, one of every key that has decided something; from_begin: or any,
    from its first moment on. What keeps one pair from being looked at is in its report; the others are looked at all
    the same. But where Kafka is away as a run begins, none of those that are left is begun, or recorded: it would be
    waited for in each anew.
    """
    reports: list[Report] = []
    try:
        for pair in wanted:
            file = RunFile(opener.plan, opener.by) if keeping and (from_begin or depth in OF_EVERY_KEY) else None
            report = _run(opener, pair, depth, sampling, file, note, from_begin=from_begin)
            publish_report(opener, pair, report)
            reached(Step.run_told)
            if file is not None:
                file.forget()
            note(f"{pair.table} in {pair.replica}: {report.sentence}")
            reports.append(report)
    except KafkaSilent as error:
        left = wanted[len(reports) :]
        note(f"{len(left)} runs could not begin, and are not recorded: {error}")
        reports += [not_begun(*pair, depth, error) for pair in left]
    return reports


def resume(opener: Opener, run: str, note: Callable[[str], None]) -> Report:
    """Go on with an interrupted run; as of run_all. What it has told before is not told again.

    Raises UsageError for one that cannot be gone on with, and what keeps it from being begun: it stays interrupted.
    """
    from streams.validation.told import told_by

    file = RunFile(opener.plan)
    try:
        kept = file.take(run)
        pair = Pair(kept.report.replica, kept.report.table)
        with opener.target(pair) as target:
            if kept.mapping != target.digester.version:
                raise UsageError(f"The columns of {pair.table} have changed since {run} began.", ANEW)
            target.keep = _keeping(file, target, note)
            if not kept.report.after:
                note(f"nothing of {run} was decided when it was interrupted: it begins anew, under its name")
            report = go_on(target, kept.report)
            before = told_by(opener, report, target.drift_ends())
        publish_report(opener, pair, report, before)
        reached(Step.run_told)
        file.forget()
    finally:
        file.close()
    note(f"{pair.table} in {pair.replica}: {report.sentence}")
    return report


def end(opener: Opener, run: str, note: Callable[[str], None]) -> Report:
    """Have an interrupted run over: `incomplete`, or `drifted` with what it had found; told when this returns.

    What it had found is told only where that still says something: of this plan, these columns, and not of long ago.
    Raises UsageError where nothing is kept of it, NotReady while it runs.
    """
    from streams.validation.told import told_by

    file = RunFile(opener.plan)
    try:
        if (kept := file.last(run)) is None:
            file.forget()
            raise UsageError(f"What was kept of {run} could not be read, and is deleted.", "Nothing is told of it.")
        pair, report = Pair(kept.report.replica, kept.report.table), kept.report
        before: set[str] = set()
        if not _holds(opener, pair, kept):
            report = Report(
                run, pair.table, pair.replica, report.depth, report.sot_rows, sampled=report.sampled, began=report.began
            )
        elif report.drift:
            with closing(opener.exchange(check_channel(opener.plan, pair))) as exchange:
                before = told_by(opener, report, exchange.ends(opener.plan.own_topic("drift"), DRIFT_PARTITIONS))
        report.seconds = kept.age.total_seconds()
        report.end_early(f"interrupted {kept.report.part + 1} times, and not gone on with")
        publish_report(opener, pair, report, before)
        file.forget()
    finally:
        file.close()
    note(f"{pair.table} in {pair.replica}: {report.sentence}")
    return report


def _holds(opener: Opener, pair: Pair, kept: Kept) -> bool:
    """Whether what an interrupted run has found may be told."""
    if kept.plan != opener.plan.sha256 or kept.age > GONE_ON_WITHIN:
        return False
    return not kept.report.drift or kept.mapping == opener.shape(pair).mapping_version


def _keeping(file: RunFile, target: Target, note: Callable[[str], None]) -> Callable[[Report], None]:
    """Keeps a run in its file. Where that cannot be written the run goes on, and cannot be gone on with."""
    mapping, told = target.digester.version, set[str]()

    def say(text: str) -> None:
        if text not in told:
            note(text)
        told.add(text)

    def keep(report: Report) -> None:
        try:
            file.keep(report, mapping)
        except HoldtrueError as error:
            say(f"{error} Until then this run begins anew if it is interrupted.")
            return
        say(f"should this run be interrupted: holdtrue validate --resume {report.run}")
        reached(Step.run_kept)

    return keep


def _run(
    opener: Opener,
    pair: Pair,
    depth: RunDepth,
    sampling: Sampling,
    file: RunFile | None,
    note: Callable[[str], None],
    *,
    from_begin: bool,
) -> Report:
    try:
        with opener.target(pair) as target:
            if file is not None:
                target.keep = _keeping(file, target, note)
            if from_begin:
                target.begun = target.keep
            return validate(target, depth, sampling)
    except MappingError as error:
        return not_begun(*pair, depth, error)  # of this table alone
    except (UsageError, KafkaSilent):
        raise  # the plan or the command is wrong, which no look would change; or there is no way to anybody
    except HoldtrueError as error:
        return not_begun(*pair, depth, error)
