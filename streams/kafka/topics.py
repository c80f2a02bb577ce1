"""Every topic a plan needs, with its partitions and settings. Pure; `admin` creates and verifies them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, NamedTuple

from streams.connectors.render import RECORD_BYTES_MAX, milliseconds
from streams.plan.model import Plan

DRIFT_PARTITIONS: Final = 4
SPREAD_PARTITIONS: Final = 4
# A dead letter holds a whole record, headers and all, and says where it came from.
DEAD_LETTER_BYTES_MAX: Final = RECORD_BYTES_MAX + 1024 * 1024
# Resolved drift stays readable for a year; what is still open stays as long as it is open (compaction keeps the last).
DRIFT_RETENTION: Final = timedelta(days=365)
DEAD_LETTER_RETENTION: Final = timedelta(days=90)
FOREVER: Final = "-1"


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it must be. `config` holds only settings that are verified; the broker decides the others.

    role: changes, messages, heartbeat, checks, results, repairs, drift, dlq, signals, audit, changelog or leader.
    schema: name of the project's Avro schema of its values, or None where the values are not ours.
    """

    name: str
    partitions: int
    replication: int
    role: str
    config: Mapping[str, str] = field(default_factory=dict)
    schema: str | None = None


def message_topic(plan: Plan) -> str:
    """Where Debezium puts logical messages: the fences."""
    return f"{plan.kafka.prefix}.message"


def heartbeat_topic(plan: Plan) -> str:
    """Where Debezium puts its heartbeats."""
    return f"__debezium-heartbeat.{plan.kafka.prefix}"


def checks_topic(plan: Plan, replica: str, table: str) -> str:
    """Check requests for one table of one replica, co-partitioned with the table's changes."""
    return plan.own_topic(f"checks.{replica}.{table}")


def repairs_topic(plan: Plan, replica: str, table: str) -> str:
    """Repair requests for one table of one replica, co-partitioned with the table's changes."""
    return plan.own_topic(f"repairs.{replica}.{table}")


def changelog_topic(plan: Plan, replica: str, table: str) -> str:
    """Changelog of a version table, under the name Faust gives it."""
    return f"{plan.group(replica)}-{table}-changelog"


def leader_topic(plan: Plan, replica: str) -> str:
    """The topic by which the workers of a Faust app agree on a leader."""
    return f"{plan.group(replica)}-__assignor-__leader"


def topics_of(plan: Plan) -> list[Topic]:
    """Every topic of the plan: the connector's, our own, and those of each replica's Faust app."""
    own = [_own(plan, *spec) for spec in _OWN]
    return [
        *connectors_topics(plan),
        *own,
        *(topic for name in plan.replicas for topic in topics_of_replica(plan, name)),
    ]


def connectors_topics(plan: Plan) -> Iterator[Topic]:
    """What the connector writes to. One that is not there it would make itself, with partitions that nobody chose."""
    for table, source in plan.tables.items():
        yield _topic(plan, plan.change_topic(table), source.partitions, "changes", _delete(plan, plan.kafka.retention))
    # Rows of the signal table travel too: they open and close the windows of incremental snapshots.
    one = {"cleanup.policy": "delete", "retention.ms": str(milliseconds(plan.kafka.retention))}
    yield _topic(plan, plan.change_topic(plan.source.signal_table), 1, "messages", one)
    yield _topic(plan, message_topic(plan), 1, "messages", one)
    yield _topic(plan, heartbeat_topic(plan), 1, "heartbeat", one)


def _delete(plan: Plan, retention: timedelta) -> dict[str, str]:
    # Never compacted: a reader that was away needs every change or the knowledge that some are gone.
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(milliseconds(retention)),
        "max.message.bytes": str(RECORD_BYTES_MAX),
    }


# Keys may be long, and an answer names many.
_COMMON: Final = {"cleanup.policy": "delete", "max.message.bytes": str(RECORD_BYTES_MAX)}
# name after the prefix, partitions, role, schema, settings
_OWN: Final[tuple[tuple[str, int, str, str, dict[str, str]], ...]] = (
    ("checks.results", SPREAD_PARTITIONS, "results", "check-result", {"retention.ms": str(7 * 86_400_000)}),
    ("repairs.results", SPREAD_PARTITIONS, "results", "repair-result", {"retention.ms": str(7 * 86_400_000)}),
    (
        "drift",
        DRIFT_PARTITIONS,
        "drift",
        "drift",
        {"cleanup.policy": "compact,delete", "retention.ms": str(milliseconds(DRIFT_RETENTION))},
    ),
    (
        "dlq",
        SPREAD_PARTITIONS,
        "dlq",
        "dead-letter",
        {"retention.ms": str(milliseconds(DEAD_LETTER_RETENTION)), "max.message.bytes": str(DEAD_LETTER_BYTES_MAX)},
    ),
    ("signals", SPREAD_PARTITIONS, "signals", "signal", {"retention.ms": str(milliseconds(DEAD_LETTER_RETENTION))}),
    ("audit", 1, "audit", "audit-entry", {"retention.ms": FOREVER}),
)


class Setup(NamedTuple):
    """One of our own topics, whatever the plan: its name after the prefix, and how it is set up."""

    name: str
    partitions: int
    schema: str
    config: Mapping[str, str]


def own_setups() -> Iterator[Setup]:
    """Those of our own topics that do not depend on the plan's replicas."""
    for name, partitions, _, schema, config in _OWN:
        yield Setup(name, partitions, schema, {**_COMMON, **config})


def _own(plan: Plan, name: str, partitions: int, role: str, schema: str, config: Mapping[str, str]) -> Topic:
    return _topic(plan, plan.own_topic(name), partitions, role, {**_COMMON, **config}, schema)


def topics_of_replica(plan: Plan, replica: str) -> Iterator[Topic]:
    """Those of a replica's Faust app, which nobody else uses."""
    for table in plan.replicas[replica].tables:
        partitions = plan.tables[table].partitions
        days = _delete(plan, plan.kafka.retention)
        yield _topic(plan, checks_topic(plan, replica, table), partitions, "checks", days, "check-request")
        yield _topic(plan, repairs_topic(plan, replica, table), partitions, "repairs", days, "repair-request")
        compact = {"cleanup.policy": "compact"}
        yield _topic(plan, changelog_topic(plan, replica, table), partitions, "changelog", compact)
    yield _topic(plan, leader_topic(plan, replica), 1, "leader", {"cleanup.policy": "delete"})


def _topic(
    plan: Plan, name: str, partitions: int, role: str, config: Mapping[str, str], schema: str | None = None
) -> Topic:
    # With acks=all one broker may be away and nothing acknowledged is lost, from three copies up.
    safe = {"min.insync.replicas": str(max(1, plan.kafka.replication - 1))}
    return Topic(name, partitions, plan.kafka.replication, role, {**config, **safe}, schema)
