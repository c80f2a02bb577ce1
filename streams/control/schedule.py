"""Which validations are due: the plan says how often, the control database says when each was last done. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple

from streams.plan.model import Plan, TableMapping


class Due(NamedTuple):
    """One run to make now."""

    replica: str
    table: str
    depth: str


class Unfinished(NamedTuple):
    """A run of control's that is not over, as its machine keeps it.

    resumed: how often it was gone on with. alive: its process still runs. plan_hash: of the plan it was begun under.
    """

    run: str
    due: Due
    started: datetime
    resumed: int
    alive: bool
    plan_hash: str


class Tried(NamedTuple):
    """How often this process has tried to go on with a run, or to end it, and when it did last."""

    times: int
    at: datetime


class Step(Enum):
    """What becomes of a run that is not over."""

    wait = "nothing now, and no other of its kind is begun"
    resume = "it is gone on with"
    end = "it is told as incomplete; the next one is due as ever"
    anew = "it is told as incomplete, and another one is made at once"


# How often a run is gone on with: one that is interrupted again and again may be what ends control.
RESUMED_MAX: Final = 5
# How long after a try that came to nothing there is another one.
AGAIN_AFTER: Final = timedelta(minutes=1)
# As long as `validate --resume` takes a run (streams.validation.kept).
RESUMED_WITHIN: Final = timedelta(days=1)


def step_of(found: Unfinished, plan_hash: str, tried: Tried | None, lost: datetime | None, now: datetime) -> Step:
    """What becomes of it.

    tried: None where this process has not gone on with it yet. lost: when its replica's store last may have lost
    writes.
    """
    if found.alive:
        return Step.wait  # a control that was killed has just ended, and its run ends with it
    if tried is not None and now - tried.at < AGAIN_AFTER:
        return Step.wait
    if (
        found.plan_hash != plan_hash
        or now - found.started > RESUMED_WITHIN
        or (lost is not None and lost > found.started)
    ):
        return Step.anew  # what it has looked at says nothing any more
    if found.resumed >= RESUMED_MAX or (tried is not None and tried.times >= RESUMED_MAX):
        return Step.end
    return Step.resume


# How long ago a check must have seen an open drift for it to be looked at again.
RECHECK_AFTER: Final = timedelta(minutes=5)


def rechecks(
    plan: Plan, open_since: Mapping[tuple[str, str], datetime], tried: Mapping[tuple[str, str], datetime], now: datetime
) -> Iterator[tuple[str, str]]:
    """Replica and table whose open drift is to be looked at again: nothing else may end what came right by itself.

    open_since: by replica and table, when the open drift of a key that was seen longest ago was seen. tried: the last
    look.
    """
    for place, seen in open_since.items():
        replica, table = place
        copied = replica in plan.replicas and table in plan.replicas[replica].tables
        if copied and now - max(seen, tried.get(place, seen)) >= RECHECK_AFTER:
            yield place


def is_mended(mapping: TableMapping, drift_found: int) -> bool:
    """Whether what a scheduled run has found is repaired without being asked: as the plan says, and no storm."""
    return bool(mapping.repair.automatic) and 0 < drift_found <= mapping.repair.stop_above


class Found(NamedTuple):
    """What control's newest run of a kind has found in drift. kinds: of what is open in its table since then."""

    run: str
    due: Due
    drift_found: int
    kinds: Collection[str]


def unmended(plan: Plan, found: Iterable[Found], followed: Collection[str]) -> Iterator[Found]:
    """Those after which there is something to repair without being asked, and whose control was ended before it had.

    followed: runs after which this process has done what is to be done.
    """
    for each in found:
        mapping = _mapping(plan, each.due)
        if mapping is None or each.run in followed or not is_mended(mapping, each.drift_found):
            continue
        if set(each.kinds).intersection(mapping.repair.automatic):
            yield each


def is_planned(plan: Plan, run: Due) -> bool:
    """Whether the plan has such runs made."""
    mapping = _mapping(plan, run)
    return mapping is not None and run.depth in mapping.validation.depths


def _mapping(plan: Plan, run: Due) -> TableMapping | None:
    declared = plan.replicas.get(run.replica)
    return None if declared is None else declared.tables.get(run.table)


def scheduled(plan: Plan) -> list[Due]:
    """All runs that the plan has made again and again."""
    return [
        Due(replica, table, depth)
        for replica, declared in plan.replicas.items()
        for table, mapping in declared.tables.items()
        for depth in mapping.validation.depths
    ]


def due(
    plan: Plan,
    finished: Mapping[tuple[str, str, str], datetime],
    since: Mapping[tuple[str, str, str], datetime],
    now: datetime,
    lost: Mapping[str, datetime] = MappingProxyType({}),
) -> Iterator[Due]:
    """Runs whose last one (by replica, table, depth) is longer ago than the plan's `validation.every`.

    since: when each was first wanted; one that was never made is due one period after it. lost: when a replica's store
    last may have lost writes; what was found before says nothing then, and a run is due at once.
    """
    for run in scheduled(plan):
        every = plan.replicas[run.replica].tables[run.table].validation.every
        last = finished.get(run, since.get(run, now))
        if now - last >= every or last < lost.get(run.replica, last):
            yield run
