"""What keeps the role of `control.dsn` from keeping control's database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from streams.plan.catalog import Catalog, TableInfo
from streams.plan.draft import Draft
from streams.plan.finding import Finding
from streams.plan.live import CONTROL_TABLE, control_findings
from streams.plan.load import parse_document
from streams.plan.model import Plan
from tests.unit.plan.plans import edited
from tests.unit.plan.test_live import DATABASE, table


def _control(tables: Mapping[str, TableInfo], kept: str | None = None, **database: Any) -> list[Finding]:
    known = replace(DATABASE, **{"name": "control", "wal_level": "replica", "may_replicate": False, **database})
    document = parse_document(edited(), "p")
    plan = Plan.model_validate(document.data)
    return list(control_findings(plan, Draft(document), Catalog(known, tables), kept))


META = table(CONTROL_TABLE, ("version",))


def test_the_control_database_of_another_plan() -> None:
    """Topics, connector and slot would be made, and only then would control refuse to start."""
    assert _control({CONTROL_TABLE: META}, "bank") == []
    (finding,) = _control({CONTROL_TABLE: META}, "shop")
    assert (finding.severity, finding.path) == ("contradictory", "control.dsn")
    assert "is that of the plan shop" in finding.message


@pytest.mark.parametrize("tables", [{}, {CONTROL_TABLE: META}])
@pytest.mark.parametrize("schemas", [{}, {"holdtrue": True}])
def test_a_control_database_that_fits(tables: dict[str, TableInfo], schemas: dict[str, bool]) -> None:
    """It need neither replicate nor have logical decoding; before the first start and after it."""
    assert _control(tables, schemas=schemas) == []


@pytest.mark.parametrize(
    ("tables", "database", "words"),
    [
        ({}, {"may_create": False}, 'run GRANT CREATE ON DATABASE "control" TO "app"'),
        ({CONTROL_TABLE: META}, {"may_create": False}, 'run GRANT CREATE ON DATABASE "control" TO "app"'),
        ({}, {"schemas": {"holdtrue": False}}, 'run GRANT USAGE, CREATE ON SCHEMA holdtrue TO "app"'),
        ({CONTROL_TABLE: replace(META, is_owner=False)}, {"schemas": {"holdtrue": False}}, "log in as its owner"),
        ({CONTROL_TABLE: replace(META, is_owner=False)}, {}, 'GRANT OWNER TO "app"'),
    ],
)
def test_what_control_may_not_do(tables: dict[str, TableInfo], database: dict[str, Any], words: str) -> None:
    """At its DSN's place, with the statement that allows it."""
    [finding] = _control(tables, **database)
    assert (finding.severity, finding.path, words in finding.message) == ("invalid", "control.dsn", True)
