"""The subjects of a plan in the registry: registered, listed, checked."""

from __future__ import annotations

from typing import Any

from streams.errors import HoldtrueError
from streams.kafka.registry import Registry, Subject
from streams.kafka.schemas import (
    CHANGE_COMPATIBILITY,
    OWN_COMPATIBILITY,
    change_subjects,
    own_subjects,
    schema,
)
from streams.plan.model import Plan

Row = dict[str, Any]


class CompatibilityNotSet(HoldtrueError):
    """The registry did not take the compatibility level a subject needs."""


def register_all(plan: Plan, registry: Registry) -> list[Row]:
    """Register our schemas under BACKWARD and set the change subjects to NONE; the same again changes nothing.

    `incompatible` (with `reasons`): ours is there, and somebody else's is the subject's newest version.
    """
    rows = [_register(registry, own.subject, own.schema) for own in own_subjects(plan)]
    return rows + [_free(registry, subject) for subject in change_subjects(plan)]


def _register(registry: Registry, subject: Subject, name: str) -> Row:
    known = registry.lookup(subject, schema(name))
    # The level comes first where the registry allows it, so that this very registration is already judged by it.
    before = registry.set_compatibility(subject, OWN_COMPATIBILITY)
    schema_id = registry.register(subject, schema(name)) if known is None else known
    if not before and not registry.set_compatibility(subject, OWN_COMPATIBILITY):
        raise _not_set(subject, OWN_COMPATIBILITY)
    row = _row(registry, subject, name, "registered" if known is None else "unchanged")
    # A later version may be a later holdtrue's, which is compatible, or a stranger's: new versions are judged by it.
    reasons = registry.check(subject, schema(name)) if row["id"] != schema_id else []
    return row | {"state": "incompatible" if reasons else row["state"], "id": schema_id, "reasons": reasons}


def _free(registry: Registry, subject: Subject) -> Row:
    """Compatibility NONE for a change subject, also before the converter has registered anything in it."""
    set_now = registry.set_compatibility(subject, CHANGE_COMPATIBILITY)
    if not set_now and registry.default_compatibility() != CHANGE_COMPATIBILITY:
        raise _not_set(subject, CHANGE_COMPATIBILITY)
    return _row(registry, subject, None, "set" if set_now else "by default")


def _not_set(subject: Subject, level: str) -> CompatibilityNotSet:
    return CompatibilityNotSet(
        f"The registry keeps no compatibility level {level} for {subject}.",
        "Set it in the registry, or make it the registry's default.",
    )


def list_all(plan: Plan, registry: Registry) -> list[Row]:
    """Every subject of the plan as it is in the registry; `absent` where it has no schema yet."""
    own = [(entry.subject, entry.schema) for entry in own_subjects(plan)]
    changes = [(subject, None) for subject in change_subjects(plan)]
    return [_row(registry, subject, name, "") for subject, name in [*own, *changes]]


def _row(registry: Registry, subject: Subject, name: str | None, state: str) -> Row:
    latest = registry.latest(subject)
    return {
        "subject": subject,
        "schema": name or "",
        "compatibility": registry.compatibility(subject) or f"default ({registry.default_compatibility()})",
        "versions": len(registry.versions(subject)) if latest else 0,
        "id": latest[0] if latest else None,
        "state": state or ("registered" if latest else "absent"),
    }


def check_all(plan: Plan, registry: Registry) -> list[Row]:
    """Each of our subjects: `compatible`, `incompatible` (with `reasons`), or `new` where nothing is registered."""
    return [_checked(registry, own.subject, own.schema) for own in own_subjects(plan)]


def _checked(registry: Registry, subject: Subject, name: str) -> Row:
    reasons = registry.check(subject, schema(name))
    row = _row(registry, subject, name, "")
    state = "incompatible" if reasons else ("compatible" if row["versions"] else "new")
    return row | {"state": state, "reasons": reasons}
