"""The kinds of event of a history, by name: each has a weight and says in words what it did.

It says "" when there was nothing it could do just then. Their order is the order in which they are registered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.world import World

Happening = Callable[["World", Random], str]


@dataclass(frozen=True)
class Kind:
    """One kind of event."""

    happen: Happening
    weight: float
    fault: bool


EVENTS: dict[str, Kind] = {}

TRUNCATE = "truncate"
# What begins numbers anew: positions, transaction ids, offsets.
BREAKS = ("restore", "topic made anew")
# What takes the beginning of the change topic, and all that is known of it.
LOSSES = ("retention", "all is lost")
# What has every row of a range looked up.
BACKFILLS = ("backfill",)
# What has the table wait, and go on.
HOLDS = ("release", "hold")
# What else befalls a replica that somebody else writes (`mode: verify`), and what readers do to a cache (`invalidate`).
OF_OTHERS = {
    "verify": ("writer loses", "writer changes", "writer is late", "writer invents"),
    "invalidate": ("fill", "guarded fill", "expiry", "slow fill"),
}


def event(name: str, weight: float, *, fault: bool = False) -> Callable[[Happening], Happening]:
    """Register a kind of event."""

    def register(happen: Happening) -> Happening:
        EVENTS[name] = Kind(happen, weight, fault)
        return happen

    return register


def weights(
    *, truncates: bool, breaks: bool, losses: bool, holds: bool, backfills: bool, mode: str
) -> dict[str, tuple[float, bool]]:
    """What a history is made from."""
    rare = (
        *((mode == each, names) for each, names in OF_OTHERS.items()),
        (truncates, (TRUNCATE,)),
        (breaks, BREAKS),
        (losses, LOSSES),
        (holds, HOLDS),
        (backfills, BACKFILLS),
    )
    left_out = {name for there, names in rare if not there for name in names}
    return {name: (kind.weight, kind.fault) for name, kind in EVENTS.items() if name not in left_out}
