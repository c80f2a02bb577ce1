"""Plans for tests: the bank example's text with edits, checked without touching a file."""

from __future__ import annotations

from pathlib import Path

from streams.plan.check import check_document
from streams.plan.finding import Finding
from streams.plan.load import parse_document
from streams.plan.mapping import Column, Shape
from streams.plan.model import Plan, TableMapping

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "bank" / "consistency.yaml"
POLICIES = {
    "mode": "replicate",
    "trigger": "realtime",
    "consistency": {"kind": "eventual", "lag": "2s"},
    "conflict": "source_wins",
    "on_failure": "dead-letter",
    "repair": {"automatic": []},
}


def edited(*edits: tuple[str, str]) -> str:
    """The example's text with each first text replaced by the second; the first must be there."""
    text = EXAMPLE.read_text()
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    return text


def findings(*edits: tuple[str, str]) -> list[Finding]:
    """What `plan check` finds in the edited example."""
    return check_document(parse_document(edited(*edits), "consistency.yaml"))


def found(*edits: tuple[str, str]) -> set[tuple[str, str]]:
    """Severity and path of what `plan check` finds in the edited example."""
    return {(finding.severity, finding.path) for finding in findings(*edits)}


def example() -> Plan:
    """The example as a plan."""
    return Plan.model_validate(parse_document(EXAMPLE.read_text(), "consistency.yaml").data)


def mapping(**fields: object) -> TableMapping:
    """A mapping with every policy decided and these fields."""
    return TableMapping.model_validate({**POLICIES, **fields})


def shape(of: list[Column], key: list[str], **fields: object) -> Shape:
    """The shape of `public.t` under a mapping with these fields."""
    return Shape.build("public.t", key, of, mapping(**fields))
