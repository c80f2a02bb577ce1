"""Which keys and streams the tables of a DynamoDB replica have: for `plan check --live`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from streams.address import without_credentials
from streams.errors import StoreUnavailable
from streams.plan.types import DynamoInfo, KeyAttribute
from streams.replicas.dynamodb_schema import view_of

TIMEOUT_SECONDS: Final = 5


def dynamo_tables(region: str, endpoint: str | None, tables: Iterable[str]) -> dict[str, DynamoInfo]:
    """Those of `tables` that exist. Raises StoreUnavailable."""
    settings = Config(connect_timeout=TIMEOUT_SECONDS, read_timeout=TIMEOUT_SECONDS, retries={"total_max_attempts": 1})
    endpoint = endpoint and without_credentials(endpoint)
    where = endpoint or f"DynamoDB in {region}"
    try:
        client = boto3.client("dynamodb", region_name=region, endpoint_url=endpoint, config=settings)
        found = {table: _dynamo_table(client, table) for table in tables}
    except ClientError as error:
        reason = error.response.get("Error", {}).get("Code", "an error")
        raise StoreUnavailable(f"{where} refuses: {reason}.", "Check the credentials and their permissions.") from None
    except (BotoCoreError, ValueError) as error:
        hint = "Check the endpoint, the network, and that AWS credentials are set."
        raise StoreUnavailable(f"{where} cannot be reached: {type(error).__name__}.", hint) from None
    return {table: info for table, info in found.items() if info is not None}


def _dynamo_table(client: Any, table: str) -> DynamoInfo | None:
    try:
        described = client.describe_table(TableName=table)["Table"]
    except client.exceptions.ResourceNotFoundException:
        return None
    types = {item["AttributeName"]: item["AttributeType"] for item in described["AttributeDefinitions"]}
    schema = sorted(described["KeySchema"], key=lambda item: item["KeyType"] != "HASH")
    key = tuple(KeyAttribute(item["AttributeName"], types[item["AttributeName"]]) for item in schema)
    return DynamoInfo(key, view_of(described))
