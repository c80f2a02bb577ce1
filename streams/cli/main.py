"""`holdtrue`: the composition of all verbs, the global options, and how an error ends the command."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.context import Context
from streams.cli.output import Format, Output
from streams.errors import HoldtrueError

# Each module has `register(app)`, which adds its verb or group. Modules import drivers inside their commands, so that
# `holdtrue --help` and `holdtrue plan check` start quickly.
VERBS = (
    "stack",
    "doctor",
    "plan",
    "connectors",
    "topics",
    "schemas",
    "worker",
    "validate",
    "demo",
    "repair",
    "bench",
    "status",
    "drift",
    "dlq",
    "audit",
)

# Global options that take a value.
WITH_VALUE = frozenset(("--plan", "--format"))
INTERRUPTED = 130

app = typer.Typer(
    name="holdtrue",
    help="Keeps replicas of a Postgres source of truth in step, and proves that they are.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"holdtrue {version('holdtrue')}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    plan: Annotated[
        Path, typer.Option("--plan", envvar="HOLDTRUE_PLAN", show_envvar=True, help="The Data Consistency Plan.")
    ] = Path("consistency.yaml"),
    fmt: Annotated[
        Format, typer.Option("--format", envvar="HOLDTRUE_FORMAT", show_envvar=True, help="How data is written.")
    ] = Format.table,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing on stderr but errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Say which version this is, and end.")
    ] = False,
) -> None:
    """Exit codes: 0 done and clean, 1 error, 2 usage or incomplete plan, 3 drift found or not ready."""
    ctx.obj = Context(plan_path=plan, out=Output(fmt, quiet=quiet))


for _verb in VERBS:
    importlib.import_module(f"streams.cli.{_verb}").register(app)


def hoisted(words: list[str]) -> list[str]:
    """The command's words with the global options first, wherever they were typed: `demo --format json` works too."""
    first: list[str] = []
    rest: list[str] = []
    left = iter(words)
    for word in left:
        if word == "--":
            return [*first, *rest, word, *left]
        name, given, _ = word.partition("=")
        if name in WITH_VALUE and not given:
            first += [word, *([value] if (value := next(left, None)) is not None else [])]
        elif name in WITH_VALUE or word == "--quiet":
            first.append(word)
        else:
            rest.append(word)
    return [*first, *rest]


def _run() -> None:
    # A command that is terminated puts away what it started and says so, as one that is interrupted does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if sys.stdout is None:
        raise HoldtrueError("There is no stdout to answer on.", "Send it to a file, or to /dev/null.")
    try:
        app(hoisted(sys.argv[1:]))
    finally:
        sys.stdout.flush()


def run() -> None:
    """Entry point of the command: errors become one clear sentence and an exit code."""
    try:
        _run()
    except HoldtrueError as error:
        sys.stderr.write(f"error: {error.what}\n")
        if error.hint:
            sys.stderr.write(f"  {error.hint}\n")
        sys.exit(error.exit_code)
    except OSError as error:
        # What a verb needs is said by the verb; what is left is the machine's: a full disk, an answer nobody takes.
        sys.stderr.write(f"error: {error.strerror}{f': {error.filename}' if error.filename else ''}\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes once more when it ends
        sys.exit(HoldtrueError.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # Typer has taken the interrupt, and says nothing
            sys.stderr.write("interrupted\n")
        raise


if __name__ == "__main__":
    run()
