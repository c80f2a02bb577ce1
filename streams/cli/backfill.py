"""`holdtrue repair backfill`: have the rows of a table, or of a range, looked up in the source and made right."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from streams.cli.context import Context, context
from streams.cli.said import By, said
from streams.errors import HoldtrueError, UsageError

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from streams.validation.backfilling import Order, Progress
    from streams.validation.open import Opener, Pair
    from streams.validation.target import Target

PLANNED: Final = ("replica", "table", "range", "partitions", "sot_rows", "replica_rows", "seconds_at_least", "backfill")
DONE: Final = ("replica", "table", "range", "looked", "written", "removed", "failed", "partitions", "done", "outcome")
_Bounds = Annotated[
    list[str] | None,
    typer.Option("--from", metavar="COLUMN=VALUE", help="First key; once for each of the first key columns."),
]
_Upper = Annotated[
    list[str] | None, typer.Option("--to", metavar="COLUMN=VALUE", help="Last key, as --from; it is included.")
]


def backfill(
    ctx: typer.Context,
    replica: Annotated[str, typer.Option("--replica", help="The replica; no other one is touched.")],
    table: Annotated[str | None, typer.Option("--table", help="Only this table.")] = None,
    lower: _Bounds = None,
    upper: _Upper = None,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the audit trail.")] = "",
    by: By = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this, only say what it would be about.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it, and validate it in the end.")] = True,
) -> None:
    """Look every row up in the source, beside the stream, and write those that differ. A dry run unless --yes is given.

    The order goes on when this is interrupted; given again, it is followed. Exit 0 when all is done and found right, 3
    when not.
    """
    from streams.plan.check import load_plan
    from streams.validation.open import Opener, pairs

    call = context(ctx)
    plan = load_plan(call.plan_path)
    found = pairs(plan, table, replica)
    if (lower or upper) and len(found) > 1:
        raise UsageError("A range is of one table.", "Name it: --table.")
    person, why = said(by, reason) if yes else (by or getpass.getuser(), reason)
    opener = Opener(plan, call.out.note, person)
    try:
        fill = _Fill(call, opener, person, why, (lower or [], upper or []))
        if not yes:
            call.out.rows("backfills", [fill.planned(pair) for pair in found], PLANNED)
            call.out.note("nothing is written: --yes has it done")
            return
        rows = [fill.done(pair) if wait else fill.ordered(pair) for pair in found]
    except KeyboardInterrupt:
        call.out.note("not waited for: what was ordered goes on; the same command, again, follows and validates it")
        raise
    finally:
        opener.close()
    call.out.rows("backfills", rows, DONE)
    if wait and any(row["outcome"] != "correct" or row["done"] != row["partitions"] or row["failed"] for row in rows):
        raise typer.Exit(3)


class _Fill:
    """One call's."""

    def __init__(self, call: Context, opener: Opener, by: str, reason: str, given: tuple[list[str], list[str]]) -> None:
        self._call = call
        self._opener = opener
        self._by, self._reason, self._given = by, reason, given
        self._said: dict[int, str] = {}

    def planned(self, pair: Pair) -> dict[str, Any]:
        """What it would be about; and the order that is there already, if one is."""
        from streams.validation.backfilling import known_order

        with self._opener.target(pair) as target:
            order = self._order(pair, target, "")
            mapping = self._opener.mapping(pair)
            per_second = min(mapping.repair.rows_per_second, self._opener.plan.source.reads_per_second)
            return {
                **self._named(order), "partitions": target.partitions, "sot_rows": order.rows,
                "replica_rows": target.store.count(), "rows_per_second": per_second,
                "seconds_at_least": round(order.rows / self._opener.plan.source.reads_per_second),
                "backfill": known_order(self._opener, pair, order.between),
            }  # fmt: skip

    def ordered(self, pair: Pair) -> dict[str, Any]:
        """Only give the order."""
        with self._opener.target(pair) as target:
            order = self._begun(pair, target)
            return {**self._named(order), "backfill": order.backfill, "partitions": target.partitions}

    def done(self, pair: Pair) -> dict[str, Any]:
        """Give the order, follow it, and validate."""
        from streams.validation.backfilling import Progress, end, follow, given_up, taken

        with self._opener.target(pair) as target:
            order = self._begun(pair, target)
            progress = Progress(target.partitions)
            was_taken = False
            with self._bar(order) as bar:
                for progress in follow(target, order):
                    self._tell(bar, progress)
                    if progress.is_taken and not was_taken:
                        was_taken = True
                        taken(self._opener, target, order)
            if "done" not in progress.states.values():
                given_up(self._opener, target, order, "; ".join(dict.fromkeys(progress.reasons.values())))
                return self._row(order, progress, None)
            self._call.out.note(f"{pair.table} in {pair.replica}: {progress.counted('written')} written, validates it")
            report = end(self._opener, target, order, progress, self._settled)
            return self._row(order, progress, report.outcome)

    def _begun(self, pair: Pair, target: Target) -> Order:
        from streams.validation.backfilling import begin, between_of, known_order, name

        between = between_of(self._opener, pair, *self._given)
        known = known_order(self._opener, pair, between)
        order = self._order(pair, target, known or name())
        if known:
            self._call.out.note(f"{pair.table} in {pair.replica}: follows {known}, which was ordered before")
        else:
            begin(self._opener, target, order)
        return order

    def _order(self, pair: Pair, target: Target, backfill: str) -> Order:
        from streams.validation.backfilling import Order, between_of, rows_in

        between = between_of(self._opener, pair, *self._given)
        return Order(backfill, pair, between, self._by, self._reason, rows_in(target, between))

    def _named(self, order: Order) -> dict[str, Any]:
        from streams.validation.backfilling import shown

        return {**order.pair._asdict(), "range": shown(self._opener, order.pair, order.between)}

    def _row(self, order: Order, progress: Progress, outcome: str | None) -> dict[str, Any]:
        counted = {name: progress.counted(name) for name in ("looked", "written", "removed", "failed")}
        return {
            **self._named(order), "backfill": order.backfill, "sot_rows": order.rows, **counted,
            "partitions": progress.partitions, "done": [*progress.states.values()].count("done"),
            "outcome": outcome, "run": progress.report.run if progress.report else None,
            "reasons": {str(number): why for number, why in progress.reasons.items()},
        }  # fmt: skip

    def _settled(self) -> None:
        """Control has taken in what was told by now: what it has not is ended by a later run."""
        from streams.cli.running import behind
        from streams.control.view import opened

        with opened(self._opener.plan) as database:
            late: HoldtrueError | None = None
            if database is not None:
                late = behind(self._opener.plan, database, self._call.out.note)
        if late is not None:
            self._call.out.note(f"{late}")

    @contextmanager
    def _bar(self, order: Order) -> Iterator[Bar]:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._call.out.progress) as bar:
            bar.add_task(f"{order.pair.table} in {order.pair.replica}", total=max(order.rows, 1))
            yield bar

    def _tell(self, bar: Bar, progress: Progress) -> None:
        task = bar.tasks[0]
        looked = progress.counted("looked")
        for partition, why in progress.reasons.items():
            if self._said.get(partition) != why:
                self._said[partition] = why
                self._call.out.note(f"{task.description}, partition {partition}: {why}")
        bar.update(task.id, completed=looked, total=max(task.total or 1, looked))
        if not bar.console.is_terminal and progress.waiting:
            self._call.out.note(f"{task.description}: {looked} of {task.total:.0f} rows")
