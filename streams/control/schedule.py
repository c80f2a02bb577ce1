"""Which validations are due: the plan says how often, the control database says when each was last done. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from streams.plan.model import Plan


class Due(NamedTuple):
    """One run to make now."""

    replica: str
    table: str
    depth: str


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
