"""`holdtrue audit`: the trail, and the proof that it is whole."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final

import typer

from streams.cli.context import context
from streams.cli.output import LIMIT_MAX
from streams.errors import NotReady

COLUMNS: Final = ("sequence", "at", "who", "what", "object", "why")
FLAWS: Final = ("wrong", "where", "sequence", "sentence")


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="The append-only trail of what was done and found.", no_args_is_help=True)
    group.command("list")(list_)
    group.command("verify")(verify)
    app.add_typer(group, name="audit")


def list_(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option("--limit", min=1, max=LIMIT_MAX, help="The newest so many.")] = 100,
) -> None:
    """List the newest entries, oldest of them first."""
    from streams.control.view import opened_with_schema, plain
    from streams.plan.check import load_plan

    call = context(ctx)
    with opened_with_schema(load_plan(call.plan_path)) as database:
        rows = database.rows("audit_newest", {"limit": limit})
    call.out.rows("entries", plain(rows[::-1]), COLUMNS)


def verify(ctx: typer.Context) -> None:
    """Recompute the chain of hashes and compare it with the audit topic. Exit 3 when anything is wrong."""
    from streams.control import trail
    from streams.control.audit import verify as verified
    from streams.control.topic import AuditTopic
    from streams.control.view import opened_with_schema
    from streams.kafka.registry import Registry
    from streams.plan.check import load_plan

    call = context(ctx)
    plan = load_plan(call.plan_path)
    topic = AuditTopic(plan, Registry(plan.kafka.registry.resolve()))
    with opened_with_schema(plan) as database:
        # First, so that what the mark covers is on the topic.
        published = trail.published_through(database)
        done = verified(partial(trail.read, database), topic.entries(), published)
    found: list[dict[str, Any]] = [flaw._asdict() for flaw in done.flaws]
    found += [
        {"wrong": "foreign", "where": place, "sequence": None, "sentence": "a record that control did not write"}
        for place in topic.unreadable
    ]
    wrong = done.wrong + len(topic.unreadable)
    counts: dict[str, Any] = {"entries": done.entries, "published": published, "whole": not wrong}
    call.out.rows("flaws", found, FLAWS, **counts)
    if wrong:
        raise NotReady(f"The audit trail is not whole: {wrong} flaws.", "See docs/operations.md, Audit trail.")
    call.out.note(f"{done.entries} entries, whole, and the same on the topic")
