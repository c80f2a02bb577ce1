"""The Data Consistency Plan as typed, immutable data. `load_plan` makes one from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from streams.plan.base import NotBuilt, Part, Whole
from streams.plan.defaults import resolved
from streams.plan.duration import Duration
from streams.plan.names import PlanName, ReplicaName, SlotName, TableName, Text, TopicPrefix
from streams.plan.refs import Address, Brokers, Secret, SecretRef, WebEndpoint
from streams.plan.replicas import KINDS, DynamoReplica, PostgresReplica, RedisReplica, Replica
from streams.plan.tables import Columns, Partitions, SourceTable, TableMapping

__all__ = [
    "KINDS",
    "Address",
    "Columns",
    "Control",
    "Converter",
    "DynamoReplica",
    "Kafka",
    "Plan",
    "PostgresReplica",
    "RedisReplica",
    "Replica",
    "SecretRef",
    "Source",
    "SourceTable",
    "TableMapping",
]


_PER_TABLE: Final = (("SourceTable", ("partitions",)),)


class Source(Part):
    """The source of truth: how to reach it, and what holdtrue keeps in it."""

    dsn: Secret
    slot: SlotName
    publication: SlotName
    signal_table: TableName = "holdtrue.signal"
    reads_per_second: Annotated[Whole, Field(le=1_000_000)] = 5000


class Converter(Part):
    """The Avro converter of Kafka Connect; `url` is the registry as this converter addresses it."""

    kind: Literal["apicurio", "confluent"]
    url: WebEndpoint | None = None


class Kafka(Part):
    """Kafka, its registry and Connect; `prefix` begins the change topics, `topics` our own."""

    bootstrap: Brokers
    registry: WebEndpoint
    connect: WebEndpoint
    converter: Converter
    prefix: TopicPrefix
    topics: TopicPrefix = "holdtrue"
    partitions: Partitions
    replication: Annotated[Whole, Field(le=10)] = 1
    retention: Duration
    longest_pause: Duration


class Control(Part):
    """The control database: runs, drift, repairs, the audit trail."""

    dsn: Secret


def _number(value: object) -> object:
    # To Python, true equals 1.
    return str(value) if isinstance(value, bool) else value


class Plan(Part):
    """The whole plan, defaults merged: each replica's tables carry every decision themselves."""

    holdtrue: Annotated[Literal[1], BeforeValidator(_number)]
    name: PlanName
    owner: Text
    approver: Text
    documents: Mapping[str, str] = Field(default_factory=dict)
    monitoring: NotBuilt = None
    review_triggers: NotBuilt = None
    source: Source
    kafka: Kafka
    control: Control
    tombstone_retention: Duration
    digest_key: Secret | None = None
    tables: Annotated[dict[TableName, SourceTable], Field(min_length=1)]
    replicas: Annotated[dict[ReplicaName, Replica], Field(min_length=1)]
    _sha256: str = PrivateAttr(default="")

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, data: Any) -> Any:
        return resolved(data)

    @model_validator(mode="after")
    def _tables_are_declared(self) -> Self:
        for name, replica in self.replicas.items():
            for table in replica.tables:
                if table not in self.tables:
                    raise ValueError(f"replica {name} copies {table}, which is not under tables")
        return self

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """The JSON Schema of a plan file: values that follow from others may be left out there."""
        schema = cls.model_json_schema()
        for part, derived in (("Source", ("slot", "publication")), ("Kafka", ("prefix", "partitions")), *_PER_TABLE):
            kept = [name for name in schema["$defs"][part]["required"] if name not in derived]
            schema["$defs"][part]["required"] = kept
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Data Consistency Plan"}

    def read_from(self, sha256: str) -> Self:
        """This plan, which knows the hash of the file it was read from."""
        self._sha256 = sha256
        return self

    @property
    def sha256(self) -> str:
        """Of the bytes of its file, as `sha256sum` prints it; empty where there was no file."""
        return self._sha256

    @property
    def digest_secret(self) -> bytes:
        """The key of all digests; empty where the plan names none. Raises what resolving the reference raises."""
        return self.digest_key.resolve().encode() if self.digest_key is not None else b""

    def key_secret(self, replica: str, table: str) -> bytes | None:
        """What keys are hidden with in this table's drift; None where they are shown."""
        return self.digest_secret if self.replicas[replica].tables[table].drift.hidden_keys else None

    def change_topic(self, table: str) -> str:
        """The topic of a table's changes, as Debezium names it: `<prefix>.<schema>.<table>`."""
        return f"{self.kafka.prefix}.{table}"

    def own_topic(self, name: str) -> str:
        """One of the project's own topics, such as `holdtrue.drift`."""
        return f"{self.kafka.topics}.{name}"

    def group(self, replica: str) -> str:
        """The consumer group of a replica's workers; also the id of its Faust app."""
        return f"holdtrue.{self.name}.{replica}"

    @property
    def converter_url(self) -> Address:
        """The registry as the Connect converter addresses it; the registry's own address unless the plan says other."""
        return self.kafka.converter.url or self.kafka.registry
