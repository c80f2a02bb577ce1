"""Who follows the streams of a DynamoDB replica, and how far they were read: an item in a small table of its own.

A stream has no reader of its own as a replication slot has. The item names who follows, and when that one was last
here. Whoever stands by takes over when it has not changed for a while by his own clock, so that clocks need not agree.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from uuid import uuid4

from botocore.exceptions import ClientError

from streams.replicas.dynamodb_client import code, configuring, translated
from streams.replicas.dynamodb_items import Item
from streams.replicas.dynamodb_schema import active, create_table, described
from streams.replicas.dynamodb_shards import Walk
from streams.replicas.log import LogTaken

# How often whoever follows says so, and after how long without that another one takes over.
SAVE_SECONDS: Final = 5.0
LEFT_SECONDS: Final = 20.0
_KEY: Final = {"log": {"S": "log"}}
_LOST: Final = "ConditionalCheckFailedException"
_MISSING: Final = "ResourceNotFoundException"


class Place(NamedTuple):
    """How far one table's stream was read."""

    stream: str
    walk: Walk


class LogSlot:
    """The item of one replica. name: of its table."""

    def __init__(self, client: Any, name: str, where: str) -> None:
        self._client = client
        self._name = name
        self._where = where
        self._holder = uuid4().hex
        # What the one who follows wrote last, and since when that is seen here.
        self._seen: tuple[str, float] = ("", 0.0)

    def take(self) -> dict[str, Place]:
        """Follow from now on: how far each table was read. Raises LogTaken, Refused, StoreUnavailable."""
        with configuring(self._where):
            self._ensure()
            found = _item(self._client, self._name)
            holder, beat = _text(found, "holder"), _text(found, "beat", "N")
            if holder not in ("", self._holder) and not self._is_left(beat):
                raise self._taken()
            self._claim(holder, beat)
        return places(_text(found, "places"))

    def save(self, kept: Mapping[str, Place]) -> None:
        """Everything before was handed on; and we are still here. Raises LogTaken where another one is by now."""
        self._update("SET places = :p, beat = :b", {":p": {"S": text(kept)}, ":b": _now()})

    def release(self) -> None:
        """Let another one follow at once."""
        self._update("REMOVE holder, beat", {})

    def _update(self, expression: str, values: Mapping[str, Any]) -> None:
        with translated(self._where):
            self._own(
                lambda: self._client.update_item(
                    TableName=self._name, Key=_KEY, UpdateExpression=expression, ConditionExpression="holder = :h",
                    ExpressionAttributeValues={**values, ":h": {"S": self._holder}},
                )
            )  # fmt: skip

    def _claim(self, holder: str, beat: str) -> None:
        condition = "holder = :old AND beat = :seen" if holder else "attribute_not_exists(holder)"
        values = {":old": {"S": holder}, ":seen": {"N": beat}} if holder else {}
        self._own(
            lambda: self._client.update_item(
                TableName=self._name, Key=_KEY, UpdateExpression="SET holder = :h, beat = :b",
                ConditionExpression=condition,
                ExpressionAttributeValues={**values, ":h": {"S": self._holder}, ":b": _now()},
            )
        )  # fmt: skip

    def _own(self, call: Callable[[], Any]) -> None:
        try:
            call()
        except ClientError as error:
            if code(error) == _LOST:
                raise self._taken() from None
            raise

    def _ensure(self) -> None:
        if described(self._client, self._name) is None:
            create_table(self._client, self._name, {"log": "S"})
            active(self._client, self._name)

    def _is_left(self, beat: str) -> bool:
        if self._seen[0] != beat:
            self._seen = (beat, time.monotonic())
        return time.monotonic() - self._seen[1] >= LEFT_SECONDS

    def _taken(self) -> LogTaken:
        return LogTaken(f"Another worker follows the streams of {self._where}.", "This one stands by.")


def is_read(client: Any, name: str, where: str) -> bool:
    """Whether somebody follows, as far as the clock here can tell. Raises StoreUnavailable."""
    with translated(where):
        found = _item(client, name)
    return _text(found, "holder") != "" and time.time() - float(_text(found, "beat", "N")) < LEFT_SECONDS


def drop_log(client: Any, name: str, where: str) -> bool:
    """Remove the small table of a replica whose streams are not followed any more; whether there was one.

    One that somebody follows at this moment is left. Raises StoreUnavailable.
    """
    if is_read(client, name, where):
        return False
    with translated(where):
        try:
            client.delete_table(TableName=name)
        except ClientError as error:
            if code(error) == _MISSING:
                return False
            raise
    return True


def text(kept: Mapping[str, Place]) -> str:
    """How far every table was read, as it is stored."""
    return json.dumps({table: [place.stream, place.walk.at, sorted(place.walk.ended)] for table, place in kept.items()})


def places(stored: str) -> dict[str, Place]:
    """And back; what cannot be read counts as never read."""
    try:
        return {table: Place(stream, Walk(at, ended)) for table, (stream, at, ended) in json.loads(stored).items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _item(client: Any, name: str) -> Item:
    """The item; empty where there is none, nor a table."""
    try:
        found: Item = client.get_item(TableName=name, Key=_KEY, ConsistentRead=True).get("Item", {})
    except ClientError as error:
        if code(error) == _MISSING:
            return {}
        raise
    return found


def _text(item: Item, attribute: str, kind: str = "S") -> str:
    return str(item.get(attribute, {}).get(kind, ""))


def _now() -> Item:
    return {"N": f"{time.time():.3f}"}
