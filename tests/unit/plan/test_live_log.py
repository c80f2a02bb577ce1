"""`plan check --live` of a Postgres replica whose own log is to be followed: each lack has its statement."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from streams.plan.catalog import Catalog, PublicationInfo, SlotInfo
from streams.plan.draft import Draft
from streams.plan.finding import Finding
from streams.plan.live_replicas import postgres_findings
from streams.plan.load import parse_document
from streams.plan.model import Plan, PostgresReplica
from streams.plan.names import SLOT_PATTERN, replica_log_name
from tests.unit.plan.plans import edited
from tests.unit.plan.test_live import ACCOUNTS, SOURCE, STORE, TABLES, part

FOLLOWED = ("every: 1h", "every: 1h, scrub_period: 10m, replica_log: true")


def _found(catalog: Catalog, *edits: tuple[str, str]) -> list[Finding]:
    document = parse_document(edited(*edits), "p")
    plan = Plan.model_validate(document.data)
    replica = plan.replicas["reports"]
    assert isinstance(replica, PostgresReplica)
    return list(postgres_findings(plan, Draft(document), "reports", replica, SOURCE, catalog))


def _with(**table: Any) -> Catalog:
    return replace(STORE, tables={**TABLES, ACCOUNTS: replace(TABLES[ACCOUNTS], **table)})


def test_a_log_that_can_be_followed_has_no_findings() -> None:
    """Also where holdtrue will create the tables."""
    assert _found(STORE, FOLLOWED) == []
    assert _found(replace(STORE, tables={}), FOLLOWED) == []


SLOT = replica_log_name("bank", "reports")
TAKEN = {"another": SlotInfo("pgoutput", "replica", active=True)}


@pytest.mark.parametrize(
    ("database", "words"),
    [
        ({"wal_level": "replica"}, "wal_level = 'logical'"),
        ({"slots_bounded": False}, "max_slot_wal_keep_size"),
        ({"may_replicate": False, "is_superuser": False}, 'ALTER ROLE "app" REPLICATION'),
        ({"slots": TAKEN, "slots_max": 1}, "max_replication_slots"),
        ({"slots": {SLOT: SlotInfo("test_decoding", "replica", active=False)}}, "somebody else's"),
    ],
)
def test_what_the_server_lacks_is_named_with_its_mend(database: dict[str, Any], words: str) -> None:
    """Once for the replica; and it is nothing where no log is followed."""
    catalog = replace(STORE, database=replace(STORE.database, **database))
    (finding,) = _found(catalog, FOLLOWED)
    assert (finding.severity, finding.path) == ("invalid", "replicas.reports.dsn")
    assert words in finding.message
    assert _found(catalog) == []


def test_a_role_that_may_not_publish_needs_the_publication() -> None:
    """With it there, the right to create is not needed for it."""
    schemas = {"public": True, "holdtrue": True}
    database = replace(STORE.database, may_create=False, schemas=schemas)
    (finding,) = _found(replace(STORE, database=database), FOLLOWED)
    assert "GRANT CREATE ON DATABASE" in finding.message
    there = replace(database, publications={SLOT: PublicationInfo(is_owner=True, tables=frozenset(TABLES))})
    assert _found(replace(STORE, database=there), FOLLOWED) == []


@pytest.mark.parametrize(
    ("table", "severity", "words"),
    [
        ({"is_owner": False}, "invalid", "GRANT OWNER TO"),
        ({"parts": (part(ACCOUNTS, logged=False),)}, "invalid", "SET LOGGED"),
        ({"parts": (part(ACCOUNTS, replica_identity="n"),)}, "invalid", "REPLICA IDENTITY"),
        ({"parts": (part(ACCOUNTS, replica_identity="i", identity_columns=("bid",)),)}, "invalid", "REPLICA IDENTITY"),
        ({"relkind": "p"}, "not_built", "partitioned"),
    ],
)
def test_what_a_table_lacks_is_named_at_its_place(table: dict[str, Any], severity: str, words: str) -> None:
    """Publishing it as it is would have its own writers fail, or show nothing."""
    (finding,) = _found(_with(**table), FOLLOWED)
    assert (finding.severity, finding.path) == (severity, "replicas.reports.defaults.validation.replica_log")
    assert words in finding.message
    assert not [each for each in _found(_with(**table)) if "replica_log" in each.path]


NAMES = (("a-b", "c"), ("a_b", "c"), ("p" * 40, "r" * 40), ("p" * 40, "r" * 39))


def test_names_of_slots_are_possible_and_not_each_others() -> None:
    """Whatever plan and replica are called."""
    names = {replica_log_name(*each) for each in NAMES}
    assert len(names) == len(NAMES)
    assert all(re.match(SLOT_PATTERN, name) for name in names)
