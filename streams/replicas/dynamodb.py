"""The DynamoDB replica: one item a row, its columns as attributes, its token beside them.

A deleted row stays as an item with key, token, `holdtrue_dead` and a TTL: readers leave out items that have
`holdtrue_dead` (docs/stores.md).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, Literal

from streams.plan.mapping import Shape
from streams.replicas.base import APPLIED, Held, Outcome, Refused, Result, Write
from streams.replicas.dynamodb_client import Connection, configuring, translated, unavailable
from streams.replicas.dynamodb_items import Item, ItemForm, Names, Unstorable
from streams.replicas.dynamodb_schema import check_table, ensure_table
from streams.replicas.dynamodb_write import Batching, Put, Writer
from streams.versions.entry import Token

KEYS_PER_READ: Final = 100
SEGMENTS: Final = 4
_IDLE_ROUNDS_MAX: Final = 3
_TABLE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{3,255}").fullmatch


class DynamoTable:
    """One DynamoDB table (the contract is `replicas.base.ReplicaTable`).

    table: its name (the mapping's target).
    connection: from `dynamodb_client.connect`; may serve several tables, and ends when the last of them is closed.
    tombstone_retention: how long a deleted row's item stays at least; DynamoDB removes it some time later.
    tombstones: "attribute" keeps the dead as items of the table; "table" is not built yet and refused.
    batching: "transactions" is the faster, "single" costs half the write units on AWS.
    names: what the attributes beside the row's own are called.
    watched: somebody else writes it, and here it is only looked at.
    streamed: its stream is followed, so that it is created with one.
    """

    def __init__(
        self,
        shape: Shape,
        connection: Connection,
        *,
        table: str,
        tombstone_retention: timedelta,
        tombstones: Literal["attribute", "table"] = "attribute",
        batching: Batching = "transactions",
        names: Names | None = None,
        watched: bool = False,
        streamed: bool = False,
    ) -> None:
        _check(table, tombstones, tombstone_retention)
        self.shape = shape
        self.table = table
        self.form = ItemForm(shape, names or Names())
        self._connection: Connection | None = connection
        self._client, self._pool = connection.client, connection.pool
        self._where = f"table {table} at {self._client.meta.endpoint_url}"
        self._retention_seconds = int(tombstone_retention.total_seconds())
        self._batching = batching
        self._watched = watched
        self._streamed = streamed
        self._writer = Writer(self._client, table, self.form, self._pool, self._where)
        connection.hold()

    def prepare(self) -> None:
        """Create the table with its TTL, or check its key schema. One that is only looked at is checked."""
        with configuring(self._where):
            if self._watched:
                check_table(self._client, self.table, self.form.key_types)
                return
            ensure_table(
                self._client, self.table, self.form.key_types, self.form.names.expires, streamed=self._streamed
            )

    def apply(self, writes: Sequence[Write]) -> list[Result]:
        """Guarded writes; a row DynamoDB cannot hold is refused alone, before anything of it is sent."""
        assert not self._watched, "it is only looked at"
        results: dict[int, Result] = {}
        puts = []
        for place, write in enumerate(writes):
            try:
                puts.append(Put(place, write, self._item(write)))
            except Unstorable as reason:
                # What could never be there is gone already.
                results[place] = APPLIED if write.row is None else _refusal(reason)
        results.update(self._writer.write(puts, self._batching))
        return [results[place] for place in range(len(writes))]

    def overrule(self, key: bytes, expected: Token | None, write: Write) -> Result:
        """Write if the stored token is still `expected`; None is no token, or one that is not ours."""
        assert key == write.key
        try:
            return self._writer.one(Put(0, write, self._item(write)), expected)
        except Unstorable as reason:
            return _refusal(reason)

    def stamp(self, writes: Sequence[Write]) -> list[Result]:
        """The token attribute on items that are these rows, and still are when DynamoDB compares."""
        assert not self._watched, "it is only looked at"
        items = {key: item for item in self._items([w.key for w in writes]) if (key := self.form.row_key(item))}
        return list(self._pool.map(lambda write: self._writer.stamp(write, items.get(write.key, {})), writes))

    def drop_tokens(self) -> int:
        """The token attribute is taken from live items; tombstones are deleted."""
        return sum(sum(self._pool.map(self._writer.drop, items)) for items in self._with_tokens())

    def _with_tokens(self) -> Iterator[list[Item]]:
        """The keys of items that have a token, and whether they are tombstones."""
        names = {"#t": self.form.names.token, "#d": self.form.names.dead}
        for page in self._pages(FilterExpression="attribute_exists(#t) OR attribute_exists(#d)",
                                ExpressionAttributeNames=names):  # fmt: skip
            yield page.get("Items", [])

    def read(self, keys: Sequence[bytes]) -> dict[bytes, Held]:
        """Content of the given keys, read consistently."""
        rows = map(self._known, self._items(keys))
        return {key: held for key, held in rows if key is not None and held != (None, None)}

    def _items(self, keys: Sequence[bytes]) -> Iterator[Item]:
        wanted = []
        for key in keys:
            with suppress(Unstorable):  # never written, so the store knows nothing of it
                wanted.append(self.form.key(key))
        chunks = [wanted[at : at + KEYS_PER_READ] for at in range(0, len(wanted), KEYS_PER_READ)]
        return (item for items in self._pool.map(self._get, chunks) for item in items)

    def scan(self, chunk: int) -> Iterator[list[tuple[bytes, Held]]]:
        """All live rows, read consistently; items whose key no row of the table can have are left out."""
        for found in self._live(chunk):
            if rows := [(key, held) for key, held in found if key is not None]:
                yield rows

    def _live(self, chunk: int) -> Iterator[list[tuple[bytes | None, Held]]]:
        for page in self._pages(Limit=chunk):
            known = [self._known(item) for item in page.get("Items", ())]
            if live := [(key, held) for key, held in known if held.row is not None]:
                yield live

    def keys(self, chunk: int) -> Iterator[list[bytes | None]]:
        """Keys of live items. A scan costs what it reads, whatever it gives, so it reads whole items."""
        for rows in self._live(chunk):
            yield [key for key, _ in rows]

    def count(self) -> int:
        """Number of items that are not tombstones, counted by DynamoDB."""
        return sum(page["Count"] for page in self._pages(Select="COUNT"))

    def forget_tombstones(self, older_than: timedelta) -> int:
        """DynamoDB expires tombstones by itself (TTL)."""
        return 0

    def close(self) -> None:
        """Give the connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()

    def _item(self, write: Write) -> Item:
        if write.row is not None:
            return self.form.live(write.row, write.token)
        return self.form.tombstone(write.key, write.token, int(time.time()) + self._retention_seconds)

    def _known(self, item: Item) -> tuple[bytes | None, Held]:
        return self.form.row_key(item), self.form.held(item)

    def _get(self, keys: list[Item]) -> list[Item]:
        """The items of up to a hundred keys. DynamoDB may leave some for the next call: more than 16 MB, throttling."""
        items: list[Item] = []
        idle = 0
        while keys:
            request = {self.table: {"Keys": keys, "ConsistentRead": True}}
            with translated(self._where):
                answer = self._client.batch_get_item(RequestItems=request)
            items += answer["Responses"].get(self.table, ())
            left = answer.get("UnprocessedKeys", {}).get(self.table, {}).get("Keys", [])
            idle = idle + 1 if len(left) == len(keys) else 0
            if idle == _IDLE_ROUNDS_MAX:
                raise unavailable(self._where, "ThrottlingException")
            keys = left
        return items

    def _pages(self, **options: Any) -> Iterator[dict[str, Any]]:
        """The pages of a parallel scan over live items; at most one page a segment is in flight or waiting."""
        running: dict[Future[dict[str, Any]], int] = {}
        try:
            for segment in range(SEGMENTS):
                running[self._pool.submit(self._page, segment, None, options)] = segment
            while running:
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    segment, page = running.pop(done), done.result()
                    if "LastEvaluatedKey" in page:
                        following = self._pool.submit(self._page, segment, page["LastEvaluatedKey"], options)
                        running[following] = segment
                    yield page
        finally:
            for each in running:
                each.cancel()

    def _page(self, segment: int, start: Item | None, options: dict[str, Any]) -> dict[str, Any]:
        request = {
            "TableName": self.table,
            "ConsistentRead": True,
            "Segment": segment,
            "TotalSegments": SEGMENTS,
            "FilterExpression": "attribute_not_exists(#d)",
            "ExpressionAttributeNames": {"#d": self.form.names.dead},
            **options,
        }
        if start is not None:
            request["ExclusiveStartKey"] = start
        with translated(self._where):
            page: dict[str, Any] = self._client.scan(**request)
        return page


def _check(table: str, tombstones: str, retention: timedelta) -> None:
    if tombstones != "attribute":
        raise Refused(
            f"Tombstones in a side table, as asked for by {table}, are not built yet.",
            "Set `tombstones: attribute`; readers then leave out items that have the attribute holdtrue_dead.",
        )
    if not _TABLE_NAME(table):
        raise Refused(
            f"{table!r} cannot name a DynamoDB table.", "Use 3 to 255 letters, digits, '_', '-' or '.' for `to`."
        )
    if retention < timedelta(seconds=1):
        raise Refused(f"The tombstone retention of {table} is shorter than a second.", "Set it in the plan.")


def _refusal(reason: Unstorable) -> Result:
    return Result(Outcome.refused, None, f"DynamoDB cannot hold this row: {reason}.")
