"""`holdtrue demo`: the whole story on real servers."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.context import context
from streams.errors import HoldtrueError

if TYPE_CHECKING:
    from streams.cli.output import Output
    from streams.demo.story import Told

_TABLES = ("replica", "table", "outcome", "sot_rows", "replica_rows", "verified", "drift_found", "seconds")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(demo)


def demo(
    ctx: typer.Context,
    seconds: Annotated[
        int,
        typer.Option("--seconds", min=5, max=3600, help="The least the load lasts; it outlasts a validation."),
    ] = 40,
    scale: Annotated[int, typer.Option("--scale", min=2, max=50, help="pgbench's scale: 100,000 accounts each.")] = 2,
    keep: Annotated[bool, typer.Option("--keep", help="Leave stack, data and logs in place, running.")] = False,
) -> None:
    """Watch a Postgres under load being kept in step with Postgres, DynamoDB and Redis, and drift found and repaired.

    Exit 0 only if all of it held.
    """
    from streams.cli.stack import embedded
    from streams.demo.story import Told
    from streams.local.progress import ConsoleReporter

    out = context(ctx).out
    folder = Path(tempfile.mkdtemp(prefix="holdtrue-demo-"))
    stack = embedded(folder / "stack")
    told, ended = Told(), False
    try:
        out.note(f"Servers: Postgres twice, Kafka, Connect, registry, Redis, DynamoDB Local, in {folder}.")
        stack.up(ConsoleReporter(out.progress))
        _tell(stack, folder, out, seconds, scale, told)
        ended = told.ok
        _show(out, told)
    except HoldtrueError as error:
        _show_broken(out, told, error)
        raise
    finally:
        _leave(stack, folder, out, keep=keep, ended=ended)
    if not told.ok:
        raise typer.Exit(1)


def _tell(stack: object, folder: Path, out: Output, seconds: int, scale: int, told: Told) -> None:
    from streams.demo.bank import Bank
    from streams.demo.command import CommandLine
    from streams.demo.story import Story, demo_plan
    from streams.local.stack import Stack

    assert isinstance(stack, Stack)
    endpoints = stack.endpoints()
    environment = {**endpoints.environment(), "HOLDTRUE_WORKER_DIR": str(folder / "workers")}
    line = CommandLine(demo_plan(folder), environment, folder, out.note)
    Story(line, endpoints, Bank(endpoints.sot_dsn, stack.pgbin, scale), out.note, seconds, told).tell()


def _show(out: Output, told: Told) -> None:
    from streams.cli.output import Format

    document = told.document()
    if out.fmt is not Format.table:
        out.document(document)
        return
    out.rows("tables", told.runs, _TABLES)
    figures = {"changes": told.changes, **document["rates"], **document["drift"], "seconds": document["seconds"]}
    out.rows("figures", [{"figure": name.replace("_", " "), "value": value} for name, value in figures.items()],
             ("figure", "value"))  # fmt: skip
    for sentence in told.wrong:
        out.note(f"did not hold: {sentence}")
    out.note("All of it held." if told.ok else "Not all of it held.")


def _show_broken(out: Output, told: Told, error: HoldtrueError) -> None:
    """The answer of a demo that could not be told to its end; in place of a table, a person is told the error."""
    told.wrong.append(error.what)
    out.done(told.document())


def _leave(stack: object, folder: Path, out: Output, *, keep: bool, ended: bool) -> None:
    from streams.local.stack import Stack

    assert isinstance(stack, Stack)
    if keep:
        out.note(f"Left running: holdtrue stack --data-dir {folder / 'stack'}; end it with holdtrue down --data-dir …")
        return
    # Where no server was started there is nothing to look at.
    done = ended or not any((stack.data / "logs").glob("*"))
    stack.down(wipe=done)
    if done:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        out.note(f"Data and logs are left in {folder}.")
