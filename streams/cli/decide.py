"""`holdtrue drift accept` and `close`: what a person decides about one drift."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.context import Context, context
from streams.cli.said import By, said
from streams.errors import NotReady, UsageError

if TYPE_CHECKING:
    from streams.control.database import Database
    from streams.plan.model import Plan

Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the drift.")]


def accept(
    ctx: typer.Context,
    drift: Id,
    reason: Annotated[str, typer.Option("--reason", help="Why it may stay, for the audit trail.")],
    until: Annotated[str, typer.Option("--until", help="When that ends: 2026-12-31, a moment, or 14d from now.")],
    by: By = "",
) -> None:
    """Accept a drift until a date: it does not count as open. Then control opens it again, unless it is gone.

    Waits until control has taken it in; exit 3 where it has not, or does not run.
    """
    from streams.control.view import opened_with_schema
    from streams.plan.check import load_plan
    from streams.validation.deciding import accept as decide

    call = context(ctx)
    word, end = said(by, reason), moment(until, datetime.now(UTC))
    plan = load_plan(call.plan_path)
    with opened_with_schema(plan) as database:
        row = _known(call, plan, database, drift)
        decide(plan, row, word.by, word.reason, end)
        _show(call, _taken(call, plan, database, drift, "accepted"))


def close(
    ctx: typer.Context,
    drift: Id,
    reason: Annotated[str, typer.Option("--reason", help="The root cause, for the audit trail.")],
    by: By = "",
) -> None:
    """End a drift by hand: its key is checked again, and must be right. Exit 3 where it is not, or is not known to be.

    Drift of a table as a whole is ended by a run that finds every key right.
    """
    from streams.control.view import opened_with_schema
    from streams.plan.check import load_plan
    from streams.validation.deciding import close as decide
    from streams.validation.open import Opener

    call = context(ctx)
    word = said(by, reason)
    plan = load_plan(call.plan_path)
    with opened_with_schema(plan) as database:
        row = _known(call, plan, database, drift)
        opener = Opener(plan, call.out.note)
        try:
            decide(opener, row, word.by, word.reason)
        finally:
            opener.close()
        _show(call, _taken(call, plan, database, drift, "resolved"))


def moment(text: str, now: datetime) -> datetime:
    """The moment that is meant by a date (its first moment, UTC), a moment, or a duration from now.

    Raises UsageError for anything else, and for what is over.
    """
    from streams.plan.duration import parse_duration

    try:
        found = now + parse_duration(text)
    except (ValueError, OverflowError):
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise UsageError("--until is no date.", "Write 2026-12-31, 2026-12-31T18:00Z, or 14d from now.") from None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    if found <= now:
        raise UsageError(f"--until is over: {found.isoformat()}.", "Name a date that is still to come.")
    return found


def _known(call: Context, plan: Plan, database: Database, drift: str) -> dict[str, Any]:
    """The drift as control knows it, which has taken in all that was told by now."""
    _wait(call, plan, database)
    rows = database.rows("one_drift", {"id": drift})
    if not rows:
        raise UsageError(f"There is no drift {drift}.", "holdtrue drift list shows the ids.")
    return rows[0]


def _taken(call: Context, plan: Plan, database: Database, drift: str, state: str) -> dict[str, Any]:
    """The drift after the decision. Raises NotReady where that was not taken."""
    _wait(call, plan, database)
    row = database.rows("show_drift", {"id": drift})[0]
    if row["state"] != state:
        raise NotReady(
            f"The drift {drift} is {row['state']}, not {state}: it was told of again meanwhile.",
            f"Look at it, and decide again: holdtrue drift show {drift}",
        )
    return row


def _wait(call: Context, plan: Plan, database: Database) -> None:
    from streams.cli.running import behind

    if (late := behind(plan, database, call.out.note)) is not None:
        raise late


def _show(call: Context, row: dict[str, Any]) -> None:
    from streams.cli.drift import COLUMNS
    from streams.control.view import drift_row

    call.out.rows("drift", [drift_row(row)], (*COLUMNS, "reason", "accepted_until"))
