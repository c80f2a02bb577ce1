"""`holdtrue connectors`: the plan's Debezium connector, from rendering to deleting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from streams.cli.context import Context, context
from streams.cli.output import Format
from streams.errors import NotReady

if TYPE_CHECKING:
    from streams.connectors.slot import Slot
    from streams.connectors.source import Prepared
    from streams.kafka.connect import Connect, ConnectorState
    from streams.plan.model import Plan

COLUMNS: Final = ("name", "connector", "tasks", "slot", "active", "confirmed_flush_lsn", "wal_status", "lag_bytes")
# How long Connect may go on telling of the failure before a restart.
RESTART_SECONDS: Final = 15.0
PasswordRef = Annotated[
    str,
    typer.Option(
        envvar="HOLDTRUE_CONNECT_PASSWORD_REF",
        show_envvar=True,
        help="Give Connect this reference to a config provider of its own, such as ${env:SOT_PASSWORD}, instead of "
        "the password: Connect shows a connector's configuration to everyone who can reach it.",
    ),
]
Wait = Annotated[float, typer.Option("--wait", min=0, max=3600, help="Seconds to wait until it runs.")]
Forget = Annotated[
    bool, typer.Option("--forget", help="Also delete the stored offsets: the next apply starts with a snapshot.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without this, only say what would be done.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="The Debezium connector of the plan.", no_args_is_help=True)
    group.command("render")(render)
    group.command("apply")(apply)
    group.command("status")(status)
    group.command("delete")(delete)
    app.add_typer(group, name="connectors")


def render(ctx: typer.Context) -> None:
    """Print the connector's configuration. Addresses and secrets appear as references, never as values."""
    from streams.connectors.render import Endpoints, connector_name
    from streams.connectors.render import render as rendered

    call = context(ctx)
    plan = _plan(call)
    call.out.document({"name": connector_name(plan), "config": rendered(plan, Endpoints.references(plan))})


def apply(ctx: typer.Context, password_ref: PasswordRef = "", wait: Wait = 120.0) -> None:
    """Prepare the SOT (signal table, publication), give Connect the connector, wait until it runs.

    Tables that come to others which are read already are published while the connector is stopped, and their rows are
    asked for: it copies them between the changes.
    """
    from streams.connectors.errors import require_prefix
    from streams.connectors.render import connector_name
    from streams.connectors.render import render as rendered
    from streams.connectors.source import endpoints_of
    from streams.kafka.admin import Topics
    from streams.kafka.topics import connectors_topics

    call = context(ctx)
    plan = _plan(call)
    dsn = plan.source.dsn.resolve()
    endpoints = endpoints_of(dsn, plan.converter_url.resolve(), password_ref)
    connect = _connect(plan, endpoints.password)
    require_prefix(plan.kafka.prefix, connector_name(plan), connect.configs())
    Topics(plan.kafka.bootstrap.resolve()).require(list(connectors_topics(plan)))
    _prepare(call, plan, dsn, connect)
    state = _start(connect, connector_name(plan), rendered(plan, endpoints), wait)
    call.out.note(f"connector {state.name}: running")
    _show(call, plan, state, _slot(plan, dsn))


def status(ctx: typer.Context) -> None:
    """Show connector, tasks and replication slot. Exit 3 when anything of it does not run."""
    from streams.connectors.errors import NotPublished, SlotLost
    from streams.connectors.render import connector_name
    from streams.kafka.connect import not_running

    call = context(ctx)
    plan = _plan(call)
    connect = _connect(plan)
    state = connect.state(connector_name(plan))
    slot, unpublished = _slot_and_unpublished(plan)
    _show(call, plan, state, slot)
    # Before what it is the cause of: a connector without a task.
    if slot is not None and slot.lost:
        raise SlotLost(plan.source.slot)
    if wrong := not_running(connector_name(plan), state):
        raise wrong
    _require_log(plan, connect.position(connector_name(plan)))
    if slot is None or not slot.active:
        raise NotReady(
            f"Nobody reads the slot {plan.source.slot} yet.",
            "So it is during the first snapshot; else see Connect's log.",
        )
    if unpublished:
        raise NotPublished(plan.source.publication, unpublished)


def delete(ctx: typer.Context, yes: Yes = False, forget: Forget = False) -> None:
    """Remove the connector from Connect. Slot, publication and topics stay: without them changes would be lost."""
    from streams.connectors.render import connector_name

    call = context(ctx)
    plan = _plan(call)
    name = connector_name(plan)
    if not yes:
        call.out.note(f"would delete the connector {name}{' and its stored offsets' * forget}")
        call.out.note("to do it, add --yes")
        call.out.done({"name": name, "deleted": False, "forgotten": False})
        return
    connect = _connect(plan)
    if forget:
        _announce_gap(call, plan)
    if forgotten := forget and connect.forget(name):
        call.out.note(f"connector {name}: offsets deleted; it will start with a snapshot")
    deleted = connect.delete(name)
    call.out.note(f"connector {name}: {'deleted' if deleted else 'was not there'}")
    call.out.note(f"slot {plan.source.slot} is kept and holds back the SOT's log until it is read or dropped")
    call.out.done({"name": name, "deleted": deleted, "forgotten": forgotten})


