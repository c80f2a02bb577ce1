"""`holdtrue plan check|schema`: is the plan complete, does it fit the databases; its JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from streams.cli.context import Context, context
from streams.cli.output import Format
from streams.errors import HoldtrueError
from streams.plan.catalog import Catalog
from streams.plan.check import check_document, plan_of
from streams.plan.draft import Draft
from streams.plan.finding import Finding
from streams.plan.load import read_document
from streams.plan.model import Plan, PostgresReplica, RedisReplica, Replica
from streams.plan.refs import SecretRef

COLUMNS = ("line", "path", "severity", "message", "who")
BLOCKED = 2

T = TypeVar("T")
Compare = Callable[[Catalog], Iterable[Finding]]  # the source's catalog in, findings about one replica out
PlanPath = Annotated[Path | None, typer.Argument(metavar="[PATH]", help="The plan; default: that of --plan.")]
Live = Annotated[bool, typer.Option("--live", help="Also ask the databases: tables, keys, permissions, replicas.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="The Data Consistency Plan: is it complete, does it fit.", no_args_is_help=True)
    group.command("check")(check)
    group.command("schema")(schema)
    app.add_typer(group, name="plan")


def check(ctx: typer.Context, path: PlanPath = None, live: Live = False) -> None:
    """Name every missing or contradictory input with its place in the file; exit 2 unless there is none."""
    call = context(ctx)
    path = path or call.plan_path
    document = read_document(path)
    findings, away = check_document(document), list[HoldtrueError]()
    if live and any(finding.blocks for finding in findings):
        call.out.note("The databases were not asked: complete the file first.")
    elif live:
        found, away = _live(plan_of(document, str(path)), Draft(document))
        findings = sorted({*findings, *found})
    _answer(call, path, findings, all_asked=not away)
    if away:
        raise together(away)
    if any(finding.blocks for finding in findings):
        raise typer.Exit(BLOCKED)


def schema(ctx: typer.Context) -> None:
    """Write the plan's JSON Schema, for editors."""
    context(ctx).out.text(json.dumps(Plan.json_schema(), indent=2, ensure_ascii=False))


def _answer(call: Context, path: Path, findings: list[Finding], *, all_asked: bool) -> None:
    blocking = sum(finding.blocks for finding in findings)
    # What could not be asked may contradict the plan: it is not known to be complete.
    state = "Blocked" if blocking or not all_asked else "Complete"
    if call.out.fmt is Format.table:
        # Paths and sentences are long: a paragraph each can be read where a table with columns cannot.
        for finding in findings:
            call.out.text(finding.as_text())
    else:
        call.out.rows("findings", [finding.as_row() for finding in findings], COLUMNS, plan=str(path), state=state)
    unknown = "" if all_asked else ", and not everything could be asked"
    said = "complete, nothing contradictory" if state == "Complete" else f"{blocking} finding(s) to settle{unknown}"
    call.out.note(f"{path}: {said}.")


def together(away: Sequence[HoldtrueError]) -> HoldtrueError:
    """One error that names everything that could not be asked, each with what to do about it."""
    first, *others = {str(error): error for error in away}.values()
    lines = [first.hint, *(f"Also: {other}" for other in others)]
    return HoldtrueError(first.what, "\n  ".join(filter(None, lines)))


def _live(plan: Plan, draft: Draft) -> tuple[list[Finding], list[HoldtrueError]]:
    """What the databases say against the plan; and why some could not be asked, which keeps no other from it."""
    from streams.plan.live import control_findings, source_findings

    away: list[HoldtrueError] = []
    tables = [*plan.tables, plan.source.signal_table]
    source = _asked(away, lambda: _catalog(plan.source.dsn, "the source of truth", tables))
    control = _asked(away, lambda: _control(plan))
    compared = [_asked(away, partial(_ask, plan, draft, name, spec)) for name, spec in plan.replicas.items()]
    found = [*control_findings(plan, draft, *control)] if control else []
    if source:
        found += source_findings(plan, draft, source)
        found += [finding for compare in compared if compare for finding in compare(source)]
    return found, away


def _asked(away: list[HoldtrueError], ask: Callable[[], T]) -> T | None:
    """The answer; None where there is none, and `away` says why."""
    try:
        return ask()
    except HoldtrueError as error:
        away.append(error)
        return None


def _ask(plan: Plan, draft: Draft, name: str, replica: Replica) -> Compare:
    """Ask a replica's store; what compares its answer with the source's. Raises HoldtrueError without an answer."""
    from streams.cli.stores import ask, tables_of
    from streams.plan.live_replicas import dynamo_findings, postgres_findings

    if isinstance(replica, RedisReplica):
        ask(name, replica)
        return lambda _: ()
    if isinstance(replica, PostgresReplica):
        targets = [mapping.target(table, replica.kind) for table, mapping in replica.tables.items()]
        found = _catalog(replica.dsn, f"the replica {name}", targets)
        return lambda source: postgres_findings(plan, draft, name, replica, source, found)
    tables = tables_of(replica)
    return lambda source: dynamo_findings(plan, draft, name, replica, source, tables)


def _control(plan: Plan) -> tuple[Catalog, str | None]:
    """The catalog of the control database, and whose it is by now."""
    from streams.control.database import kept_by
    from streams.plan.live import CONTROL_TABLE
    from streams.sot.catalog import connected, read_catalog

    with connected(plan.control.dsn.resolve(), "the control database") as connection:
        catalog = read_catalog(connection, [CONTROL_TABLE])
        return catalog, kept_by(connection) if CONTROL_TABLE in catalog.tables else None


def _catalog(dsn: SecretRef, what: str, tables: Iterable[str]) -> Catalog:
    from streams.sot.catalog import connected, read_catalog

    with connected(dsn.resolve(), what) as connection:
        return read_catalog(connection, tables)
