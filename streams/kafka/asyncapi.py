"""The contract of our own topics as an AsyncAPI document: made of the schemas and of how topics are set up. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from streams.kafka.schemas import schema
from streams.kafka.topics import Setup, own_setups

VERSION: Final = "3.0.0"
AVRO: Final = "application/vnd.apache.avro+json;version=1.9.0"
BINDING: Final = "0.5.0"
# Topics of each replica's table, which are set up as its change topic is: schema of the values, and what they are.
PER_TABLE: Final = (("checks", "check-request"), ("repairs", "repair-request"))
KEYS: Final[Mapping[str, str]] = {
    "drift": "The drift's id: the newest record of an id is its state.",
    "signals": "The signal's id, or replica/table.",
    "dlq": "The drift that was opened beside it.",
    "audit": "What the entry is about.",
    "checks.results": "The run.",
    "repairs.results": "The repair.",
    "checks": "The run. The partition is named explicitly: that of the change topic whose owner is asked.",
    "repairs": "The repair. The partition is named explicitly, as for checks.",
}
HEADERS: Final = ("ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "content-type")


class Channel(NamedTuple):
    """A topic of the document. parameters: what its address has in braces."""

    name: str
    schema: str
    address: str
    binding: Mapping[str, Any]
    parameters: Mapping[str, Any]


def document(prefix: str = "holdtrue") -> dict[str, Any]:
    """The AsyncAPI document. prefix: `kafka.topics` of the plan."""
    channels = list(_channels(prefix))
    names = sorted({channel.schema for channel in channels})
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "holdtrue",
            "version": "0.1.0",
            "description": "Topics that holdtrue writes. Values are Avro in the Confluent wire format, with headers of "
            f"CloudEvents in binary mode. `{prefix}` is kafka.topics of the plan.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/avro",
        "channels": {_id(channel.name): _channel(channel) for channel in channels},
        "operations": {f"send-{_id(channel.name)}": _sends(channel) for channel in channels},
        "components": {
            "messages": {name: _message(name) for name in names},
            "schemas": {"cloudEvent": _headers()},
        },
    }


def _channels(prefix: str) -> Iterator[Channel]:
    for setup in own_setups():
        yield Channel(setup.name, setup.schema, f"{prefix}.{setup.name}", _binding(setup), {})
    parameters = {
        "replica": {"description": "Name of the replica in the plan."},
        "table": {"description": "SOT table, schema.table."},
    }
    for kind, name in PER_TABLE:
        yield Channel(kind, name, f"{prefix}.{kind}.{{replica}}.{{table}}", {"bindingVersion": BINDING}, parameters)


def _binding(setup: Setup) -> dict[str, Any]:
    config = setup.config
    return {
        "partitions": setup.partitions,
        "topicConfiguration": {
            "cleanup.policy": config["cleanup.policy"].split(","),
            "retention.ms": int(config["retention.ms"]),
            "max.message.bytes": int(config["max.message.bytes"]),
        },
        "bindingVersion": BINDING,
    }


def _channel(channel: Channel) -> dict[str, Any]:
    made: dict[str, Any] = {
        "address": channel.address,
        "description": schema(channel.schema)["doc"],
        "messages": {channel.schema: {"$ref": f"#/components/messages/{channel.schema}"}},
        "bindings": {"kafka": channel.binding},
    }
    return made | ({"parameters": channel.parameters} if channel.parameters else {})


def _sends(channel: Channel) -> dict[str, Any]:
    about = f"#/channels/{_id(channel.name)}"
    key = {"type": "string", "description": KEYS[channel.name]}
    return {
        "action": "send",
        "channel": {"$ref": about},
        "messages": [{"$ref": f"{about}/messages/{channel.schema}"}],
        "description": f"Record key: {key['description']}",
    }


def _message(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "title": schema(name)["name"],
        "contentType": "application/avro",
        "headers": {"$ref": "#/components/schemas/cloudEvent"},
        "payload": {"schemaFormat": AVRO, "schema": schema(name)},
        "bindings": {
            "kafka": {
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "confluent",
                "schemaLookupStrategy": "TopicNameStrategy",
                "bindingVersion": BINDING,
            }
        },
    }


def _headers() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "CloudEvents 1.0 in binary mode.",
        "properties": {name: {"type": "string"} for name in HEADERS},
        "required": list(HEADERS),
    }


def _id(name: str) -> str:
    """The channel's name in the document, where dots would be taken for steps of a path."""
    return name.replace(".", "-")
