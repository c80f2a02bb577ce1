"""DynamoDB tables that do not fit the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from streams.plan.catalog import Catalog
from streams.plan.draft import Draft
from streams.plan.finding import Finding
from streams.plan.live_replicas import dynamo_findings
from streams.plan.load import parse_document
from streams.plan.model import DynamoReplica, Plan
from streams.plan.types import STREAM_VIEW, DynamoInfo, KeyAttribute
from tests.unit.plan.plans import edited
from tests.unit.plan.test_live import ACCOUNTS, DATABASE, SOURCE, TABLES


def _lookup(found: Mapping[str, DynamoInfo], *edits: tuple[str, str], source: Catalog = SOURCE) -> list[Finding]:
    document = parse_document(edited(*edits), "p")
    plan = Plan.model_validate(document.data)
    replica = plan.replicas["lookup"]
    assert isinstance(replica, DynamoReplica)
    return list(dynamo_findings(plan, Draft(document), "lookup", replica, source, found))


def test_dynamo_tables_with_another_key() -> None:
    """A table that exists is used only if its key is the plan's, by name and type."""
    aid = KeyAttribute("aid", "N")
    assert _lookup({"accounts": DynamoInfo((aid,))}) == []
    assert _lookup({}) == []
    [finding] = _lookup({"accounts": DynamoInfo((aid, KeyAttribute("sort", "S")))})
    assert "has the key aid (N) and sort (S), but the plan's is aid (N)" in finding.message
    [finding] = _lookup({"accounts": DynamoInfo((KeyAttribute("aid", "S"),))})
    assert "has the key aid (S), but the plan's is aid (N)" in finding.message


def test_a_key_that_dynamo_cannot_have() -> None:
    """Whether the table is there or not."""
    columns = tuple(replace(each, type="bool") if each.name == "aid" else each for each in TABLES[ACCOUNTS].columns)
    source = Catalog(DATABASE, {**TABLES, ACCOUNTS: replace(TABLES[ACCOUNTS], columns=columns)})
    every_row = ('        where: [{column: aid, op: "<=", value: 20000}]\n', "")
    [finding] = _lookup({}, every_row, source=source)
    assert "the key column aid is a bool, which no DynamoDB key can be" in finding.message


@pytest.mark.parametrize("view", [None, STREAM_VIEW, "NEW_IMAGE", "OLD_IMAGE", "KEYS_ONLY"])
def test_a_stream_that_shows_too_little(view: str | None) -> None:
    """Only where it is to be followed; one that is missing is made by the worker."""
    found = {"accounts": DynamoInfo((KeyAttribute("aid", "N"),), view)}
    assert _lookup(found) == []
    told = _lookup(found, ("every: 1h", "every: 1h, scrub_period: 10m, replica_log: true"))
    if view in (None, STREAM_VIEW):
        assert told == []
        return
    [finding] = told
    assert (finding.severity, finding.path) == ("invalid", "replicas.lookup.defaults.validation.replica_log")
    assert f"shows {view}" in finding.message
    assert STREAM_VIEW in finding.message
