"""`holdtrue up`, `down`, `stack`: the embedded stack."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.context import context
from streams.cli.output import Format, Output
from streams.errors import NotReady

if TYPE_CHECKING:
    from streams.local.stack import Stack
    from streams.local.supervise import ServiceStatus

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar="HOLDTRUE_STACK_DIR", show_envvar=True, help="Where the stack keeps its data."),
]
_COLUMNS = ("service", "state", "endpoint", "pid", "memory_mb", "log")


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("up")(up)
    app.command("down")(down)
    app.command("stack")(describe)


def up(
    ctx: typer.Context,
    data_dir: DataDir = None,
    port_base: Annotated[int | None, typer.Option(help="Use the ports from this number upwards.")] = None,
    plugin: Annotated[list[str] | None, typer.Option("--with", help="An extra Connect plugin: bench.")] = None,
) -> None:
    """Start the embedded stack, or what of it does not run; safe to repeat."""
    from streams.local.progress import ConsoleReporter

    out = context(ctx).out
    stack = embedded(data_dir)
    started = stack.up(ConsoleReporter(out.progress), port_base, plugin or ())
    out.note(f"The stack runs in {stack.data}." if started else f"The stack already runs in {stack.data}.")
    if out.fmt is not Format.table:
        _show(out, stack)


def down(
    ctx: typer.Context,
    data_dir: DataDir = None,
    wipe: Annotated[bool, typer.Option("--wipe", help="Also delete all of its data.")] = False,
) -> None:
    """Stop the embedded stack; its data stays unless --wipe is given."""
    out = context(ctx).out
    stack = embedded(data_dir)
    there = stack.data.exists()
    ran = stack.down(wipe)
    out.note("The stack is stopped." if ran else "The stack did not run.")
    if wipe:
        out.note(f"{stack.data} is deleted." if there else f"{stack.data} was not there.")
    out.done({"data_dir": str(stack.data), "stopped": ran, "wiped": wipe and there})


def describe(
    ctx: typer.Context,
    data_dir: DataDir = None,
    env: Annotated[bool, typer.Option("--env", help="Print `export NAME='value'` lines for eval.")] = False,
) -> None:
    """Show every server of the embedded stack; exit 3 unless all of them serve."""
    from streams.local.supervise import State, remedy

    out = context(ctx).out
    stack = embedded(data_dir)
    if env:
        found = stack.endpoints().environment()
        out.text("\n".join(f"export {name}={shlex.quote(value)}" for name, value in found.items()))
        return
    down_now = [each for each in _show(out, stack) if each.state is not State.running]
    if down_now:
        names = ", ".join(f"{each.service} is {each.state}" for each in down_now)
        raise NotReady(f"The stack is not ready: {names}.", remedy([each.state for each in down_now]))


def _show(out: Output, stack: Stack) -> Sequence[ServiceStatus]:
    """Every server as a row; beside them, but in a table, where they are reached."""
    endpoints, services = stack.endpoints(), stack.services()
    extra = {} if out.fmt is Format.table else {"endpoints": asdict(endpoints), "environment": endpoints.environment()}
    rows = [asdict(each) | {"memory_mb": _megabytes(each.memory_bytes)} for each in services]
    out.rows("services", rows, _COLUMNS, data_dir=str(stack.data), **extra)
    return services


def _megabytes(size: int | None) -> int | None:
    return None if size is None else size // 1_000_000


def embedded(data_dir: Path | None) -> Stack:
    """The embedded stack. What the environment tells libpq of other servers (PGSSLMODE, PGSERVICE) is not for its own.

    Nor for what this process starts: it takes the addresses of this stack.
    """
    from streams.local.stack import Stack

    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    return Stack(data_dir)
