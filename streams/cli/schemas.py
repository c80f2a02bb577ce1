"""`holdtrue schemas`: the Avro schemas of the project's topics, and the subjects of the change topics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import typer

from streams.cli.context import Context, context
from streams.errors import NotReady

if TYPE_CHECKING:
    from streams.kafka.registry import Registry
    from streams.plan.model import Plan

COLUMNS: Final = ("subject", "schema", "compatibility", "versions", "id", "state")


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Avro schemas in the registry.", no_args_is_help=True)
    group.command("register")(register_schemas)
    group.command("list")(list_schemas)
    group.command("check")(check)
    group.command("asyncapi")(asyncapi)
    app.add_typer(group, name="schemas")


def register_schemas(ctx: typer.Context) -> None:
    """Register the project's schemas under BACKWARD; give the subjects of change topics compatibility NONE.

    Exit 3 when the newest version of a subject is somebody else's.
    """
    from streams.kafka.subjects import register_all

    bad = _incompatible(_answer(context(ctx), register_all))
    if bad:
        raise NotReady(
            f"Ours is registered, and the newest version is another one, not compatible with it: {', '.join(bad)}.",
            "Find out who registered it, and delete that version, which makes ours the newest again: "
            "DELETE <kafka.registry>/subjects/<subject>/versions/latest",
        )


def list_schemas(ctx: typer.Context) -> None:
    """Show every subject of the plan with its compatibility, versions and newest id."""
    from streams.kafka.subjects import list_all

    _answer(context(ctx), list_all)


def check(ctx: typer.Context) -> None:
    """Is every local schema compatible with the newest registered one? Exit 3 when not."""
    from streams.kafka.subjects import check_all

    bad = _incompatible(_answer(context(ctx), check_all))
    if bad:
        raise NotReady(
            f"Not compatible with what is registered: {', '.join(bad)}.",
            "Give new fields a default and keep the old ones; --format json shows the registry's reasons.",
        )


def asyncapi(ctx: typer.Context) -> None:
    """Print the contract of holdtrue's topics as an AsyncAPI document in YAML; needs no plan (docs/asyncapi.yaml)."""
    import yaml

    from streams.kafka.asyncapi import document

    context(ctx).out.text(yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=120).rstrip())


def _incompatible(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [row["subject"] for row in rows if row["state"] == "incompatible"]


def _answer(call: Context, work: Callable[[Plan, Registry], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    from streams.kafka.registry import Registry
    from streams.plan.check import load_plan

    plan = load_plan(call.plan_path)
    rows = work(plan, Registry(plan.kafka.registry.resolve()))
    call.out.rows("schemas", rows, COLUMNS)
    return rows
