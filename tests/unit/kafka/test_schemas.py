from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fastavro
import pytest

from streams.errors import UsageError
from streams.kafka.schemas import change_subjects, own_subjects, schema, schema_names
from streams.plan.model import Plan


def records(node: Any) -> Iterator[dict[str, Any]]:
    """Every record schema in an Avro schema."""
    if isinstance(node, list):
        for each in node:
            yield from records(each)
    elif isinstance(node, dict):
        if node.get("type") == "record":
            yield node
            yield from (inner for field in node["fields"] for inner in records(field["type"]))
        else:
            yield from records(node.get("items"))
            yield from records(node.get("values"))


@pytest.mark.parametrize("name", schema_names())
def test_schema_is_valid_and_documented(name: str) -> None:
    """Each schema parses, lives in a namespace of ours, and says what every record and field means."""
    fastavro.parse_schema(schema(name))
    for record in records(schema(name)):
        assert record["namespace"].startswith("holdtrue.")
        assert record["doc"]
        assert all(field.get("doc") for field in record["fields"]), record["name"]


@pytest.mark.parametrize("name", schema_names())
def test_text_defaults_hold_no_braces(name: str) -> None:
    """Apicurio 3.3.3 does not recognise a schema with a default such as "{}" as Avro."""
    for record in records(schema(name)):
        assert not any("{" in str(field.get("default")) for field in record["fields"] if field["type"] == "string")


def test_optional_fields_default_to_null() -> None:
    """A field that may be null may be left out, so that later versions can drop it."""
    for name in schema_names():
        for record in records(schema(name)):
            for field in record["fields"]:
                if isinstance(field["type"], list):
                    assert field["type"][0] == "null"
                    assert field["default"] is None


def test_every_topic_of_ours_has_a_subject(plan: Plan) -> None:
    """Subjects follow TopicNameStrategy."""
    subjects = {own.subject: own.schema for own in own_subjects(plan)}
    assert subjects["holdtrue.drift-value"] == "drift"
    assert subjects["holdtrue.checks.lookup.public.pgbench_accounts-value"] == "check-request"


def test_change_topics_have_a_key_and_a_value_subject(plan: Plan) -> None:
    """The converter registers both sides of each change topic."""
    assert "bank.public.pgbench_tellers-key" in list(change_subjects(plan))
    assert len(list(change_subjects(plan))) == 2 * len(plan.tables)


def test_unknown_schema_is_refused_with_those_there_are() -> None:
    """A slip in a schema's name says which names there are."""
    with pytest.raises(UsageError, match="dead-letter"):
        schema("no-such")
