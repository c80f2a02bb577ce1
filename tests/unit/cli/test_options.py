"""Where the global options may be typed."""

from __future__ import annotations

import pytest

from streams.cli.program import hoisted, once
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
