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
    """What is to be said where control does not run, or Kafka does not tell whether it does; None where it does."""
    from streams.kafka.admin import KafkaUnavailable

    try:
        if runs(plan, CONTROL):
            return None
    except KafkaUnavailable as error:
        return NotReady(
            f"Whether control runs is not known: what was found since may be missing. {error.what}", error.hint
        )
    return NotReady(
        "Control does not run: what is verified, in drift and held is as it left it.",
        "Start it: holdtrue worker --control",
    )
