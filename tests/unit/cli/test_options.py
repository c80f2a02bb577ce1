"""Where the global options may be typed."""

from __future__ import annotations

import pytest

from streams.cli.program import hoisted


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
