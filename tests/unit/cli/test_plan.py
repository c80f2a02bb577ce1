"""How `plan check --live` ends where a store could not be asked."""

from __future__ import annotations

from streams.cli.plan import together
from streams.errors import StoreUnavailable, UsageError


def test_one_that_is_away_is_the_error_itself() -> None:
    """As any other verb says it."""
    assert together([StoreUnavailable("A is away.", "Start it.")]).told == "error: A is away.\n  Start it.\n"


def test_all_that_are_away_are_named_once() -> None:
    """The first as the error, the others below it; two replicas in one store are one sentence."""
    away = [StoreUnavailable("A is away."), UsageError("B is not set.", "Set it."), StoreUnavailable("A is away.")]
    error = together(away)
    assert error.told == "error: A is away.\n  Also: B is not set. Set it.\n"
    assert error.exit_code == 1
