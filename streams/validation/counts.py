"""The `counts` depth: rows in the SOT, in the version table, in the replica, compared under load.

Counts are taken at different moments. Owners tell how many rows came and went meanwhile, which bounds how far the
counts may honestly be apart; a run whose bounds never close says so instead of guessing.
"""

from __future__ import annotations

from streams.checks.request import Depth, request
from streams.errors import NotReady
from streams.validation.report import Report
from streams.validation.target import Target

TRIES_MAX = 3


def counts(target: Target, report: Report) -> None:
    """Fill the report; at most TRIES_MAX times, until no row came or went while counting."""
    for number in range(1, TRIES_MAX + 1):
        report.fence_lsn = target.fence.passed(target.deadline())
        before, turned_before = _owners(target, report, number * 2 - 1)
        target.sleep(target.others_lag_seconds)  # what has come or gone before is there or away by now
        report.sot_rows = sot = target.sot.count()
        report.replica_rows = replica = target.store.count()
        target.sleep(target.others_lag_seconds)
        report.fence_lsn = target.fence.passed(target.deadline())
        after, turned_after = _owners(target, report, number * 2)
        slack = turned_after - turned_before
        if slack < 0:
            continue  # an owner has begun anew, under an earlier clock: how much came and went before is not known
        if _differ(sot, before, after, slack) or _differ(replica, before, after, slack, fewer=target.absent_allowed):
            report.count_differs = max(abs(sot - after), abs(replica - after))
            return
        if slack == 0 and before == after:
            report.verified, report.absent = replica, after - replica
            return
    report.end_early(f"rows came and went during all {TRIES_MAX} counts; use --depth checksums")


def _differ(rows: int, before: int, after: int, slack: int, *, fewer: bool = False) -> bool:
    """Whether there are more or fewer rows than what came and went can explain. fewer: fewer there may be."""
    low, high = min(before, after) - slack, max(before, after) + slack
    return rows > high or (rows < low and not fewer)


def _owners(target: Target, report: Report, number: int) -> tuple[int, int]:
    """(rows the replica must hold, rows that came or went so far), once every owner has passed the fence."""
    ends = target.ends()
    for partition in range(target.partitions):
        asked = request(
            report.run,
            target.replica,
            target.table,
            Depth.counts,
            between=(ends[partition], ends[partition]),
            round=number,
            fence=report.fence_lsn,
        )
        target.exchange.ask(partition, asked)
    target.exchange.flush()
    rows: dict[int, tuple[int, int]] = {}
    for answer in target.exchange.answers(report.run, target.silence_seconds, target.on_silence):
        if answer["round"] == number:
            if answer["incomplete"]:
                raise NotReady(answer["incomplete"])
            rows[answer["partition"]] = (answer["entry_rows"], answer["turnover"])
        if len(rows) == target.partitions:
            return sum(r for r, _ in rows.values()), sum(t for _, t in rows.values())
    raise NotReady(
        f"Only {len(rows)} of {target.partitions} partitions of {target.table} were counted in {target.replica}.",
        f"Is `holdtrue worker --replica {target.replica}` running, and keeping up?",
    )
