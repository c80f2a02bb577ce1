"""`holdtrue drift`: what is not as the plan says, from the control database; and the drift topic as it goes."""

from __future__ import annotations

import getpass
import json
import signal
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer

from streams.cli.context import Context, context
from streams.cli.decide import accept, close
from streams.cli.output import LIMIT_MAX, Format
from streams.errors import UsageError

COLUMNS: Final = ("id", "table", "replica", "key", "keys", "kind", "cause", "state", "first_seen", "times_seen")
HISTORY: Final = ("at", "before", "state", "verdict", "life", "run", "repair", "reason", "ordered_by", "said_by")
WATCHED: Final = ("at", "state", "kind", "replica", "table", "key", "cause", "id")
RECHECKED: Final = ("table", "replica", "keys", "ended", "wrong", "undecided", "left", "reason")
ANY_OPEN: Final = "open-all"


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Keys, tables and schemas that are not what the plan says.", no_args_is_help=True)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("watch")(watch)
    group.command("recheck")(recheck)
    group.command("accept")(accept)
    group.command("close")(close)
    app.add_typer(group, name="drift")


def list_(
    ctx: typer.Context,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", help="Only this state; may be repeated. open-all: open, repairing and repaired."),
    ] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Only this kind, such as missing.")] = None,
    table: Annotated[str | None, typer.Option("--table", help="Only this table, schema.table.")] = None,
    replica: Annotated[str | None, typer.Option("--replica", help="Only this replica.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=LIMIT_MAX, help="At most so many, oldest first.")] = 1000,
) -> None:
    """List drift, oldest first. Exit 0 also when some is open: a list is an answer (see `status` for exit 3)."""
    from streams.control.view import drift_row, opened_with_schema
    from streams.drift.lifecycle import KINDS
    from streams.plan.check import load_plan, require_known

    call = context(ctx)
    plan = load_plan(call.plan_path)
    filters = {"states": _states(state), "kind": kind, "table": table, "replica": replica, "limit": limit}
    with opened_with_schema(plan) as database:
        rows = database.rows("list_drift", filters)
    if not rows:
        # Drift is remembered longer than a plan names a table: what is found is shown, whatever the plan has now.
        require_known(plan, table, replica)
        if kind not in (None, *KINDS):
            raise UsageError(f"There is no kind {kind}.", f"There are: {', '.join(KINDS)}.")
    call.out.rows("drift", [drift_row(row) for row in rows], COLUMNS)
    if len(rows) == limit:
        call.out.note(f"only the first {limit} are shown; see --limit")


def _states(asked: list[str] | None) -> list[str] | None:
    from streams.drift.lifecycle import OPEN, State

    if not asked:
        return None
    unknown = [word for word in asked if word not in {*State, ANY_OPEN}]
    if unknown:
        raise UsageError(f"There is no state {unknown[0]}.", f"There are: {', '.join(State)}, {ANY_OPEN}.")
    return [word for word in asked if word != ANY_OPEN] + ([*OPEN] if ANY_OPEN in asked else [])


def show(ctx: typer.Context, drift: Annotated[str, typer.Argument(metavar="ID", help="Id of the drift.")]) -> None:
    """Show one drift with its whole history."""
    from streams.control.view import drift_row, opened_with_schema, plain
    from streams.plan.check import load_plan

    call = context(ctx)
    with opened_with_schema(load_plan(call.plan_path)) as database:
        found = database.rows("show_drift", {"id": drift})
        history = plain(database.rows("drift_history", {"id": drift}))
    if not found:
        raise UsageError(f"There is no drift {drift}.", "holdtrue drift list shows the ids.")
    if call.out.fmt is Format.table:
        call.out.rows("drift", [{"field": name, "value": value} for name, value in drift_row(found[0]).items()],
                      ("field", "value"))  # fmt: skip
        call.out.rows("history", history, HISTORY)
    else:
        call.out.document({**drift_row(found[0]), "history": history})


def watch(
    ctx: typer.Context,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Also what the topic has already.")] = False,
    maximum: Annotated[int | None, typer.Option("--max", min=1, help="End after so many events.")] = None,
) -> None:
    """Follow the drift topic; one line per event (JSON with --format json). Ends with SIGINT or SIGTERM, exit 0."""
    from streams.control.topic import TopicReader
    from streams.kafka.registry import Registry
    from streams.plan.check import load_plan

    call = context(ctx)
    plan = load_plan(call.plan_path)
    for ending in (signal.SIGINT, signal.SIGTERM):
        # A shell starts what runs in the background with SIGINT ignored; whoever sends it still means it.
        signal.signal(ending, signal.default_int_handler)
    registry = Registry(plan.kafka.registry.resolve())
    reader = TopicReader(plan.kafka.bootstrap.resolve(), plan.own_topic("drift"), "drift", registry)
    try:
        _follow(call, reader.follow(from_beginning=from_beginning), maximum)
    except KeyboardInterrupt:
        call.out.note("ended")
    finally:
        reader.close()


def recheck(
    ctx: typer.Context,
    table: Annotated[str | None, typer.Option("--table", help="Only this table, schema.table.")] = None,
    replica: Annotated[str | None, typer.Option("--replica", help="Only this replica.")] = None,
) -> None:
    """Look again at the keys whose drift is open: what is right is over. Exit 3 when some is left.

    Control does the same every few minutes. A whole table's drift, and keys that the plan hides, need a full run.
    """
    from streams.plan.check import load_plan
    from streams.validation.open import Opener, pairs
    from streams.validation.recheck import recheck as look_again

    call = context(ctx)
    plan = load_plan(call.plan_path)
    wanted = pairs(plan, table, replica)
    opener = Opener(plan, call.out.note, getpass.getuser())
    try:
        found = list(look_again(opener, wanted, call.out.note))
    finally:
        opener.close()
    call.out.rows("rechecked", [asdict(each) for each in found], RECHECKED)
    if any(each.wrong or each.undecided or each.left for each in found):
        raise typer.Exit(3)


def _follow(call: Context, events: Iterator[dict[str, Any] | None], maximum: int | None) -> None:
    shown = 0
    for event in events:
        if event is None:
            continue
        call.out.text(_line(event, call.out.fmt))
        shown += 1
        if shown == maximum:
            return


def _line(event: dict[str, Any], fmt: Format) -> str:
    from streams.control.view import drift_row

    row = drift_row(event)
    if fmt is not Format.table:
        return json.dumps(row, default=str)
    return "  ".join(_word(row[name]) for name in WATCHED)


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}={text}" for name, text in value.items())
    return "-" if value is None else str(value)
