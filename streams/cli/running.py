"""Who of a plan's processes runs, as Kafka's groups tell it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from streams.cli.workers import CONTROL
from streams.errors import HoldtrueError, NotReady

if TYPE_CHECKING:
    from streams.control.database import Database
    from streams.control.offsets import Place
    from streams.plan.model import Plan

# How long control is waited for; it takes in some thousands of records a second.
INTAKE_SECONDS: Final = 30.0


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
        return _unknown(error)
    return NotReady(
        "Control does not run: what is verified, in drift and held is as it left it.",
        "Start it: holdtrue worker --control",
    )


def _unknown(error: HoldtrueError) -> NotReady:
    return NotReady(f"Whether control runs is not known: what was found since may be missing. {error.what}", error.hint)


def behind(plan: Plan, database: Database, note: Callable[[str], None]) -> NotReady | None:
    """Wait until control has taken in the drift that Kafka holds by now; what is to be said where it has not."""
    from streams.control.intake import left, waited
    from streams.control.materialise import progress
    from streams.kafka.admin import KafkaUnavailable

    if (away := without_control(plan)) is not None:
        return away  # nobody would take anything in
    try:
        held = _drift_held(plan)
    except KafkaUnavailable as error:
        return _unknown(error)
    many = waited(
        lambda: left(held, progress(database)),
        INTAKE_SECONDS,
        lambda now: note(f"waits for control to take in {now} records of drift, up to {INTAKE_SECONDS:.0f} s"),
    )
    return _missing(many) if many else None


def _missing(many: int) -> NotReady:
    return NotReady(
        f"Control has not taken in {many} records of drift within {INTAKE_SECONDS:.0f} s: "
        "what was found since is missing.",
        "See the log of holdtrue worker --control; try again once it has taken them in.",
    )


def _drift_held(plan: Plan) -> dict[Place, tuple[int, int]]:
    """Where the partitions of the drift topic begin and end at this moment."""
    from streams.control.offsets import Offsets
    from streams.kafka.registry import Registry
    from streams.kafka.topics import DRIFT_PARTITIONS

    offsets = Offsets(plan.kafka.bootstrap.resolve(), Registry(plan.kafka.registry.resolve(), tries=1))
    try:
        return offsets.held([(plan.own_topic("drift"), number) for number in range(DRIFT_PARTITIONS)])
    finally:
        offsets.close()
