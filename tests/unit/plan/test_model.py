"""The plan as other code uses it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from streams.plan.model import DynamoReplica, Plan, PostgresReplica, RedisReplica
from tests.unit.plan.plans import EXAMPLE, edited, example

SCHEMA = Path(__file__).parents[3] / "schemas" / "plan.schema.json"


def test_derived_values_are_there() -> None:
    """Names and partitions that follow from others need not be written."""
    plan = example()
    assert (plan.source.slot, plan.source.publication, plan.kafka.prefix) == ("holdtrue_bank", "holdtrue_bank", "bank")
    assert plan.tables["public.pgbench_accounts"].partitions == plan.kafka.partitions == 4


def test_names_of_topics_and_groups() -> None:
    """Every part of the system derives the same names from the plan."""
    plan = example()
    assert plan.change_topic("public.pgbench_accounts") == "bank.public.pgbench_accounts"
    assert plan.own_topic("drift") == "holdtrue.drift"
    assert plan.group("reports") == "holdtrue.bank.reports"


def test_defaults_are_merged_field_by_field() -> None:
    """A table's own field wins over the replica's defaults; the other fields stay."""
    own = ("public.pgbench_tellers: {}", "public.pgbench_tellers: {consistency: {kind: eventual, lag: 9s}}")
    tables = Plan.model_validate(yaml.safe_load(edited(own))).replicas["reports"].tables
    assert tables["public.pgbench_tellers"].lag_max == timedelta(seconds=9)
    assert tables["public.pgbench_branches"].lag_max == timedelta(seconds=2)
    assert tables["public.pgbench_tellers"].on_failure == "dead-letter"


def test_kinds_and_targets() -> None:
    """Each kind has its own class; a target is a table's name or a key template."""
    replicas = example().replicas
    kinds = {name: type(replica) for name, replica in replicas.items()}
    assert kinds == {"reports": PostgresReplica, "lookup": DynamoReplica, "cache": RedisReplica}
    table = "public.pgbench_accounts"
    targets = [replica.tables[table].target(table, replica.kind) for replica in replicas.values()]
    assert targets == [table, "accounts", "account:{aid}"]


def test_a_plan_does_not_change() -> None:
    """A plan is immutable: who holds one can rely on it."""
    with pytest.raises(ValidationError, match="frozen"):
        example().owner = "somebody"  # type: ignore[misc]


def test_an_undeclared_table_is_refused_by_the_model_too() -> None:
    """A plan made without `plan check` still holds together."""
    text = edited(("  public.pgbench_tellers: {key: [tid], partitions: 1}\n", ""))
    with pytest.raises(ValidationError, match="not under tables"):
        Plan.model_validate(yaml.safe_load(text))


def test_the_committed_json_schema_is_the_models() -> None:
    """`schemas/plan.schema.json` is what `holdtrue plan schema` writes."""
    assert json.loads(SCHEMA.read_text()) == Plan.json_schema()


def test_the_json_schema_takes_the_example_and_refuses_slips() -> None:
    """Editors accept a plan that is written tersely and mark unknown fields."""
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    assert not list(validator.iter_errors(yaml.safe_load(EXAMPLE.read_text())))
    for edit in (("owner:", "ownr:"), ("mode: replicate", "mode: copy"), ("lag: 2s", "lag: 2 seconds")):
        assert list(validator.iter_errors(yaml.safe_load(edited(edit)))), edit
