from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from streams.connectors.render import (
    FENCE_PREFIX,
    HEARTBEAT_PREFIX,
    PASSWORD,
    RECORD_BYTES_MAX,
    Endpoints,
    connector_name,
    poll_ms,
    render,
)
from streams.plan.check import load_plan
from streams.plan.model import Plan
from tests.unit.connectors.conftest import ROOT

HERE = Endpoints("db", "5432", "holdtrue", "geheim", "sot", "http://registry/apis/registry/v2", "require")


def test_committed_connector_is_what_the_example_plan_renders(plan: Plan) -> None:
    """`connectors/bank.json` is what `holdtrue connectors render` prints for the example plan."""
    committed = json.loads((ROOT / "connectors/bank.json").read_text())
    assert committed == {"name": connector_name(plan), "config": render(plan, Endpoints.references(plan))}


def test_shown_form_holds_references_only(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rendering never resolves a reference, so no secret can be in what is shown and committed."""
    monkeypatch.setenv("HOLDTRUE_SOT_DSN", "postgresql://holdtrue:geheim@db/sot")
    shown = render(plan, Endpoints.references(plan))
    assert shown[PASSWORD] == "${env:HOLDTRUE_SOT_DSN#password}"
    assert "geheim" not in json.dumps(shown)


def test_resolved_form_goes_to_the_database_named(plan: Plan) -> None:
    """What `apply` sends carries host, user, password and TLS mode of the DSN."""
    config = render(plan, HERE)
    assert config["database.hostname"] == "db"
    assert config[PASSWORD] == "geheim"
    assert config["database.sslmode"] == "require"


def test_captures_the_tables_of_the_plan_and_the_signal_table_only(plan: Plan) -> None:
    """The include list matches each table literally: a dot is a dot."""
    patterns = render(plan, HERE)["table.include.list"].split(",")
    captured = {name for name in [*plan.tables, "holdtrue.signal"] if any(re.fullmatch(p, name) for p in patterns)}
    assert captured == {*plan.tables, "holdtrue.signal"}
    assert not any(re.fullmatch(pattern, "publicXpgbench_accounts") for pattern in patterns)


def test_fences_pass_and_heartbeats_do_not(plan: Plan) -> None:
    """The connector passes on messages of fences; the heartbeat's own message only moves the slot."""
    config = render(plan, HERE)
    include = config["message.prefix.include.list"]
    assert re.fullmatch(include, FENCE_PREFIX)
    assert not re.fullmatch(include, HEARTBEAT_PREFIX)
    assert f"'{HEARTBEAT_PREFIX}'" in config["heartbeat.action.query"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("skipped.operations", "none"),  # else TRUNCATE never arrives
        ("lsn.flush.mode", "connector"),  # else a confirmed position proves nothing about Kafka
        ("offset.mismatch.strategy", "trust_offset"),  # else a slot made anew loses changes silently
        ("publication.autocreate.mode", "disabled"),
        ("tombstones.on.delete", "true"),
        ("decimal.handling.mode", "string"),  # else NaN and infinity arrive as NULL
        ("schema.name.adjustment.mode", "avro"),
        ("provide.transaction.metadata", "false"),
        ("plugin.name", "pgoutput"),
        ("slot.name", "holdtrue_bank"),
        ("publication.name", "holdtrue_bank"),
    ],
)
def test_settings_the_design_rests_on(plan: Plan, setting: str, value: str) -> None:
    """Settings without which something would be lost silently have exactly these values."""
    assert render(plan, HERE)[setting] == value


def test_keys_are_the_tables_own(plan: Plan) -> None:
    """No key is replaced: the key's bytes decide the partition, and the plan's key is the primary key."""
    assert "message.key.columns" not in render(plan, HERE)


def test_producer_takes_what_the_topics_take(plan: Plan) -> None:
    """The largest record fits the producer, its buffer and the topics alike."""
    config = render(plan, HERE)
    assert int(config["producer.override.max.request.size"]) == RECORD_BYTES_MAX
    assert int(config["producer.override.buffer.memory"]) > RECORD_BYTES_MAX
    assert int(config["topic.creation.default.max.message.bytes"]) == RECORD_BYTES_MAX


def test_confluent_converter_uses_the_registry_itself(plan: Plan) -> None:
    """With `converter: {kind: confluent}` both sides use Confluent's converter and no Apicurio setting is left."""
    kafka = plan.kafka.model_copy(update={"converter": plan.kafka.converter.model_copy(update={"kind": "confluent"})})
    config = render(plan.model_copy(update={"kafka": kafka}), HERE)
    assert config["key.converter"] == config["value.converter"] == "io.confluent.connect.avro.AvroConverter"
    assert config["value.converter.schema.registry.url"] == HERE.converter_url
    assert not any("apicurio" in name for name in config)


@pytest.mark.parametrize(("lag", "milliseconds"), [("2s", 200), ("700ms", 70), ("1ms", 20), ("1h", 500)])
def test_changes_gather_for_a_tenth_of_the_tightest_lag_bound(tmp_path: Path, lag: str, milliseconds: int) -> None:
    """As few handings over as the plan allows, whose cost does not depend on how many changes are in them."""
    example = (ROOT / "docs/examples/bank/consistency.yaml").read_text()
    assert "lag: 2s" in example
    (tmp_path / "consistency.yaml").write_text(example.replace("lag: 2s", f"lag: {lag}"))
    assert poll_ms(load_plan(tmp_path / "consistency.yaml")) == milliseconds


def test_every_value_is_text(plan: Plan) -> None:
    """Kafka Connect takes text values only."""
    assert all(isinstance(value, str) for value in render(plan, HERE).values())
