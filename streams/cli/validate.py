"""`holdtrue validate`: one run per table × replica, waited for."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from streams.cli.context import context
from streams.errors import UsageError
from streams.validation.depth import RunDepth

_COLUMNS = (
    "table", "replica", "depth", "outcome", "sot_rows", "replica_rows", "verified", "absent", "superseded", "skipped",
    "failed", "drift_found", "seconds",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(validate)


def validate(
    ctx: typer.Context,
    table: Annotated[str | None, typer.Option("--table", help="Only this table of the SOT.")] = None,
    replica: Annotated[str | None, typer.Option("--replica", help="Only this replica.")] = None,
    depth: Annotated[
        str | None, typer.Option("--depth", help="counts, sample, checksums (the default) or full.")
    ] = None,
    keys: Annotated[int | None, typer.Option("--keys", min=1, max=100_000, help="Keys of a sample.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, max=2**63 - 1, help="Chooses a sample's keys.")] = None,
    rows_per_second: Annotated[
        int | None, typer.Option("--rows-per-second", min=100, help="Read no more, where rows are read one by one.")
    ] = None,
    snapshot_rows: Annotated[
        int | None, typer.Option("--snapshot-rows", min=100, help="Read about so many under one snapshot of the SOT.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="RUN", help="Go on with a run that was interrupted.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the run from its first moment on, so that --resume knows it.")
    ] = False,
    by: Annotated[str, typer.Option("--by", envvar="HOLDTRUE_BY", show_envvar=True, help="Who asks for it.")] = "",
) -> None:
    """Prove replicas right, or name every key in drift. Exit 0 when all is correct, 3 when not."""
    from streams.cli.bar import watching
    from streams.plan.check import load_plan
    from streams.validation.open import Opener, pairs
    from streams.validation.sample import Sampling
    from streams.validation.session import resume as gone_on
    from streams.validation.session import run_all

    if resume is not None and (table, replica, depth, keys, seed, keep) != (*[None] * 5, False):
        raise UsageError("A run that is gone on with is what it was begun as.", "Give --resume without what it is of.")
    depth = depth or RunDepth.checksums
    if depth not in tuple(RunDepth):
        raise UsageError(f"There is no depth {depth}.", f"Use one of {', '.join(RunDepth)}.")
    if depth != RunDepth.sample and not (keys is None and seed is None):
        raise UsageError("Only a sample takes --keys and --seed.", "Add --depth sample.")
    here = context(ctx)
    plan = load_plan(here.plan_path)
    wanted = pairs(plan, table, replica)
    with watching(here.out.progress) as bar:
        opener = Opener(
            plan, here.out.note, by or getpass.getuser(), watching=bar, rows_per_second=rows_per_second,
            snapshot_rows=snapshot_rows,
        )  # fmt: skip
        try:
            if resume is not None:
                reports = [gone_on(opener, resume, here.out.note)]
            else:
                chosen, said = Sampling(keys, seed), here.out.note
                reports = run_all(opener, wanted, RunDepth(depth), said, chosen, keeping=True, from_begin=keep)
        finally:
            opener.close()
    here.out.rows("results", [report.document() for report in reports], _COLUMNS)
    if any(report.outcome != "correct" for report in reports):
        raise typer.Exit(3)
