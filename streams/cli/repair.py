"""`holdtrue repair`: a dry run into a file, and carrying that file out."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.backfill import backfill
from streams.cli.context import context
from streams.errors import UsageError

if TYPE_CHECKING:
    from streams.cli.output import Output
    from streams.validation.repairing import Outcome

_PLANNED = ("replica", "table", "shown", "kind", "cause", "effect")
_DONE = ("replica", "table", "ordered", "repaired", "resolved", "unchanged", "failed")
_LIMIT = 100_000
BEYOND = (
    "are in drift and not in the file: only their number is known (drift.flood_above). "
    "Repair what is in it, run holdtrue validate, and plan again"
)
# Failures that are told one by one.
_TOLD = 20


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Make drifted keys right, without stopping anything.", no_args_is_help=True)
    group.command("plan")(plan)
    group.command("apply")(apply)
    group.command("backfill")(backfill)
    app.add_typer(group, name="repair")


def plan(
    ctx: typer.Context,
    file: Annotated[Path, typer.Option("--file", "-o", help="Where the repair plan is written.")] = Path("repair.json"),
    table: Annotated[str | None, typer.Option("--table", help="Only this table.")] = None,
    replica: Annotated[str | None, typer.Option("--replica", help="Only this replica.")] = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", help="Only this kind of drift; may be repeated.")] = None,
) -> None:
    """Dry run: write what would be repaired into a file. Changes nothing.

    Waits until control has taken in what was found by now. Exit 3 where it does not, or does not run: what was found
    since is not in the file.
    """
    from streams.cli.running import behind
    from streams.control.view import opened_with_schema
    from streams.drift.flood import is_flood
    from streams.plan.check import load_plan, require_known
    from streams.repair.file import EFFECTS, planned
    from streams.validation.open import pairs

    here = context(ctx)
    loaded = load_plan(here.plan_path)
    require_known(loaded, table, replica)
    if unknown := set(kind or ()).difference(EFFECTS):
        raise UsageError(f"No key is repaired of the kind {', '.join(unknown)}.", f"There are: {', '.join(EFFECTS)}.")
    filters = {"states": ["open", "repairing"], "kind": None, "table": table, "replica": replica, "limit": _LIMIT}
    with opened_with_schema(loaded) as database:
        late = behind(loaded, database, here.out.note)
        rows = [row for row in database.rows("list_drift", filters) if not kind or row["kind"] in kind]
    there = set(pairs(loaded, None, None))
    copied = [row for row in rows if (row["replica"], row["table"]) in there]
    filled = {pair for pair in there if loaded.replicas[pair.replica].tables[pair.table].readers_fill}
    repairs = planned(loaded.name, copied, filled)
    repairs.write(file)
    here.out.rows("items", [asdict(item) for item in repairs.items], _PLANNED, file=str(file), hash=repairs.hash)
    if len(copied) < len(rows):
        here.out.note(f"{len(rows) - len(copied)} keys are left out: the plan does not copy their tables any more")
    if counted := sum(row["keys"] for row in copied if is_flood(row)):
        here.out.note(f"{counted} keys more {BEYOND}")
    here.out.note(f"{len(repairs.items)} keys; nothing was changed. To carry it out: holdtrue repair apply {file}")
    if late is not None:
        # The file may be good all the same; what was found since is not in it.
        raise late


def apply(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A file made by `repair plan`.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for the audit trail.")] = "",
    by: Annotated[str, typer.Option("--by", envvar="HOLDTRUE_BY", show_envvar=True, help="Who orders it.")] = "",
    above_threshold: Annotated[
        bool, typer.Option("--above-threshold", help="Go on although more keys are in drift than the plan allows.")
    ] = False,
) -> None:
    """Have the owners repair the file's keys and check them again. Exit 0 when all are right, 3 when not."""
    from streams.plan.check import load_plan
    from streams.repair.file import read
    from streams.validation.open import Opener
    from streams.validation.repairing import apply_plan

    here = context(ctx)
    loaded = load_plan(here.plan_path)
    repairs = read(file)
    opener = Opener(loaded, here.out.note)
    try:
        person = by or getpass.getuser()
        outcomes = list(apply_plan(opener, repairs, person, reason, above_threshold=above_threshold))
    except KeyboardInterrupt:
        here.out.note("not waited for: what was ordered by now is carried out by the workers all the same")
        here.out.note(f"holdtrue validate checks it; holdtrue repair apply {file}, again, also ends its drift")
        raise
    finally:
        opener.close()
    here.out.rows("repairs", [_document(outcome) for outcome in outcomes], _DONE)
    for outcome in outcomes:
        _tell_failures(here.out, outcome)
    _tell_unchanged(here.out, outcomes)
    if any(outcome.resolved + outcome.unchanged != outcome.ordered for outcome in outcomes):
        raise typer.Exit(3)


def _document(outcome: Outcome) -> dict[str, Any]:
    """Every field, failures as objects."""
    return {**asdict(outcome), "failures": [failure._asdict() for failure in outcome.failures]}


def _tell_unchanged(out: Output, outcomes: Sequence[Outcome]) -> None:
    right, ordered = (sum(getattr(outcome, name) for outcome in outcomes) for name in ("unchanged", "ordered"))
    if right:
        said = "nothing was left to repair: " if right == ordered else ""
        out.note(f"{said}the drift of {right} keys had ended already, and they are right")


def _tell_failures(out: Output, outcome: Outcome) -> None:
    for failure in outcome.failures[:_TOLD]:
        key = ", ".join(f"{column}={value}" for column, value in failure.key.items())
        out.note(f"{outcome.table} ({key}) in {outcome.replica}: {failure.reason}")
    if (more := len(outcome.failures) - _TOLD) > 0:
        out.note(f"{outcome.table} in {outcome.replica}: {more} more are not resolved; see holdtrue drift list")
