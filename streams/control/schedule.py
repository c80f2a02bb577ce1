"""Which validations are due: the plan says how often, the control database says when each was last done. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, NamedTuple

from streams.plan.model import Plan, TableMapping


class Due(NamedTuple):
    """One run to make now."""

    replica: str
    table: str
    depth: str


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


def due(
    plan: Plan,
    finished: Mapping[tuple[str, str, str], datetime],
    started: datetime,
    now: datetime,
    lost: Mapping[str, datetime] = MappingProxyType({}),
) -> Iterator[Due]:
    """Runs whose last one (by replica, table, depth) is longer ago than the plan's `validation.every`.

    started: when control began to keep the schedule; a run that was never made is due one period after it. lost: when a
    replica's store last may have lost writes; what was found before says nothing then, and a run is due at once.
    """
    for replica, declared in plan.replicas.items():
        for table, mapping in declared.tables.items():
            every = mapping.validation.every
            for depth in mapping.validation.depths:
                last = finished.get((replica, table, depth), started)
                if now - last >= every or last < lost.get(replica, last):
                    yield Due(replica, table, depth)
