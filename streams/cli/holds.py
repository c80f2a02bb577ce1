"""`holdtrue hold` and `holdtrue release`: have tables wait, and go on, by order of a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from streams.checks.request import Depth
from streams.cli.context import Context, context
from streams.cli.said import By, Said, said
from streams.errors import NotReady, UsageError

if TYPE_CHECKING:
    from streams.control.offsets import Place
    from streams.plan.model import Plan
    from streams.validation.open import Pair

# How long owners are waited for; an order waits for its owner much longer.
TAKEN_SECONDS: Final = 120.0
COLUMNS: Final = ("replica", "table", "partitions", "taken")

Table = Annotated[str | None, typer.Option("--table", help="Only this table.")]
Replica = Annotated[str | None, typer.Option("--replica", help="Only this replica.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the audit trail.")]


def register(app: typer.Typer) -> None:
    """Add both verbs."""
    app.command("hold")(hold)
    app.command("release")(release)


def hold(ctx: typer.Context, reason: Reason, table: Table = None, replica: Replica = None, by: By = "") -> None:
    """Have a table, or all of a replica, wait: nothing more is applied, across restarts, until it is released.

    Exit 3 where not every owner has taken the order yet: it waits for them.
    """
    _order(context(ctx), Depth.hold, table, replica, by, reason)


def release(ctx: typer.Context, reason: Reason, table: Table = None, replica: Replica = None, by: By = "") -> None:
    """Have what was held by `hold`, or under `on_continuity: hold`, go on. What a record holds stays held.

    Exit 3 where not every owner has taken the order yet: it waits for them.
    """
    _order(context(ctx), Depth.resume, table, replica, by, reason)


def _order(
    call: Context,
    depth: Literal[Depth.hold, Depth.resume],
    table: str | None,
    replica: str | None,
    by: str,
    reason: str,
) -> None:
    from streams.plan.check import load_plan
    from streams.validation.open import pairs

    plan = load_plan(call.plan_path)
    if not (table or replica):
        raise UsageError("This is about a table or a replica.", "Name it: --table, --replica, or both.")
    word = said(by, reason)
    found = pairs(plan, table, replica)
    _send(plan, depth, found, word)
    rows = _taken(call, plan, found)
    call.out.rows("orders", rows, COLUMNS)
    if late := _left(rows):
        raise NotReady(
            f"The order is given, and not taken within {TAKEN_SECONDS:.0f} s by the owners of partitions: {late}.",
            "It waits for them: see that the workers run. holdtrue status shows what is held.",
        )


def _send(plan: Plan, depth: Literal[Depth.hold, Depth.resume], found: Sequence[Pair], word: Said) -> None:
    from streams.control.orders import Orders
    from streams.kafka.events import EventWriter
    from streams.kafka.registry import Registry

    registry = Registry(plan.kafka.registry.resolve())
    writer = EventWriter(plan.kafka.bootstrap.resolve(), registry, client_id="holdtrue-cli")
    orders = Orders(plan, writer, f"/holdtrue/{plan.name}/cli")
    for pair in found:
        orders.tell(depth, pair.replica, pair.table, by=word.by, reason=word.reason)
    writer.flush()


def _taken(call: Context, plan: Plan, found: Sequence[Pair]) -> list[dict[str, Any]]:
    """How many partitions of each have taken what was sent by now, waiting for them."""
    from streams.control.intake import waited
    from streams.control.offsets import Offsets
    from streams.kafka.registry import Registry

    offsets = Offsets(plan.kafka.bootstrap.resolve(), Registry(plan.kafka.registry.resolve()))
    try:
        ends = {pair: offsets.ends(_places(plan, pair)) for pair in found}

        def rows() -> list[dict[str, Any]]:
            return [_row(pair, ends[pair], offsets.committed(plan.group(pair.replica), ends[pair])) for pair in found]

        told = f"waits for the owners, up to {TAKEN_SECONDS:.0f} s: each takes it after what it was asked before"
        waited(lambda: _left(rows()), TAKEN_SECONDS, lambda _: call.out.note(told))
        return rows()
    finally:
        offsets.close()


def _left(rows: list[dict[str, Any]]) -> int:
    return sum(row["partitions"] - row["taken"] for row in rows)


def _places(plan: Plan, pair: Pair) -> list[Place]:
    from streams.kafka.topics import checks_topic

    topic = checks_topic(plan, pair.replica, pair.table)
    return [(topic, number) for number in range(plan.tables[pair.table].partitions)]


def _row(pair: Pair, ends: dict[Place, int], committed: dict[Place, int]) -> dict[str, Any]:
    taken = sum(committed.get(place, 0) >= end for place, end in ends.items())
    return {"replica": pair.replica, "table": pair.table, "partitions": len(ends), "taken": taken}
