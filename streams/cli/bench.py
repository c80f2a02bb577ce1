"""`holdtrue bench`: side by side with the named peers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from streams.bench.asked import ALONE, Asked, Checks, Class, Repair
from streams.cli.context import context
from streams.cli.output import Format, Output
from streams.cli.stack import DataDir, embedded
from streams.errors import UsageError

Rows = Annotated[int, typer.Option("--rows", min=100, max=50_000_000, help="Rows of the table.")]
Runs = Annotated[int, typer.Option("--runs", min=1, max=50, help="Runs of each contender, in turns.")]
Driver = Annotated[
    str, typer.Option("--peer-driver", help="Options of the peer's JDBC driver, such as reWriteBatchedInserts=true.")
]
Rate = Annotated[
    int, typer.Option("--changes-per-second", min=1, max=100_000, help="Keys that the load changes in a second.")
]
Tasks = Annotated[int, typer.Option("--peer-tasks", min=1, max=4, help="Tasks of the peer's connector.")]
Curve = Annotated[bool, typer.Option("--curve", help="Also 10^5 and 10^6 rows, of which 1 to 10^4 differ.")]

_FIGURES = (
    "rows_per_second", "snapshot_rows_per_second", "update_rows_per_second", "cpu_seconds_per_million_rows",
    "store_cpu_seconds_per_million_rows", "memory_bytes_max", "seconds", "seconds_with_start",
)  # fmt: skip

_DETECT_COLUMNS = (
    "class", "planted", "found", "missed", "superseded", "detection_seconds_p50", "detection_seconds_p99",
    "detection_seconds_max", "resolved", "resolved_seconds_p99",
)  # fmt: skip
_FAULT_COLUMNS = ("fault", "planted", "found", "detection_seconds_p50")
_DETECT_FIGURES = (
    "changes_per_second", "false_positives", "opened_again", "unplanted", "differing", "lag_seconds_p50",
    "lag_seconds_p99", "keys_checked_per_second", "scrub_passes", "scrub_age_seconds_max", "checking_share",
    "worker_cpu_share", "worker_memory_bytes_max",
)  # fmt: skip
_VALIDATE_FIGURES = ("seconds", "seconds_differing", "cpu_seconds_per_million_rows", "memory_bytes_max")


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Benchmarks beside the named peers.", no_args_is_help=True)
    group.callback()(_group)
    group.command("apply")(apply)
    group.command("validate")(validate)
    group.command("detect")(detect)
    group.command("repair")(repair)
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

    out = context(ctx).out
    reporter = ConsoleReporter(out.progress)
    _show(
        out,
        bench_apply(embedded(data_dir), reporter, out.note, rows=rows, runs=runs, tasks=peer_tasks, driver=peer_driver),
        _FIGURES,
    )


def validate(
    ctx: typer.Context, data_dir: DataDir = None, rows: Rows = 500_000, runs: Runs = 3, curve: Curve = False
) -> None:
    """Validate a replica with holdtrue and with reladiff, in turns: equal tables, then 100 differing rows."""
    from streams.bench.validate import bench_validate
    from streams.local.progress import ConsoleReporter

    out = context(ctx).out
    reporter = ConsoleReporter(out.progress)
    _show(
        out,
        bench_validate(embedded(data_dir), reporter, out.note, rows=rows, runs=runs, curve=curve),
        _VALIDATE_FIGURES,
    )


def detect(
    ctx: typer.Context,
    data_dir: DataDir = None,
    rows: Rows = 500_000,
    changes_per_second: Rate = 1_000,
    seconds: Annotated[
        int, typer.Option("--seconds", min=1, max=86_400, help="Faults are planted for so long.")
    ] = 1_800,
    scrub_period: Annotated[
        int, typer.Option("--scrub-period", min=1, max=86_400, help="The plan's validation.scrub_period, in seconds.")
    ] = 120,
    planted: Annotated[int, typer.Option("--planted", min=1, max=100_000, help="Faults of each class.")] = 200,
    classes: Annotated[
        str, typer.Option("--classes", help="Of just_written, scrubbed and replica_log, with commas between.")
    ] = "just_written,scrubbed,replica_log",
    checks: Annotated[
        Checks, typer.Option("--checks", help="scrub: the worker looks; runs: validate, again and again; off: nobody.")
    ] = Checks.scrub,
    repair: Annotated[
        Repair, typer.Option("--repair", help="automatic: the worker; ordered: repair plan and apply; none: nobody.")
    ] = Repair.automatic,
    false_alarms: Annotated[
        int, typer.Option("--false-alarms", min=0, max=1_000, help="Reports for nothing, to see that they are counted.")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Of the load, and of times and places of the faults.")] = 1,
) -> None:
    """Plant faults in a replica under load: how soon each is found and repaired, and what is reported for nothing.

    Exit 3 if one was missed, or a key was reported that was right.
    """
    from streams.bench.detect import bench_detect
    from streams.local.progress import ConsoleReporter

    out = context(ctx).out
    asked = Asked(
        rows, changes_per_second, seconds, scrub_period, planted, _classes(classes, out), checks, repair, false_alarms,
        seed,
    )  # fmt: skip
    found = bench_detect(embedded(data_dir), ConsoleReporter(out.progress), out.note, asked)
    _show_found(out, found)
    if not found["ok"]:
        raise typer.Exit(3)


def repair(
    ctx: typer.Context,
    data_dir: DataDir = None,
    rows: Rows = 500_000,
    keys: Annotated[int, typer.Option("--keys", min=1, max=100_000, help="Keys that are made wrong at once.")] = 1_000,
    changes_per_second: Rate = 1_000,
    seed: Annotated[int, typer.Option("--seed", help="Of the load.")] = 1,
) -> None:
    """Make many keys of a replica wrong at once under load, have them found and repaired, and look at all others.

    Exit 3 if one is not right within 30 s, another one was touched, or the lag bound was not kept.
    """
    from streams.bench.repair import bench_repair
    from streams.local.progress import ConsoleReporter

    out = context(ctx).out
    reporter = ConsoleReporter(out.progress)
    found = bench_repair(
        embedded(data_dir), reporter, out.note, rows=rows, keys=keys, rate=changes_per_second, seed=seed
    )
    if out.fmt is Format.table:
        _show_figures(out, found, [name for name in found if name not in ("ok", "wrong")])
    else:
        out.document(found)
    if not found["ok"]:
        raise typer.Exit(3)


def _classes(text: str, out: Output) -> tuple[Class, ...]:
    """The classes named. Raises UsageError for an unknown one, and where none is left."""
    named = dict.fromkeys(name.strip() for name in text.split(",") if name.strip())
    if unknown := named.keys() - set(Class):
        raise UsageError(f"There is no class {min(unknown)}.", f"There are: {', '.join(Class)}.")
    alone = {name for name in named.keys() & ALONE.keys() if len(named) > 1}
    for name in alone:
        out.note(f"{name} is left out: {ALONE[Class(name)]}")
    if not (left := tuple(Class(name) for name in named if name not in alone)):
        raise UsageError("No class of faults is left to plant.", f"Name one of {', '.join(Class)}.")
    return left


def _show_found(out: Output, found: dict[str, Any]) -> None:
    if out.fmt is not Format.table:
        out.document(found)
        return
    out.rows("classes", [{"class": name, **each} for name, each in found["classes"].items()], _DETECT_COLUMNS)
    out.rows("faults", [{"fault": name, **each} for name, each in found["faults"].items()], _FAULT_COLUMNS)
    _show_figures(out, found, _DETECT_FIGURES)


def _show_figures(out: Output, found: dict[str, Any], names: Sequence[str]) -> None:
    """The figures of one run, and whether all of it held."""
    out.rows("figures", [{"figure": name.replace("_", " "), "value": found[name]} for name in names],
             ("figure", "value"))  # fmt: skip
    for sentence in found["wrong"]:
        out.note(f"did not hold: {sentence}")
    out.note("All of it held." if found["ok"] else "Not all of it held.")


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
    if points := found.get("curve"):
        out.rows("curve", points, ("rows", "differing", "holdtrue_seconds", "peer_seconds"))
    differing = f", {found['ratio_differing']} with differing rows" if "ratio_differing" in found else ""
    out.note(f"peer: {found['peer']['name']}; ratio {found['ratio']}{differing} (above 1: holdtrue is faster)")
