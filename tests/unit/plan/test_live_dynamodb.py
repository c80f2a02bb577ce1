"""DynamoDB tables that do not fit the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from streams.plan.catalog import Catalog
from streams.plan.draft import Draft
from streams.plan.finding import Finding
from streams.plan.live_replicas import dynamo_findings
from streams.plan.load import parse_document
from streams.plan.model import DynamoReplica, Plan
from streams.plan.types import KeyAttribute
from tests.unit.plan.plans import edited
from tests.unit.plan.test_live import ACCOUNTS, DATABASE, SOURCE, TABLES


def _lookup(
    found: Mapping[str, tuple[KeyAttribute, ...]], *edits: tuple[str, str], source: Catalog = SOURCE
) -> list[Finding]:
    document = parse_document(edited(*edits), "p")
    plan = Plan.model_validate(document.data)
    replica = plan.replicas["lookup"]
    assert isinstance(replica, DynamoReplica)
    return list(dynamo_findings(plan, Draft(document), "lookup", replica, source, found))


def test_dynamo_tables_with_another_key() -> None:
    """A table that exists is used only if its key is the plan's, by name and type."""
    aid = KeyAttribute("aid", "N")
    assert _lookup({"accounts": (aid,)}) == []
    assert _lookup({}) == []
    [finding] = _lookup({"accounts": (aid, KeyAttribute("sort", "S"))})
    assert "has the key aid (N) and sort (S), but the plan's is aid (N)" in finding.message
    [finding] = _lookup({"accounts": (KeyAttribute("aid", "S"),)})
    assert "has the key aid (S), but the plan's is aid (N)" in finding.message


def test_a_key_that_dynamo_cannot_have() -> None:
    """Whether the table is there or not."""
    columns = tuple(replace(each, type="bool") if each.name == "aid" else each for each in TABLES[ACCOUNTS].columns)
    source = Catalog(DATABASE, {**TABLES, ACCOUNTS: replace(TABLES[ACCOUNTS], columns=columns)})
    every_row = ('        where: [{column: aid, op: "<=", value: 20000}]\n', "")
    [finding] = _lookup({}, every_row, source=source)
    assert "the key column aid is a bool, which no DynamoDB key can be" in finding.message
