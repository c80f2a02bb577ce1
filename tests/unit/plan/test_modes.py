"""Who writes a table decides what else can be decided for it."""

from __future__ import annotations

import pytest

from streams.plan.load import parse_document
from streams.plan.model import Plan
from tests.unit.plan.plans import edited, findings, found

VERIFY, INVALIDATE = ("mode: replicate", "mode: verify"), ("mode: replicate", "mode: invalidate")
DEFAULTS = "replicas.reports.defaults"


def test_a_table_that_somebody_else_writes_is_a_complete_plan() -> None:
    """Nothing else needs to be said of it."""
    assert findings(VERIFY) == []


@pytest.mark.parametrize(
    ("edit", "path", "words"),
    [
        (("automatic: []", "automatic: [stale]"), "repair.automatic", "only repaired on an order"),
        (("every: 1h", "every: 1h, scrub_period: 1h, replica_log: true"), "validation.replica_log", "leave it out"),
        (("lag: 2s", "lag: 11m"), "consistency.lag", "at most 10m"),
        (("{kind: eventual, lag: 2s}", "{kind: strong}"), "consistency.kind", "how long the other writer may take"),
    ],
)
def test_what_verify_contradicts(edit: tuple[str, str], path: str, words: str) -> None:
    """We write on an order only, and a check must know how long it has to wait."""
    messages = [each.message for each in findings(VERIFY, edit) if each.path == f"{DEFAULTS}.{path}"]
    assert any(words in message for message in messages)


def test_a_cache_is_invalidated_where_a_deleted_row_is_gone() -> None:
    """In DynamoDB a deleted item is still there, for those who fill in."""
    refused = {path for severity, path in found(INVALIDATE) if severity == "contradictory"}
    assert refused == {path for _, path in found(INVALIDATE)}
    assert refused
    assert all(path.startswith("replicas.lookup.") or path == "replicas.reports.defaults.mode" for path in refused)


def test_a_row_that_a_cache_lacks_cannot_be_repaired_without_being_asked() -> None:
    """It is no drift."""
    messages = [each.message for each in findings(INVALIDATE, ("automatic: []", "automatic: [missing]"))]
    assert any("is no drift" in message for message in messages)


def test_how_late_somebody_else_may_be_follows_from_the_mode() -> None:
    """Up to the plan's lag, or by nothing."""
    same = ("mode: replicate", "mode: replicate")
    for edit, others, lag, absent in ((VERIFY, True, 2, False), (INVALIDATE, True, 0, True), (same, False, 0, False)):
        plan = Plan.model_validate(parse_document(edited(edit), "consistency.yaml").data)
        reports, table = plan.replicas["reports"], "public.pgbench_accounts"
        mapping = reports.tables[table]
        assert (mapping.others_write, mapping.others_lag.total_seconds()) == (others, lag)
        assert reports.absent_allowed_in(table) is absent
