"""`holdtrue runs`: the validations that control remembers, and the report of one for whoever audits it."""

from __future__ import annotations

import getpass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from streams.cli.context import context
from streams.cli.output import LIMIT_MAX, Format
from streams.errors import UsageError

if TYPE_CHECKING:
    from streams.control.dossier import Dossier
    from streams.plan.model import Plan

COLUMNS: Final = (
    "finished", "run", "table", "replica", "depth", "outcome", "verified", "drift_found", "seconds", "who",
)  # fmt: skip
FIELDS: Final = ("field", "value")
INTERRUPTED: Final = "interrupted"
RUNNING: Final = "running"
# Both.
UNFINISHED: Final = "unfinished"
# Of `end`.
ENDED: Final = ("table", "replica", "depth", "outcome", "verified", "drift_found", "failed", "reason")


class Written(StrEnum):
    """What a report is written as."""

    markdown = "markdown"
    html = "html"


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Validations that were made, and their reports.", no_args_is_help=True)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("report")(report)
    group.command("end")(end)
    app.add_typer(group, name="runs")


def list_(
    ctx: typer.Context,
    table: Annotated[str | None, typer.Option("--table", help="Only this table, schema.table.")] = None,
    replica: Annotated[str | None, typer.Option("--replica", help="Only this replica.")] = None,
    outcome: Annotated[
        str | None, typer.Option("--outcome", help="correct, drifted, incomplete, interrupted or unfinished.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=LIMIT_MAX, help="The newest so many.")] = 100,
) -> None:
    """List runs, newest first; before them those that are kept on this machine: interrupted, or still running."""
    from streams.control.run import OUTCOMES
    from streams.control.view import opened_with_schema, plain
    from streams.plan.check import load_plan, require_known

    here = (INTERRUPTED, UNFINISHED)
    if outcome not in (None, *here, *OUTCOMES):
        known = ", ".join(sorted((*here, *OUTCOMES)))
        raise UsageError(f"There is no outcome {outcome}.", f"There are: {known}.")
    call = context(ctx)
    plan = load_plan(call.plan_path)
    filters = {"table": table, "replica": replica, "outcome": outcome, "limit": limit}
    rows = _unfinished(plan, table, replica) if outcome in (None, *here) else []
    if outcome == INTERRUPTED:
        rows = [row for row in rows if row["outcome"] == INTERRUPTED]
    if outcome not in here:
        with opened_with_schema(plan) as database:
            rows += database.rows("list_runs", filters)
    if not rows:
        # Runs are remembered longer than a plan names a table.
        require_known(plan, table, replica)
    call.out.rows("runs", plain(rows), COLUMNS)
    if len(rows) == limit:
        call.out.note(f"only the newest {limit} are shown; see --limit")


def _unfinished(plan: Plan, table: str | None, replica: str | None) -> list[dict[str, Any]]:
    from streams.validation.kept import unfinished

    return [
        {
            **kept.report.document(), "outcome": RUNNING if alive else INTERRUPTED, "started": kept.report.began,
            "finished": None, "who": kept.by or None, "plan_hash": kept.plan, "resumed": kept.report.part,
        }
        for kept, alive in sorted(unfinished(plan), key=lambda found: found[0].report.began, reverse=True)
        if table in (None, kept.report.table) and replica in (None, kept.report.replica)
    ]  # fmt: skip


Run = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")]


def show(ctx: typer.Context, run: Run) -> None:
    """Show one run, what it found, and what came of it."""
    from streams.plan.check import load_plan
    from streams.reports.record import as_record

    call = context(ctx)
    found = as_record(_found(load_plan(call.plan_path), run))
    if call.out.fmt is Format.table:
        call.out.rows("run", [{"field": name, "value": _cell(value)} for name, value in found.items()], FIELDS)
    else:
        call.out.document(found)


def report(
    ctx: typer.Context,
    run: Run,
    written: Annotated[Written | None, typer.Option("--as", help="By default html for a file .html.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-o", help="Where to write it; by default stdout.")] = None,
) -> None:
    """Write the report of one run, for the audit file: Markdown, or one HTML file that needs nothing else."""
    from streams.plan.check import load_plan
    from streams.reports.markdown import markdown
    from streams.reports.page import page
    from streams.reports.run import run_report

    call = context(ctx)
    plan = load_plan(call.plan_path)
    found = _found(plan, run)
    document = run_report(found, _bound_seconds(plan, found))
    by_name = Written.html if file is not None and file.suffix.lower() in (".html", ".htm") else Written.markdown
    text = page(document) if (written or by_name) is Written.html else markdown(document)
    if file is None:
        call.out.text(text.removesuffix("\n"))
        return
    _write(file, text)
    call.out.note(f"written to {file}")


def end(
    ctx: typer.Context,
    run: Run,
    by: Annotated[str, typer.Option("--by", envvar="HOLDTRUE_BY", show_envvar=True, help="Who ends it.")] = "",
) -> None:
    """Have an interrupted run over: what it had found is told, and that it is incomplete. Exit 0 when that is done."""
    from streams.plan.check import load_plan
    from streams.validation.open import Opener
    from streams.validation.session import end as end_run

    call = context(ctx)
    opener = Opener(load_plan(call.plan_path), call.out.note, by or getpass.getuser())
    try:
        report = end_run(opener, run, call.out.note)
    finally:
        opener.close()
    call.out.rows("results", [report.document()], ENDED)


def _found(plan: Plan, run: str) -> Dossier:
    from streams.control.dossier import dossier
    from streams.control.view import opened_with_schema

    with opened_with_schema(plan) as database:
        found = dossier(database, run)
    if found is None:
        raise UsageError(
            f"There is no run {run} in the control database.",
            "holdtrue runs list shows the ids; a run that ended a moment ago is there once control has taken it in.",
        )
    return found


def _bound_seconds(plan: Plan, found: Dossier) -> float | None:
    """The plan's bound by now; None where it has none, or does not copy the table any more."""
    declared = plan.replicas.get(found.run["replica"])
    mapping = declared and declared.tables.get(found.run["table"])
    return mapping.lag_max.total_seconds() if mapping and mapping.lag_max is not None else None


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        what = f"The report cannot be written to {file}: {error.strerror}."
        raise UsageError(what, "Name another file with --file.") from None


def _cell(value: Any) -> Any:
    """A list is as long as it is."""
    return len(value) if isinstance(value, list) else value
