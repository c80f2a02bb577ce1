"""Who of a plan's processes runs, as Kafka's groups tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.cli.workers import CONTROL
from streams.errors import NotReady

if TYPE_CHECKING:
    from streams.plan.model import Plan


def runs(plan: Plan, name: str) -> bool:
    """Whether a worker of this replica, or control, is there; one that was killed is for the length of its session."""
    from streams.kafka.groups import has_members

    return has_members(plan.kafka.bootstrap.resolve(), plan.group(name), within_seconds=0)


def without_control(plan: Plan) -> NotReady | None:
    """What is to be said where control does not run; None where it does."""
    if runs(plan, CONTROL):
        return None
    return NotReady(
        "Control does not run: what is verified, in drift and held is as it left it.",
        "Start it: holdtrue worker --control",
    )
