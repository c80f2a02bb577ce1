"""`plan check`: everything that keeps a plan from being worked with, found in the file alone and all at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from streams.errors import UsageError
from streams.plan.base import Part
from streams.plan.contradictions import contradictions
from streams.plan.defaults import FROM_NAME
from streams.plan.draft import Draft, Placed, value_at
from streams.plan.finding import Finding, PlanIncomplete, Severity
from streams.plan.load import Document, Path_, read_document
from streams.plan.mapping import Problem
from streams.plan.model import KINDS, Plan, TableMapping
from streams.plan.sentences import sentence_of, severity_of
from streams.plan.unbuilt import JOIN_REFUSED, not_built, whole_not_built
from streams.plan.who import meaning

FILLED_IN = "is missing: counts and lag are filled in, and a decision about validation stays open work"


def check(path: Path) -> list[Finding]:
    """All findings about the plan file at `path`, by line. Raises UnreadablePlanError when it is not YAML."""
    return check_document(read_document(path))


def load_plan(path: Path) -> Plan:
    """The plan in the file at `path`. Raises PlanIncomplete unless `check` finds nothing that blocks."""
    return plan_of(read_document(path), str(path))


def plan_of(document: Document, name: str) -> Plan:
    """The plan in a document that was read; `name` is what errors call it. Raises PlanIncomplete."""
    blocking = [finding for finding in check_document(document) if finding.blocks]
    if blocking:
        raise PlanIncomplete(name, blocking)
    return Plan.model_validate(document.data).read_from(document.sha256)


def require_known(plan: Plan, table: str | None, replica: str | None) -> None:
    """Raises UsageError for the name of a table or a replica that the plan does not have."""
    if replica is not None and replica not in plan.replicas:
        raise UsageError(f"The plan has no replica {replica}.", f"It has: {', '.join(plan.replicas)}.")
    if table is not None and table not in plan.tables:
        raise UsageError(f"The plan has no table {table}.", f"It has: {', '.join(plan.tables)}.")


def check_document(document: Document) -> list[Finding]:
    """`check` for a document that was already read."""
    draft = Draft(document)
    found = {*_model(draft), *_missing(draft), *_contradictory(draft), *_not_built(draft), *_filled_in(draft)}
    return sorted(found)


def _model(draft: Draft) -> Iterator[Finding]:
    # The one check of the whole model repeats what `contradictions` finds, with a better path.
    whole = [error for error in _errors(Plan, draft.data) if error["loc"] or error["type"] != "value_error"]
    for error in whole:
        yield from _translated(draft, error)
    for table in draft.placed:
        # A replica whose kind is unknown was not looked into; its tables are the same for every kind.
        if table.kind not in KINDS and isinstance(table.raw, Mapping):
            for error in _errors(TableMapping, table.raw):
                yield from _translated(draft, {**error, "loc": (*table.path, *error["loc"])})


def _errors(model: type[Part], data: object) -> list[ErrorDetails]:
    try:
        model.model_validate(data)
    except ValidationError as errors:
        return errors.errors(include_url=False, include_input=False)
    return []


def _translated(draft: Draft, error: ErrorDetails) -> Iterator[Finding]:
    path = _path(draft, error)
    value = value_at(draft.data, path, default=draft)
    if isinstance(value, list) and any(table.path == path for table in draft.placed):
        return
    if error["type"] in ("union_tag_not_found", "union_tag_invalid") and isinstance(value, Mapping):
        path = (*path, "kind")
        value = value.get("kind", None)
    if error["type"] == "missing" and path in FROM_NAME:
        return  # the name is what is missing or wrong, and that is said
    severity = severity_of(error, None if value is draft else value)
    if severity == "missing" or not draft.is_derived(path):
        field = path[-1] if path else ""
        yield draft.finding(severity, path, sentence_of(error, field, value))


def _path(draft: Draft, error: ErrorDetails) -> Path_:
    """The error's place in the plan: pydantic's own steps (tags of unions, `[key]`) are left out."""
    path: Path_ = ()
    last = len(error["loc"]) - 1
    for index, part in enumerate(error["loc"]):
        is_step = value_at(draft.data, (*path, part), default=draft) is not draft
        if is_step or (index == last and error["type"] == "missing"):
            path = (*path, part)
    return path


def _missing(draft: Draft) -> Iterator[Finding]:
    """What only one kind of replica needs."""
    for table in draft.placed:
        for kind, field in (("redis", "key"), ("dynamodb", "tombstones")):
            if table.kind == kind and isinstance(table.raw, Mapping) and table.raw.get(field) is None:
                yield draft.finding("missing", (*table.path, field), f"is missing: {meaning(field)}")


def _contradictory(draft: Draft) -> Iterator[Finding]:
    for problem in contradictions(draft):
        yield draft.finding("contradictory", problem.path, problem.message)


def _not_built(draft: Draft) -> Iterator[Finding]:
    for problem in whole_not_built(draft.data):
        yield draft.finding("not_built", problem.path, problem.message)
    for table in draft.placed:
        for problem in not_built(table):
            yield _at(draft, table, "not_built", problem)
        if isinstance(table.raw, Mapping) and table.raw.get("join") is not None:
            yield _at(draft, table, "invalid", Problem(("join",), JOIN_REFUSED))


def _filled_in(draft: Draft) -> Iterator[Finding]:
    for table in draft.placed:
        if isinstance(table.raw, Mapping) and "validation" not in table.raw:
            yield _at(draft, table, "filled_in", Problem(("validation",), FILLED_IN))


def _at(draft: Draft, table: Placed, severity: Severity, problem: Problem) -> Finding:
    return draft.finding(severity, (*table.path, *problem.path), problem.message)
