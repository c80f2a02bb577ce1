"""The DynamoDB table itself: created when it is missing, else checked."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from botocore.exceptions import ClientError

from streams.errors import StoreUnavailable
from streams.plan.types import STREAM_VIEW
from streams.replicas.base import Refused
from streams.replicas.dynamodb_client import code

# A stream that shows what following it needs.
STREAM: Final = {"StreamEnabled": True, "StreamViewType": STREAM_VIEW}
_ACTIVE_SECONDS_MAX: Final = 60.0
_POLL_SECONDS: Final = 0.5


def ensure_table(client: Any, table: str, key_types: dict[str, str], expires: str, *, streamed: bool = False) -> None:
    """Create the table with this key (attribute → type, partition key first) and TTL attribute, or check it.

    streamed: a table that is created has a stream; whoever follows one looks after that of a table that is there.

    Raises `Refused` when it exists with another key, `StoreUnavailable` when it does not become active.
    """
    found = described(client, table)
    if found is None:
        create_table(client, table, key_types, streamed=streamed)
    found = active(client, table)
    _check_key(table, found, key_types)
    _ensure_ttl(client, table, expires)


def check_table(client: Any, table: str, key_types: dict[str, str]) -> None:
    """Raises `Refused` where the table is missing, or has another key."""
    found = described(client, table)
    if found is None:
        raise Refused(
            f"The DynamoDB table {table} is missing, and under mode verify it is not created.",
            "Whoever writes it creates it; or let the plan say `mode: replicate`.",
        )
    _check_key(table, found, key_types)


def described(client: Any, table: str) -> dict[str, Any] | None:
    """The table's description; None where there is no such table."""
    try:
        found: dict[str, Any] = client.describe_table(TableName=table)["Table"]
    except ClientError as error:
        if code(error) == "ResourceNotFoundException":
            return None
        raise
    return found


def view_of(described: Mapping[str, Any]) -> str | None:
    """What the stream of a described table shows; None where it has none."""
    said = described.get("StreamSpecification") or {}
    return said.get("StreamViewType") if said.get("StreamEnabled") else None


def create_table(client: Any, table: str, key_types: dict[str, str], *, streamed: bool = False) -> None:
    """Create a table with this key, unless another worker was faster."""
    try:
        client.create_table(
            TableName=table,
            KeySchema=_key_schema(key_types),
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind} for name, kind in key_types.items()],
            BillingMode="PAY_PER_REQUEST",
            **({"StreamSpecification": STREAM} if streamed else {}),
        )
    except ClientError as error:
        if code(error) != "ResourceInUseException":  # another worker was faster
            raise


def _key_schema(key_types: dict[str, str]) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": role} for name, role in zip(key_types, ("HASH", "RANGE"), strict=False)]


def active(client: Any, table: str) -> dict[str, Any]:
    """The table's description, once it can be used."""
    deadline = time.monotonic() + _ACTIVE_SECONDS_MAX
    while True:
        found = described(client, table)
        if found is not None and found["TableStatus"] in ("ACTIVE", "UPDATING"):
            return found
        if time.monotonic() > deadline:
            raise StoreUnavailable(
                f"The DynamoDB table {table} was not active after {_ACTIVE_SECONDS_MAX:.0f} s.",
                "Look at its state in DynamoDB.",
            )
        time.sleep(_POLL_SECONDS)


def _check_key(table: str, found: dict[str, Any], key_types: dict[str, str]) -> None:
    types = {each["AttributeName"]: each["AttributeType"] for each in found["AttributeDefinitions"]}
    roles = sorted(found["KeySchema"], key=lambda each: str(each["KeyType"]))  # HASH before RANGE
    there = [(each["AttributeName"], types[each["AttributeName"]]) for each in roles]
    if there != list(key_types.items()):
        raise Refused(
            f"The DynamoDB table {table} has the key {_spelled(there)}, the plan needs {_spelled(key_types.items())}.",
            "Name another table with `to`, or remove this one; holdtrue creates it.",
        )


def _spelled(key: Any) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in key)


def _ensure_ttl(client: Any, table: str, expires: str) -> None:
    found = client.describe_time_to_live(TableName=table).get("TimeToLiveDescription", {})
    state, attribute = found.get("TimeToLiveStatus", "DISABLED"), found.get("AttributeName", expires)
    if state in ("ENABLED", "ENABLING"):
        if attribute != expires:
            raise Refused(
                f"The DynamoDB table {table} expires items by {attribute!r}, tombstones need {expires!r}.",
                "Give the tombstone's attribute that name, or switch the table's TTL off.",
            )
        return
    try:
        client.update_time_to_live(TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": expires})
    except ClientError as error:
        if code(error) != "ValidationException":  # another worker switched it on, or it was changed within the hour
            raise
