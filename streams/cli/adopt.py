"""`holdtrue adopt`: take over a replica that somebody else has filled, without changing a row of it."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.context import context
from streams.errors import UsageError
from streams.validation.depth import RunDepth

if TYPE_CHECKING:
    from streams.plan.model import Plan
    from streams.validation.open import Pair
    from streams.validation.report import Report

_COLUMNS = (
    "table", "replica", "outcome", "sot_rows", "replica_rows", "verified", "absent", "superseded", "failed",
    "drift_found", "seconds",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(adopt)


def adopt(
    ctx: typer.Context,
    replica: Annotated[str, typer.Option("--replica", help="The replica.")],
    table: Annotated[str | None, typer.Option("--table", help="Only this table of the SOT.")] = None,
    by: Annotated[str, typer.Option("--by", envvar="HOLDTRUE_BY", show_envvar=True, help="Who asks for it.")] = "",
) -> None:
    """Put tokens beside the rows that are right, and open drift for the others. Changes no row.

    For tables of `mode: verify`, while they are written. May be ended and made again at any time. Exit 0 when every row
    is right and has its token, 3 when something is left, which it names.
    """
    from streams.plan.check import load_plan
    from streams.validation.open import Opener, pairs
    from streams.validation.session import run_all

    here = context(ctx)
    plan = load_plan(here.plan_path)
    wanted = pairs(plan, table, replica)
    _require_verify(plan, wanted)
    opener = Opener(plan, here.out.note, by or getpass.getuser(), stamp=True)
    try:
        reports = run_all(opener, wanted, RunDepth.full, note=here.out.note)
    finally:
        opener.close()
    here.out.rows("results", [report.document() for report in reports], _COLUMNS)
    for report in reports:
        here.out.note(_next(report))
    if any(report.outcome != "correct" for report in reports):
        raise typer.Exit(3)


def _require_verify(plan: Plan, wanted: list[Pair]) -> None:
    """Raises UsageError for a table that is written by its worker already, or is a cache."""
    for pair in wanted:
        mode = plan.replicas[pair.replica].tables[pair.table].mode
        if mode != "verify":
            raise UsageError(
                f"{pair.table} in {pair.replica} is of mode {mode}: only what somebody else writes is adopted.",
                "Name another --table; or let the plan say `mode: verify` of it, and start its worker again.",
            )


def _next(report: Report) -> str:
    """What a person does now."""
    place = f"{report.table} in {report.replica}"
    if report.outcome == "correct":
        return (
            f"{place} is adopted: each of its rows has its token. Let the plan say `mode: replicate` of it, start its "
            "worker again, end whoever has written it, then validate (docs/operations.md, Taking over a replica)"
        )
    if report.drift_found:
        return (
            f"{place}: {report.drift_found} keys differ and are drift now: holdtrue repair plan --replica "
            f"{report.replica} --table {report.table}, read it, apply it (what is accepted is left out of it: holdtrue "
            "drift list --state accepted), then adopt again"
        )
    if report.superseded and not report.reason:
        return f"{place}: {report.superseded} keys have moved at every look and have no token yet: adopt again"
    return f"{place} is not adopted: {report.reason or 'not every key was decided'}"
