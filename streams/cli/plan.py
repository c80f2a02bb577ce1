"""`holdtrue plan check|schema`: is the plan complete, does it fit the databases; its JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.context import Context, context
from streams.cli.output import Format
from streams.plan.catalog import Catalog
from streams.plan.check import check_document, plan_of
from streams.plan.draft import Draft
from streams.plan.finding import Finding
from streams.plan.load import Document, read_document
from streams.plan.model import DynamoReplica, Plan, PostgresReplica, RedisReplica

COLUMNS = ("line", "path", "severity", "message", "who")
BLOCKED = 2

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
    findings = check_document(document)
    blocked = any(finding.blocks for finding in findings)
    if live and blocked:
        call.out.note("The databases were not asked: complete the file first.")
    elif live:
        found = _live(plan_of(document, str(path)), document)
        findings = sorted({*findings, *found})
    _answer(call, path, findings)
    if any(finding.blocks for finding in findings):
        raise typer.Exit(BLOCKED)


def schema(ctx: typer.Context) -> None:
    """Write the plan's JSON Schema, for editors."""
    context(ctx).out.text(json.dumps(Plan.json_schema(), indent=2, ensure_ascii=False))


def _answer(call: Context, path: Path, findings: list[Finding]) -> None:
    blocking = sum(finding.blocks for finding in findings)
    state = "Blocked" if blocking else "Complete"
    if call.out.fmt is Format.table:
        # Paths and sentences are long: a paragraph each can be read where a table with columns cannot.
        for finding in findings:
            call.out.text(finding.as_text())
    else:
        call.out.rows("findings", [finding.as_row() for finding in findings], COLUMNS, plan=str(path), state=state)
    call.out.note(f"{path}: {f'{blocking} finding(s) to settle' if blocking else 'complete, nothing contradictory'}.")


def _live(plan: Plan, document: Document) -> Iterator[Finding]:
    """What the databases say against the plan. Raises StoreUnavailable for one that cannot be reached."""
    from streams.plan.live import source_findings
    from streams.plan.live_replicas import postgres_findings
    from streams.sot.catalog import connected, read_catalog

    draft = Draft(document)
    with connected(plan.source.dsn.resolve(), "the source of truth") as connection:
        source = read_catalog(connection, [*plan.tables, plan.source.signal_table])
    yield from source_findings(plan, draft, source)
    for name, replica in plan.replicas.items():
        if isinstance(replica, PostgresReplica):
            targets = [mapping.target(table, replica.kind) for table, mapping in replica.tables.items()]
            with connected(replica.dsn.resolve(), f"the replica {name}") as connection:
                found = read_catalog(connection, targets)
            yield from postgres_findings(plan, draft, name, replica, source, found)
        else:
            yield from _store(plan, draft, name, replica, source)


def _store(
    plan: Plan, draft: Draft, name: str, replica: DynamoReplica | RedisReplica, source: Catalog
) -> Iterator[Finding]:
    from streams.plan.live_replicas import dynamo_findings
    from streams.replicas.probe import dynamo_keys
    from streams.replicas.redis_client import ping

    if isinstance(replica, RedisReplica):
        ping(replica.url.resolve())
        return
    targets = [mapping.target(table, replica.kind) for table, mapping in replica.tables.items()]
    endpoint = replica.endpoint.resolve() if replica.endpoint else None
    keys = dynamo_keys(replica.region, endpoint, targets)
    yield from dynamo_findings(plan, draft, name, replica, source, keys)
