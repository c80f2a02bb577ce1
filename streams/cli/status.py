"""`holdtrue status`: per table × replica, how fresh it is, through what it was verified, and what is open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import typer

from streams.cli.context import context
from streams.cli.workers import CONTROL
from streams.errors import HoldtrueError, NotReady

if TYPE_CHECKING:
    from datetime import timedelta

    from streams.control.lag import Lag
    from streams.control.view import Remembered
    from streams.plan.model import Plan

COLUMNS: Final = (
    "table", "replica", "lag_seconds", "lag_events", "applied_through", "verified_through", "drift_open", "held",
    "problems",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(status)


def status(ctx: typer.Context) -> None:
    """Show every table of every replica. Exit 3 when a lag bound is broken, or a table is held, in drift or not begun.

    Lag is told from Kafka, so that it is right when no worker runs; a connector that does not run is exit 3, too.
    Nothing here needs control to run; what is verified, in drift and held is what control has remembered.
    """
    from streams.control.view import remembered
    from streams.plan.check import load_plan

    call = context(ctx)
    plan = load_plan(call.plan_path)
    rows = list(_rows(plan, remembered(plan)))
    source = _source_problem(plan)
    if not _runs(plan, CONTROL):
        call.out.note("control does not run: what is verified, in drift and held is as it left it")
    call.out.rows("tables", rows if call.out.fmt.value != "table" else [_flat(row) for row in rows], COLUMNS)
    if source is not None:
        raise source
    wrong = sum(1 for row in rows if row["problems"])
    if wrong:
        raise NotReady(f"{wrong} of {len(rows)} tables are not as the plan wants them.", "See the column problems.")


def _source_problem(plan: Plan) -> NotReady | None:
    """Why changes do not reach Kafka at all, which lag told from Kafka cannot show; None when they do."""
    from streams.connectors.render import connector_name
    from streams.kafka.connect import Connect, not_running

    name = connector_name(plan)
    try:
        wrong = not_running(name, Connect(plan.kafka.connect.resolve(), tries=1).state(name))
    except HoldtrueError as error:
        return NotReady(f"Whether changes reach Kafka is not known: {error.what}", error.hint)
    return wrong and NotReady(f"No change reaches Kafka. {wrong.what}", wrong.hint)


def _rows(plan: Plan, known: Remembered) -> list[dict[str, Any]]:
    lags = _lags(plan)
    working = {replica: _runs(plan, replica) for replica in plan.replicas}
    return [
        row(table, replica, lags[replica][table], mapping.lag_max, known, working=working[replica])
        for replica, spec in plan.replicas.items()
        for table, mapping in spec.tables.items()
    ]


def _runs(plan: Plan, name: str) -> bool:
    """Whether a worker of this replica, or control, is there; one that was killed is for the length of its session."""
    from streams.kafka.groups import has_members

    return has_members(plan.kafka.bootstrap.resolve(), plan.group(name), within_seconds=0)


def _lags(plan: Plan) -> dict[str, dict[str, Lag]]:
    from streams.control.offsets import Offsets
    from streams.kafka.registry import Registry

    offsets = Offsets(plan.kafka.bootstrap.resolve(), Registry(plan.kafka.registry.resolve(), tries=1))
    try:
        return {replica: offsets.lags(plan, replica) for replica in plan.replicas}
    finally:
        offsets.close()


def row(
    table: str, replica: str, lag: Lag, bound: timedelta | None, known: Remembered, *, working: bool
) -> dict[str, Any]:
    """One line of the answer, fields as in the interface document, and `problems` as sentences."""
    place = (table, replica)
    mark = known.verified.get(place)
    line: dict[str, Any] = {
        "table": table,
        "replica": replica,
        "lag_seconds": round(lag.seconds, 3),
        "lag_events": lag.events,
        "applied_through": lag.applied_through,
        "verified_through": mark and {"position": mark["position"], "at": mark["at"].isoformat()},
        "drift_open": known.drift_open.get(place, 0),
        "held": known.held.get(place),
    }
    return line | {"problems": problems(line, lag, bound, working=working)}


def problems(line: Mapping[str, Any], lag: Lag, bound: timedelta | None, *, working: bool) -> list[str]:
    """What is not as the plan wants it; empty when all is."""
    found = [] if working else ["no worker is running"]
    if not lag.committed:
        found.append("no worker has committed anything")
    elif bound is not None and lag.seconds > bound.total_seconds():
        found.append(f"lag is above the bound of {bound.total_seconds():g} s")
    if line["held"]:
        found.append("held")
    if line["drift_open"]:
        found.append("drift is open")
    return found


def _flat(line: Mapping[str, Any]) -> dict[str, Any]:
    mark = line["verified_through"]
    through = mark and f"{mark['position']} at {mark['at'][:19]}Z"
    return {**line, "verified_through": through, "problems": "; ".join(line["problems"]) or "none"}