def _announce_gap(call: Context, plan: Plan) -> None:
    """Open continuity drift: the snapshot to come does not tell what was deleted since the last change sent."""
    from streams.control.continuity import announce
    from streams.drift.cause import MISSED_CHANGE
    from streams.drift.continuity import Break
    from streams.errors import HoldtrueError
    from streams.kafka.events import EventWriter
    from streams.kafka.registry import Registry

    reason = "the connector's offsets were deleted: its new snapshot does not tell what was deleted meanwhile"
    writer = EventWriter(
        plan.kafka.bootstrap.resolve(), Registry(plan.kafka.registry.resolve()), client_id="holdtrue-cli"
    )
    try:
        announce(plan, writer, f"/holdtrue/{plan.name}/cli", Break(MISSED_CHANGE, reason, new_log=False))
    except HoldtrueError as error:
        call.out.note(f"no drift was opened for it: {error}")
    call.out.note("every table needs a full validation behind the new snapshot: holdtrue validate")


def _plan(call: Context) -> Plan:
    from streams.plan.check import load_plan

    return load_plan(call.plan_path)


def _connect(plan: Plan, *secrets: str) -> Connect:
    from streams.kafka.connect import Connect

    return Connect(plan.kafka.connect.resolve(), secrets=secrets)


def _start(connect: Connect, name: str, config: dict[str, str], wait: float) -> ConnectorState:
    connect.put(name, config)
    connect.resume(name)
    state = connect.state(name)
    failed = state is not None and state.failed
    if failed:
        connect.restart(name)
    return connect.wait_running(name, wait, patience=RESTART_SECONDS if failed else 0.0)


def _prepare(call: Context, plan: Plan, dsn: str, connectors: Connect) -> None:
    from streams.connectors.render import connector_name
    from streams.connectors.source import connect, prepare, unpublished

    with connect(dsn) as connection, ExitStack() as stack:
        if unpublished(connection, plan):
            stack.enter_context(_stopped(connectors, connector_name(plan)))
        prepared = prepare(connection, plan)
    for line in _said(plan, prepared):
        call.out.note(line)


@contextmanager
def _stopped(connectors: Connect, name: str) -> Iterator[None]:
    """The connector, if there is one, does not run meanwhile; it runs again whatever ends this before its time."""
    there = connectors.state(name) is not None
    try:
        if there:
            connectors.stop(name)
        yield
    except BaseException:
        if there:
            connectors.resume(name)
        raise


def _said(plan: Plan, prepared: Prepared) -> list[str]:
    lines = [f"signal table {plan.source.signal_table}: created"] if prepared.signal_table_created else []
    if prepared.slot_dropped:
        lines.append(f"slot {plan.source.slot}: had lost its log, dropped")
    if prepared.publication_created:
        lines.append(f"publication {plan.source.publication}: created")
    else:
        lines += [f"publication {plan.source.publication}: {table} added" for table in prepared.added]
        lines += [f"publication {plan.source.publication}: {table} removed" for table in prepared.removed]
    lines += [f"the rows of {table} are being copied; changes go on meanwhile" for table in prepared.asked]
    return lines


def _slot(plan: Plan, dsn: str) -> Slot | None:
    from streams.connectors.slot import slot
    from streams.connectors.source import connect

    with connect(dsn) as connection:
        return slot(connection, plan.source.slot)


def _slot_and_unpublished(plan: Plan) -> tuple[Slot | None, tuple[str, ...]]:
    from streams.connectors.slot import slot
    from streams.connectors.source import connect, unpublished

    with connect(plan.source.dsn.resolve()) as connection:
        return slot(connection, plan.source.slot), unpublished(connection, plan)


def _require_log(plan: Plan, read: int) -> None:
    """Raises LogBehind when the log ends before what was read of it, which was asked for earlier."""
    from streams.connectors.errors import LogBehind
    from streams.drift.continuity import position
    from streams.sot.identity import identity

    end = identity(plan.source.dsn.resolve(), application="holdtrue-connectors").lsn
    if read > end:
        raise LogBehind(position(read), position(end))


def _show(call: Context, plan: Plan, state: ConnectorState | None, slot: Slot | None) -> None:
    from streams.connectors.render import connector_name

    row: dict[str, Any] = {
        "name": connector_name(plan),
        "connector": state.connector if state else "ABSENT",
        "tasks": list(state.tasks) if state else [],
        "reason": state.reason if state else "",
        "running": bool(state and state.running),
        "slot": plan.source.slot if slot else None,
        "publication": plan.source.publication,
        **({name: value for name, value in slot.as_dict().items() if name != "slot_name"} if slot else {}),
    }
    if call.out.fmt is Format.table:
        row["tasks"] = ", ".join(row["tasks"])
    call.out.rows("connectors", [row], COLUMNS)
