"""Guarded writes to DynamoDB: transactions of up to a hundred conditional puts, or one call a key.

A transaction is all or nothing, so one stale key cancels its hundred; the answer then says which keys failed and what
they hold. Those are answered from that, the others are sent again: two calls instead of a hundred. Transactions cost
twice the write units on AWS; `single` costs one call, and one unit, a key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import Any, Final, Literal, NamedTuple

from botocore.exceptions import ClientError

from streams.replicas.base import APPLIED, Outcome, Result, Write
from streams.replicas.dynamodb_client import code, translated, unavailable
from streams.replicas.dynamodb_items import Item, ItemForm, item_bytes
from streams.versions.entry import Token

Batching = Literal["transactions", "single"]

WRITES_MAX: Final = 100
TRANSACTION_BYTES_MAX: Final = 3_500_000  # DynamoDB allows 4 MB, expressions included
_ROUNDS_MAX: Final = 4
_REFUSALS: Final = {
    "ValidationError": "DynamoDB does not accept this item",
    "ValidationException": "DynamoDB does not accept this item",
    "ItemCollectionSizeLimitExceeded": "the items of this partition key exceed what an index may hold",
    "ItemCollectionSizeLimitExceededException": "the items of this partition key exceed what an index may hold",
}


class Rule(Enum):
    """How a write is decided when no particular token is expected."""

    by_order = "by order"


BY_ORDER = Rule.by_order
Expected = Token | Rule | None


class Put(NamedTuple):
    """A write with the item it becomes, and its place in the batch."""

    place: int
    write: Write
    item: Item


class Writer:
    """Sends guarded puts to one table; `where` names table and endpoint in errors."""

    def __init__(self, client: Any, table: str, form: ItemForm, pool: ThreadPoolExecutor, where: str) -> None:
        self._client = client
        self._table = table
        self._form = form
        self._pool = pool
        self._where = where

    def write(self, puts: Sequence[Put], batching: Batching) -> list[tuple[int, Result]]:
        """(place, result) of each put. Returns or raises when nothing is in flight any more."""
        if batching == "single":
            work = [self._pool.submit(self._alone, put) for put in puts]
        else:
            work = [self._pool.submit(self._together, chunk) for chunk in _chunks(puts)]
        try:
            return [answer for each in work for answer in each.result()]
        finally:
            for each in work:
                each.cancel()
            for each in work:
                if not each.cancelled():
                    each.exception()  # waits; what failed first was raised

    def one(self, put: Put, expected: Expected) -> Result:
        """One guarded put, or for repairs a compare-and-set on the token."""
        with translated(self._where):
            return self._one(put, expected)

    def stamp(self, write: Write, item: Item) -> Result:
        """Put the token on an item that is this row; `item`: as it was read, {} for none."""
        held = self._form.held(item)
        if not item or write.row is None or held.row != write.row:
            return Result(Outcome.conflict, held.token)
        if held.token is not None and held.token >= write.token:
            return Result(Outcome.duplicate if held.token == write.token else Outcome.stale, held.token)
        token = self._form.names.token
        rest = [name for name in item if name != token]
        same = "".join(f" AND #a{number} = :a{number}" for number in range(len(rest)))
        request = {
            **self._place(item),
            "UpdateExpression": "SET #t = :t",
            "ConditionExpression": f"({'#t = :old' if token in item else 'attribute_not_exists(#t)'}){same}",
            "ExpressionAttributeNames": {"#t": token, **{f"#a{number}": name for number, name in enumerate(rest)}},
            "ExpressionAttributeValues": {
                ":t": {"S": write.token.encode().hex()},
                **({":old": item[token]} if token in item else {}),
                **{f":a{number}": item[name] for number, name in enumerate(rest)},
            },
        }
        return APPLIED if self._changed(self._client.update_item, request) else Result(Outcome.conflict, held.token)

    def drop(self, item: Item) -> int:
        """Take the token from an item, or delete a tombstone; 0 where it is another one by now."""
        names = self._form.names
        if names.dead in item:
            condition = {"ConditionExpression": "attribute_exists(#d)", "ExpressionAttributeNames": {"#d": names.dead}}
            return int(self._changed(self._client.delete_item, {**self._place(item), **condition}))
        request = {
            **self._place(item), "UpdateExpression": "REMOVE #t", "ConditionExpression": "#t = :t",
            "ExpressionAttributeNames": {"#t": names.token}, "ExpressionAttributeValues": {":t": item[names.token]},
        }  # fmt: skip
        return int(self._changed(self._client.update_item, request))

    def _place(self, item: Item) -> dict[str, Any]:
        return {"TableName": self._table, "Key": {name: item[name] for name in self._form.key_types}}

    def _changed(self, call: Callable[..., Any], request: dict[str, Any]) -> bool:
        """Whether the condition held. One that is too long, of more columns than it has room for, does not."""
        with translated(self._where):
            try:
                call(**request)
            except ClientError as error:
                if code(error) == "ConditionalCheckFailedException" or code(error) in _REFUSALS:
                    return False
                raise
        return True

    def _alone(self, put: Put) -> list[tuple[int, Result]]:
        return [(put.place, self.one(put, BY_ORDER))]

    def _together(self, puts: list[Put]) -> list[tuple[int, Result]]:
        answers: list[tuple[int, Result]] = []
        with translated(self._where):
            for _ in range(_ROUNDS_MAX):
                reasons = self._transact(puts)
                if reasons is None:
                    return [*answers, *((put.place, APPLIED) for put in puts)]
                again = []
                for put, reason in zip(puts, reasons, strict=True):
                    result = self._judged(put, reason)
                    if result is None:
                        again.append(put)
                    else:
                        answers.append((put.place, result))
                if not again:
                    return answers
                puts = again
            # Others keep writing these keys, or the call as a whole is refused: one at a time decides each.
            return [*answers, *((put.place, self._one(put, BY_ORDER)) for put in puts)]

    def _transact(self, puts: list[Put]) -> list[dict[str, Any]] | None:
        """None when all were written, else the reason for each."""
        try:
            self._client.transact_write_items(TransactItems=[{"Put": self._request(put, BY_ORDER)} for put in puts])
        except ClientError as error:
            if code(error) == "TransactionCanceledException":
                reasons: list[dict[str, Any]] = error.response["CancellationReasons"]
                return reasons
            if code(error) == "ValidationException":  # names no item: each is asked alone
                return [{"Code": "Alone"}] * len(puts)
            raise
        return None

    def _judged(self, put: Put, reason: dict[str, Any]) -> Result | None:
        """The answer for one put of a cancelled transaction; None to send it again."""
        why = reason.get("Code") or "None"
        if why in ("None", "TransactionConflict"):
            return None
        if why == "ConditionalCheckFailed":
            return self._answer(put, reason.get("Item", {}), BY_ORDER)
        if why == "Alone":
            return self._one(put, BY_ORDER)
        if why in _REFUSALS:
            return Result(Outcome.refused, None, _REFUSALS[why])
        raise unavailable(self._where, why)

    def _one(self, put: Put, expected: Expected) -> Result:
        try:
            self._client.put_item(**self._request(put, expected))
        except ClientError as error:
            if code(error) == "ConditionalCheckFailedException":
                return self._answer(put, error.response.get("Item", {}), expected)
            if code(error) in _REFUSALS:
                return Result(Outcome.refused, None, _REFUSALS[code(error)])
            raise
        return APPLIED

    def _answer(self, put: Put, held: Item, expected: Expected) -> Result:
        """Why a put lost, from the item it met."""
        stored = self._form.token(held)
        alien = held.get(self._form.names.token)
        if stored is None and alien is not None and expected in (BY_ORDER, None):
            return self._over(put, alien)
        if stored != put.write.token:
            return Result(Outcome.stale, stored)
        same = self._form.held(held).row == put.write.row
        return Result(Outcome.duplicate if same else Outcome.conflict, stored)

    def _over(self, put: Put, alien: Item) -> Result:
        """Replace an item whose token attribute is none of ours, so counts as none: if it is still that one."""
        request = self._request(put, BY_ORDER)
        request |= {"ConditionExpression": "#t = :t", "ExpressionAttributeValues": {":t": alien}}
        try:
            self._client.put_item(**request)
        except ClientError as error:
            if code(error) == "ConditionalCheckFailedException":
                raise unavailable(self._where, "TransactionConflictException") from error
            raise
        return APPLIED

    def _request(self, put: Put, expected: Expected) -> dict[str, Any]:
        request: dict[str, Any] = {
            "TableName": self._table,
            "Item": put.item,
            "ExpressionAttributeNames": {"#t": self._form.names.token},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if expected is None:
            return request | {"ConditionExpression": "attribute_not_exists(#t)"}
        if isinstance(expected, Token):
            value = {"S": expected.encode().hex()}
            return request | {"ConditionExpression": "#t = :t", "ExpressionAttributeValues": {":t": value}}
        condition = "attribute_not_exists(#t) OR #t < :t"
        value = put.item[self._form.names.token]
        return request | {"ConditionExpression": condition, "ExpressionAttributeValues": {":t": value}}


def _chunks(puts: Sequence[Put]) -> list[list[Put]]:
    """As few transactions as the limits on items and bytes allow."""
    chunks: list[list[Put]] = []
    size = 0
    for put in puts:
        more = item_bytes(put.item)
        if not chunks or len(chunks[-1]) == WRITES_MAX or size + more > TRANSACTION_BYTES_MAX:
            chunks.append([])
            size = 0
        chunks[-1].append(put)
        size += more
    return chunks
