"""`holdtrue dlq`: changes that could not be applied."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from streams.cli.context import context
from streams.cli.group import UNBUILT
from streams.cli.output import LIMIT_MAX
from streams.errors import UsageError

COLUMNS: Final = ("id", "table", "replica", "topic", "partition", "offset", "reason", "drift", "times", "at")


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Dead letters: changes that could not be applied.", no_args_is_help=True)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("replay", context_settings=UNBUILT)(replay)
    group.command("discard", context_settings=UNBUILT)(discard)
    app.add_typer(group, name="dlq")


def list_(
    ctx: typer.Context,
    table: Annotated[str | None, typer.Option("--table", help="Only this table, schema.table.")] = None,
    replica: Annotated[str | None, typer.Option("--replica", help="Only this replica.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Only this reason, such as undecodable.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=LIMIT_MAX, help="At most so many, oldest first.")] = 1000,
) -> None:
    """List dead letters, oldest first. Their bytes are on the dead-letter topic only."""
    from streams.control.view import opened_with_schema, plain
    from streams.drift.letter import REASONS
    from streams.plan.check import load_plan, require_known

    call = context(ctx)
    plan = load_plan(call.plan_path)
    filters = {"table": table, "replica": replica, "reason": reason, "limit": limit}
    with opened_with_schema(plan) as database:
        rows = database.rows("list_dead_letters", filters)
    if not rows:
        # As drift: a letter is remembered longer than a plan names its table.
        require_known(plan, table, replica)
        if reason not in (None, *REASONS):
            raise UsageError(f"There is no reason {reason}.", f"There are: {', '.join(REASONS)}.")
    call.out.rows("dead_letters", plain(rows), COLUMNS)
    if len(rows) == limit:
        call.out.note(f"only the first {limit} are shown; see --limit")


def show(
    ctx: typer.Context, letter: Annotated[str, typer.Argument(metavar="ID", help="Id of the dead letter.")]
) -> None:
    """Show one dead letter: where it came from, which row it is of, why it was given up, where its bytes are."""
    from streams.control.view import letter_row, opened_with_schema
    from streams.plan.check import load_plan

    call = context(ctx)
    plan = load_plan(call.plan_path)
    with opened_with_schema(plan) as database:
        rows = database.rows("show_dead_letter", {"id": letter})
    if not rows:
        raise UsageError(f"There is no dead letter {letter}.", "holdtrue dlq list shows the ids.")
    call.out.document(letter_row(plan.own_topic("dlq"), rows[0]))


def replay() -> None:
    """Not built yet: apply a dead letter again."""
    raise UsageError("dlq replay is not built yet.", "Until then, `repair` makes the key right from the SOT.")


def discard() -> None:
    """Not built yet: give up a dead letter, with a reason."""
    raise UsageError("dlq discard is not built yet.", "Until then it stays on the list.")
