"""Where the global options may be typed, and which verbs a command loads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from streams.cli.program import REPEATABLE, composed, hoisted, once
from streams.errors import UsageError


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        (["demo", "--format", "json"], ["--format", "json", "demo"]),
        (["--format", "json", "demo"], ["--format", "json", "demo"]),
        (["drift", "list", "--format=json", "--kind", "stale"], ["--format=json", "drift", "list", "--kind", "stale"]),
        (["status", "--quiet", "--plan", "p.yaml"], ["--quiet", "--plan", "p.yaml", "status"]),
        (["repair", "apply", "--", "--quiet"], ["repair", "apply", "--", "--quiet"]),
        ([], []),
    ],
)
def test_global_options_are_understood_wherever_they_stand(typed: list[str], understood: list[str]) -> None:
    """`make demo ARGS="--format json"` puts them behind the verb; what follows `--` is left alone."""
    assert hoisted(typed) == understood


def test_an_option_that_is_there_twice_is_refused() -> None:
    """Typer takes the last one, in silence: a replica that was named would not be validated."""
    for words in (
        ["repair", "plan", "-o", "a", "--file", "b"],
        ["validate", "--replica", "a", "--replica=b"],
        ["--format", "json", "status", "--format", "json"],
    ):
        with pytest.raises(UsageError, match="is given 2 times"):
            once(words)
    fine = ["drift", "list", "--state", "open", "--state", "resolved", "--limit", "3", "--", "--limit"]
    assert once(fine) == fine


def repeatable(command: Any, *path: str) -> Iterator[tuple[str, str]]:
    """Verbs and options of theirs that may be given more than once."""
    for option in command.params:
        yield from ((" ".join(path), name) for name in option.opts if option.multiple)
    for name, verb in getattr(command, "commands", {}).items():
        yield from repeatable(verb, *path, name)


def test_an_option_that_may_be_given_twice_is_let_through() -> None:
    """Whatever Typer takes a list of: what control repairs without being asked had been refused for its two kinds."""
    program = typer.main.get_command(composed())
    known = {(verb, name) for verb, names in REPEATABLE.items() for name in names}
    assert set(repeatable(program)) == known
    words = ["--plan", "p.yaml", "repair", "plan", "--kind", "missing", "--kind", "stale"]
    assert once(words) == words


def verbs(*words: str) -> set[str]:
    """The verbs of the program that is composed for these words."""
    command = typer.main.get_command(composed(words))
    return set(command.commands)  # type: ignore[attr-defined]


def test_every_verb_is_found_by_its_own_name() -> None:
    """A verb is loaded without the others, wherever the global options stand."""
    for name in (everything := verbs()):
        assert name in verbs("--plan", "other.yaml", "--quiet", name, "--table", "t")
    assert verbs("validate") == {"validate"}
    assert verbs("--format", "validate") == verbs("--help") == verbs("no-such-verb") == everything


# What a run that finds nothing does not need: a web server for metrics, and the offsets that only long runs look at.
SPARED = (
    "prometheus_client",
    "streams.metrics",
    "streams.control.offsets",
    "streams.settings",
    "streams.bench",
    "faust",
    "boto3",
    "redis",
)


def test_a_validation_loads_no_more_than_it_needs() -> None:
    """A short one was for a third of its CPU time the loading of modules."""
    loaded = "import streams.cli.main, streams.cli.validate, streams.cli.bar, streams.validation.session"
    shown = f"{loaded}, sys; print([name for name in {SPARED} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
