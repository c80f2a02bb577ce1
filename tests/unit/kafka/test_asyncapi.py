"""The contract of our topics: what docs/asyncapi.yaml says is what is written, and is an AsyncAPI document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import jsonschema
import pytest
import yaml

from streams.kafka.asyncapi import KEYS, document
from streams.kafka.topics import topics_of
from streams.plan.model import Plan

FILE = Path(__file__).parents[3] / "docs" / "asyncapi.yaml"
REF = {"type": "object", "properties": {"$ref": {"type": "string", "pattern": "^#/"}}, "required": ["$ref"],
       "additionalProperties": False}  # fmt: skip
TEXT = {"type": "string", "minLength": 1}


def _object(required: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An object with these fields, the required ones and more, and no others."""
    return {"type": "object", "properties": {**required, **more}, "required": list(required),
            "additionalProperties": False}  # fmt: skip


def _named(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "minProperties": 1, "patternProperties": {r"^[a-zA-Z0-9._-]+$": of},
            "additionalProperties": False}  # fmt: skip


KAFKA_TOPIC = _object(
    {"bindingVersion": TEXT},
    partitions={"type": "integer", "minimum": 1},
    topicConfiguration={"type": "object"},
)
# AsyncAPI 3.0, as far as it is used here.
ASYNCAPI = _object(
    {
        "asyncapi": {"const": "3.0.0"},
        "info": _object({"title": TEXT, "version": TEXT}, description=TEXT, license=_object({"name": TEXT})),
    },
    defaultContentType=TEXT,
    channels=_named(
        _object(
            {"address": TEXT, "messages": _named(REF)},
            description=TEXT,
            bindings=_object({"kafka": KAFKA_TOPIC}),
            parameters=_named(_object({}, description=TEXT)),
        )
    ),
    operations=_named(
        _object(
            {"action": {"enum": ["send", "receive"]}, "channel": REF},
            messages={"type": "array", "items": REF},
            description=TEXT,
        )
    ),
    components=_object(
        {},
        messages=_named(
            _object(
                {"payload": _object({"schemaFormat": TEXT, "schema": {"type": "object"}})},
                name=TEXT, title=TEXT, contentType=TEXT, headers=REF, bindings={"type": "object"},
            )
        ),
        schemas=_named({"type": "object"}),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def kept() -> Any:
    """The document as it is in the repository."""
    return yaml.safe_load(FILE.read_text())


def test_the_document_is_up_to_date(kept: Any) -> None:
    """Otherwise: holdtrue schemas asyncapi > docs/asyncapi.yaml"""
    assert kept == document()


def test_the_document_is_asyncapi(kept: Any) -> None:
    """Its structure; and each reference leads somewhere."""
    jsonschema.validate(kept, ASYNCAPI)
    references = list(_references(kept))
    assert len(references) > len(kept["channels"])
    for reference in references:
        assert _at(kept, reference) is not None


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _at(document_: Any, reference: str) -> Any:
    found = document_
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_payloads_are_the_schemas_of_the_registry(kept: Any) -> None:
    """Every field of every one is there, with what it means."""
    for name, message in kept["components"]["messages"].items():
        payload = fastavro.parse_schema(message["payload"]["schema"])
        assert payload, name
        assert all(field["doc"] for field in message["payload"]["schema"]["fields"])


def test_every_topic_of_ours_is_in_it(kept: Any, plan: Plan) -> None:
    """With the settings it is made with; and says what its records are keyed by."""
    channels = [(_pattern(each["address"]), each) for each in kept["channels"].values()]
    for topic in topics_of(plan):
        if topic.schema is None:
            continue
        (channel,) = [each for pattern, each in channels if pattern.fullmatch(topic.name)]
        assert [*channel["messages"]] == [topic.schema]
        if "partitions" in channel["bindings"]["kafka"]:
            config = channel["bindings"]["kafka"]["topicConfiguration"]
            assert channel["bindings"]["kafka"]["partitions"] == topic.partitions
            assert ",".join(config["cleanup.policy"]) == topic.config["cleanup.policy"]
            assert str(config["retention.ms"]) == topic.config["retention.ms"]
    assert len(channels) == len(KEYS)


def _pattern(address: str) -> re.Pattern[str]:
    """The topics under an address. A replica's name has no dot, so that results are nobody's requests."""
    known = re.escape(address).replace(r"\{replica\}", r"[a-z0-9_-]+").replace(r"\{table\}", r"\w+\.\w+")
    return re.compile(known)
