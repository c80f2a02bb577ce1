"""`holdtrue replica remove`: take away all that holdtrue keeps for one replica, and nothing that is anybody else's."""

from __future__ import annotations

import getpass
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from streams.cli.context import Context, context
from streams.errors import NotReady, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from streams.plan.model import Plan

COLUMNS: Final = ("replica", "topics", "group", "drift", "tokens", "folder", "removed")
# What is open of a drift that is known.
NOT_ENDED: Final = ["suspected", "open", "repairing", "repaired", "accepted"]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Replicas as a whole.", no_args_is_help=True)
    group.callback()(lambda: None)
    group.command("remove")(remove)
    app.add_typer(group, name="replica")


def remove(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A replica of the plan.")],
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Remove tokens and tombstones from its store, too; never a row.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this, only say what would be done.")] = False,
    by: Annotated[str, typer.Option("--by", envvar="HOLDTRUE_BY", show_envvar=True, help="Who orders it.")] = "",
) -> None:
    """Remove a replica's group, its check, repair and changelog topics and its local state, and end its drift.

    Where its store's own log was followed, the slot there goes, too.

    Its rows stay, and so do the connector, the change topics and all other replicas. Its workers must have ended; the
    plan still names it, for that is how it is known. May be run again. Exit 3 while a worker of it runs.
    """
    from streams.plan.check import load_plan

    call = context(ctx)
    plan = load_plan(call.plan_path)
    if name not in plan.replicas:
        raise UsageError(
            f"The plan has no replica {name}.", "Leave it in the plan until it is removed: its tables are known by it."
        )
    _require_ended(plan, name)
    found = _found(plan, name)
    if yes:
        said = f"replica {name} was removed by {by or getpass.getuser()}"
        _end_drift(plan, name, said)
        found["tokens"] = _drop_tokens(plan, name) if tokens else None
        _remove(plan, found)
    call.out.rows("replicas", [{**found, "topics": len(found["topics"]), "removed": yes}], COLUMNS)
    _say(call, found, tokens=tokens, done=yes)


def _require_ended(plan: Plan, name: str) -> None:
    """Raises NotReady while a worker keeps it, which would go on writing."""
    from streams.kafka.groups import has_members

    if has_members(plan.kafka.bootstrap.resolve(), plan.group(name), 0.0):
        raise NotReady(
            f"Workers of {name} are running, or have ended less than 30 s ago.",
            "End them, and start none with this plan; then run this again, after those 30 s.",
        )


def _found(plan: Plan, name: str) -> dict[str, Any]:
    """What there is of it."""
    from streams.control.view import opened
    from streams.kafka.admin import Topics
    from streams.kafka.topics import topics_of_replica

    topics = Topics(plan.kafka.bootstrap.resolve())
    folder = _folder(plan, name)
    with opened(plan) as database:
        rows = database.rows("list_drift", _filter(name)) if database is not None else []
    return {
        "replica": name, "topics": topics.existing([topic.name for topic in topics_of_replica(plan, name)]),
        "group": plan.group(name), "drift": len(rows), "tokens": None,
        "folder": str(folder) if folder.exists() else None,
    }  # fmt: skip


def _filter(name: str) -> dict[str, Any]:
    from streams.control.view import LIST_MAX

    return {"states": NOT_ENDED, "kind": None, "table": None, "replica": name, "limit": LIST_MAX}


def _folder(plan: Plan, name: str) -> Path:
    from streams.settings import settings

    return settings().worker_data_dir / plan.name / name


def _end_drift(plan: Plan, name: str, reason: str) -> None:
    """Whatever is known to be open, and has a replica no longer."""
    from streams.control.view import opened
    from streams.drift.record import step_of
    from streams.kafka.events import EventWriter
    from streams.kafka.registry import Registry
    from streams.kafka.wire import cloud_event

    writer = EventWriter(
        plan.kafka.bootstrap.resolve(), Registry(plan.kafka.registry.resolve()), client_id="holdtrue-cli"
    )
    headers = cloud_event("holdtrue.drift", f"/holdtrue/{plan.name}/cli")
    with opened(plan) as database:
        for row in database.rows("list_drift", _filter(name)) if database is not None else ():
            event = step_of(row, "superseded", datetime.now(UTC), reason=reason)
            writer.send(plan.own_topic("drift"), event["id"], "drift", event, headers)
    writer.flush()


def _drop_tokens(plan: Plan, name: str) -> int:
    """How many were in its store."""
    from streams.plan.mapping import Shape
    from streams.replicas.open import open_replica
    from streams.sot.shapes import find_shapes

    shapes, unfit = find_shapes(plan, name)
    known = {**shapes, **{table: Shape.of_key(table, plan.tables[table].key) for table in unfit}}
    stores = open_replica(plan, name, known, to_write=True)
    try:
        return sum(store.drop_tokens() for store in stores.values())
    finally:
        for store in stores.values():
            store.close()


def _remove(plan: Plan, found: dict[str, Any]) -> None:
    from streams.agents.following import leave_log
    from streams.kafka.admin import Topics
    from streams.kafka.groups import delete_group

    bootstrap = plan.kafka.bootstrap.resolve()
    leave_log(plan, found["replica"], for_good=True)
    Topics(bootstrap).delete(found["topics"])
    delete_group(bootstrap, found["group"])
    shutil.rmtree(_folder(plan, found["replica"]), ignore_errors=True)


def _say(call: Context, found: dict[str, Any], *, tokens: bool, done: bool) -> None:
    name = found["replica"]
    if not done:
        kept = "tokens in its store" if tokens else "no token in its store (--tokens)"
        call.out.note(f"would remove {len(found['topics'])} topics, the group {found['group']}, local state and {kept}")
        call.out.note(f"would end {found['drift']} drifts; rows, connector and change topics stay. To do it, add --yes")
        return
    call.out.note(f"{name} is removed: take it out of the plan, and start every process again")
    call.out.note("local state on other machines is in their HOLDTRUE_WORKER_DIR; subjects stay in the registry")
