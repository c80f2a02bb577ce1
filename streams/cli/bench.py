"""`holdtrue bench`: side by side with the named peers."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from streams.cli.context import context
from streams.cli.output import Format, Output
from streams.cli.stack import DataDir

Rows = Annotated[int, typer.Option("--rows", min=100, max=50_000_000, help="Rows of the table.")]
Runs = Annotated[int, typer.Option("--runs", min=1, max=50, help="Runs of each contender, in turns.")]
Driver = Annotated[
    str, typer.Option("--peer-driver", help="Options of the peer's JDBC driver, such as reWriteBatchedInserts=true.")
]
Tasks = Annotated[int, typer.Option("--peer-tasks", min=1, max=4, help="Tasks of the peer's connector.")]

_FIGURES = (
    "rows_per_second", "snapshot_rows_per_second", "update_rows_per_second", "cpu_seconds_per_million_rows",
    "store_cpu_seconds_per_million_rows", "memory_bytes_max", "seconds", "seconds_with_start",
)  # fmt: skip

_VALIDATE_FIGURES = ("seconds", "seconds_differing", "cpu_seconds_per_million_rows", "memory_bytes_max")


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Benchmarks beside the named peers.", no_args_is_help=True)
    group.callback()(_group)
    group.command("apply")(apply)
    group.command("validate")(validate)
    app.add_typer(group, name="bench")


def _group() -> None:
    """Benchmarks beside the named peers."""


def apply(
    ctx: typer.Context,
    data_dir: DataDir = None,
    rows: Rows = 500_000,
    runs: Runs = 3,
    peer_tasks: Tasks = 1,
    peer_driver: Driver = "",
) -> None:
    """Apply the same change topic with a holdtrue worker and with the Debezium JDBC sink, in turns."""
    from streams.bench.apply import bench_apply
    from streams.local.progress import ConsoleReporter
    from streams.local.stack import Stack

    out = context(ctx).out
    reporter = ConsoleReporter(out.progress)
    _show(
        out,
        bench_apply(Stack(data_dir), reporter, out.note, rows=rows, runs=runs, tasks=peer_tasks, driver=peer_driver),
        _FIGURES,
    )


def validate(ctx: typer.Context, data_dir: DataDir = None, rows: Rows = 500_000, runs: Runs = 3) -> None:
    """Validate a replica with holdtrue and with reladiff, in turns: equal tables, then 100 differing rows."""
    from streams.bench.validate import bench_validate
    from streams.local.progress import ConsoleReporter
    from streams.local.stack import Stack

    out = context(ctx).out
    reporter = ConsoleReporter(out.progress)
    _show(out, bench_validate(Stack(data_dir), reporter, out.note, rows=rows, runs=runs), _VALIDATE_FIGURES)


def _show(out: Output, found: dict[str, Any], figures: tuple[str, ...]) -> None:
    if out.fmt is not Format.table:
        out.document(found)
        return
    rows = [
        {"figure": name, "holdtrue": found["holdtrue"][name], "peer": found["peer"][name],
         "holdtrue_spread": found["holdtrue"]["spread"][name], "peer_spread": found["peer"]["spread"][name]}
        for name in figures
    ]  # fmt: skip
    out.rows("figures", rows, ("figure", "holdtrue", "holdtrue_spread", "peer", "peer_spread"))
    out.note(f"peer: {found['peer']['name']}; ratio {found['ratio']} (above 1: holdtrue is faster)")
