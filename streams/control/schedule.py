"""Which validations are due: the plan says how often, the control database says when each was last done. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from streams.plan.model import Plan


class Due(NamedTuple):
    """One run to make now."""

    replica: str
    table: str
    depth: str


def due(
    plan: Plan, finished: Mapping[tuple[str, str, str], datetime], started: datetime, now: datetime
) -> Iterator[Due]:
    """Runs whose last one (by replica, table, depth) is longer ago than the plan's `validation.every`.

    started: when control began to keep the schedule; a run that was never made is due one period after it.
    """
    for replica, declared in plan.replicas.items():
        for table, mapping in declared.tables.items():
            every = mapping.validation.every
            for depth in mapping.validation.depths:
                if now - finished.get((replica, table, depth), started) >= every:
                    yield Due(replica, table, depth)
