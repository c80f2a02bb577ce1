"""`holdtrue`: the composition of all verbs, and the global options."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, takewhile
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

import typer

from streams.cli.context import Context
from streams.cli.group import Verbs
from streams.cli.output import Format, Output
from streams.errors import UsageError

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
    "runs",
    "adopt",
    "replica",
    "demo",
    "repair",
    "bench",
    "holds",
    "status",
    "drift",
    "dlq",
    "audit",
)

# Verbs that are in a module of another name.
ELSEWHERE: Final = {"up": "stack", "down": "stack", "hold": "holds", "release": "holds"}

# Options that may be given more than once.
REPEATABLE: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "drift list": frozenset(("--state",)),
        "repair plan": frozenset(("--kind",)),
        "repair backfill": frozenset(("--from", "--to")),
        "up": frozenset(("--with",)),
    }
)
SHORT = {"-o": "--file"}

# Global options that take a value.
WITH_VALUE = frozenset(("--plan", "--format"))


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"holdtrue {version('holdtrue')}")
        raise typer.Exit


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


def composed(words: Sequence[str] = ()) -> typer.Typer:
    """The program with the verb that these words name, or with all of them: each costs its imports."""
    app = typer.Typer(
        cls=Verbs,
        name="holdtrue",
        help="Keeps replicas of a Postgres source of truth in step, and proves that they are.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(options)
    for module in _modules(words):
        importlib.import_module(f"streams.cli.{module}").register(app)
    return app


def _modules(words: Sequence[str]) -> Sequence[str]:
    verb = next(_plain(words), "")
    module = ELSEWHERE.get(verb, verb)
    return (module,) if module in VERBS else VERBS


def _plain(words: Sequence[str]) -> Iterator[str]:
    """Those that are neither an option nor the value of a global one."""
    left = iter(words)
    for word in left:
        if not word.startswith("-"):
            yield word
        elif word in WITH_VALUE:
            next(left, None)


def once(words: list[str]) -> list[str]:
    """The command's words. Raises UsageError for an option that is there twice: the last one alone would count."""
    given = takewhile(lambda word: word != "--", words)
    named = [SHORT.get(word, word).partition("=")[0] for word in given if word.startswith("--") or word in SHORT]
    repeatable = _repeatable(words)
    for name, times in Counter(named).items():
        if times > 1 and name not in repeatable:
            raise UsageError(f"{name} is given {times} times.", "Give it once, or run the command once for each.")
    return words


def _repeatable(words: Sequence[str]) -> frozenset[str]:
    """Of the verb that they begin with, in one word or two."""
    plain = list(islice(_plain(words), 2))
    verbs = (" ".join(plain[:many]) for many in (1, 2))
    return frozenset().union(*(REPEATABLE.get(verb, frozenset()) for verb in verbs))


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
