"""Which layers of continuous checking are on, from the plan and from what really runs (decision 17)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streams.errors import HoldtrueError

if TYPE_CHECKING:
    from streams.plan.model import Plan
    from streams.plan.policy import Validation

LAYERS: Final = ("just_written", "scrub", "reverse_sweep")
REPLICA_LOG: Final = "replica_log"
UNFOLLOWED: Final = "nobody follows the replica's own log (validation.replica_log): see the log of its workers"


def checks_on(validation: Validation, *, working: bool, followed: bool) -> list[str]:
    """The layers that are on for a table; none where no worker runs, or the plan has none.

    working: a worker of the replica runs. followed: somebody reads the replica's own log at this moment.
    """
    if not working or validation.scrub_period is None:
        return []
    return [*LAYERS, REPLICA_LOG] if validation.replica_log and followed else [*LAYERS]


def is_followed(plan: Plan, name: str) -> bool:
    """Whether somebody reads the replica's own log, as the replica says; False also where it cannot be asked."""
    from streams.replicas.open import log_place

    if not any(mapping.validation.replica_log for mapping in plan.replicas[name].tables.values()):
        return False
    try:
        place = log_place(plan, name)
        return place is not None and place.is_read()
    except HoldtrueError:
        return False
