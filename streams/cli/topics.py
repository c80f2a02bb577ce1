"""`holdtrue topics`: every topic of the plan, created or verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from streams.cli.context import context

if TYPE_CHECKING:
    from streams.kafka.admin import Verdict

COLUMNS: Final = ("topic", "role", "partitions", "cleanup_policy", "retention_ms", "state")
Alter = Annotated[
    bool, typer.Option("--alter", help="Also bring settings of existing topics into line; never partitions.")
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="The Kafka topics of the plan.", no_args_is_help=True)
    # A callback keeps `apply` a word of its own while it is the only verb of the group.
    group.callback()(_group)
    group.command("apply")(apply)
    app.add_typer(group, name="topics")


def _group() -> None:
    """The Kafka topics of the plan."""


def apply(ctx: typer.Context, alter: Alter = False) -> None:
    """Create every missing topic and verify the others. Exit 1 when one is not what the plan needs."""
    from streams.kafka.admin import Topics, refuse_differences
    from streams.kafka.belonging import refuse_another_plans
    from streams.kafka.topics import topics_of
    from streams.plan.check import load_plan

    call = context(ctx)
    plan = load_plan(call.plan_path)
    refuse_another_plans(plan)
    verdicts = Topics(plan.kafka.bootstrap.resolve()).apply(topics_of(plan), alter=alter)
    call.out.rows("topics", [_row(verdict) for verdict in verdicts], COLUMNS)
    refuse_differences(verdicts)


def _row(verdict: Verdict) -> dict[str, Any]:
    topic = verdict.topic
    return {
        "topic": topic.name,
        "role": topic.role,
        "partitions": topic.partitions,
        "replication": topic.replication,
        "cleanup_policy": topic.config["cleanup.policy"],
        "retention_ms": topic.config.get("retention.ms"),
        "state": verdict.state,
        "findings": [str(finding) for finding in verdict.findings],
    }
