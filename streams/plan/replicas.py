"""Replicas in the plan: one class per kind of store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from streams.plan.base import Part, or_nothing
from streams.plan.names import Identifier, TableName, Text
from streams.plan.policy import Policies
from streams.plan.refs import Secret, WebEndpoint
from streams.plan.tables import TableMapping

KINDS: Final = ("postgres", "dynamodb", "redis")


class _SchemaOfPolicies:
    """`defaults` is merged before validation and stays raw in the model; editors see the fields it may hold."""

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(Policies.__pydantic_core_schema__)


class _OneOrSeveral:
    """In the file a table may hold one shape or a list of shapes; nothing, where `defaults` say it all."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        one = or_nothing(handler(schema))
        return {"anyOf": [*one["anyOf"], {"type": "array", "items": one, "minItems": 1}]}


class _Replica(Part):
    defaults: Annotated[Mapping[str, Any], _SchemaOfPolicies()] = Field(default_factory=dict, repr=False)
    tables: Annotated[dict[TableName, Annotated[TableMapping, _OneOrSeveral()]], Field(min_length=1)]

    @property
    def absent_allowed(self) -> bool:
        """Whether a row that the store no longer has is no drift."""
        return False

    def absent_allowed_in(self, table: str) -> bool:
        """Whether that is so for this table: a cache that is only invalidated has what was read, while it may."""
        return self.absent_allowed or self.tables[table].mode == "invalidate"


class PostgresReplica(_Replica):
    """Tables in another Postgres database; `token_schema` holds the version rows beside them."""

    kind: Literal["postgres"]
    dsn: Secret
    token_schema: Identifier = "holdtrue"  # noqa: S105 - the name of a schema


class DynamoReplica(_Replica):
    """DynamoDB tables. Credentials come from where the AWS SDK looks for them; `endpoint` only where it is not AWS."""

    kind: Literal["dynamodb"]
    region: Text
    endpoint: WebEndpoint | None = None


class RedisReplica(_Replica):
    """JSON objects in a Redis database or cluster, one per row, under the key template of each table.

    `absent` says what a row counts as that Redis no longer has, because it was evicted or has expired.
    """

    kind: Literal["redis"]
    url: Secret
    absent: Literal["drift", "allowed"] = "drift"

    @property
    def absent_allowed(self) -> bool:
        """Whether a row that Redis has evicted or let expire is no drift."""
        return self.absent == "allowed"


Replica = Annotated[PostgresReplica | DynamoReplica | RedisReplica, Field(discriminator="kind")]
