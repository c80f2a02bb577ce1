"""Guarded writes against a scripted DynamoDB: what a cancelled transaction means for each of its keys."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from streams.errors import StoreUnavailable
from streams.replicas.base import APPLIED, Outcome, Result, Write
from streams.replicas.dynamodb_items import ItemForm, Names
from streams.replicas.dynamodb_write import TRANSACTION_BYTES_MAX, WRITES_MAX, Put, Writer
from streams.rows.canonical import encode
from streams.versions.entry import Token
from tests.unit.replicas.shapes import shape_of

FORM = ItemForm(shape_of({"id": "int4", "note": "text"}, ["id"]), Names())
OLD, NEW = Token(1, 1, 0), Token(1, 2, 0)


def put(number: int, note: str = "x", token: Token = NEW) -> Put:
    row = (str(number), note)
    return Put(number, Write(encode(row[:1]), row, encode(row), token), FORM.live(row, token))


def failed(code: str, operation: str = "PutItem", **more: Any) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "a secret value"}, **more}, operation)


def cancelled(*reasons: dict[str, Any]) -> ClientError:
    return failed("TransactionCanceledException", "TransactWriteItems", CancellationReasons=list(reasons))


class Scripted:
    """Answers each call with the next of its script: an error to raise, or None."""

    def __init__(self, transactions: list[Exception | None], singles: list[Exception | None] | None = None) -> None:
        self.transactions = transactions
        self.singles = singles or []
        self.sizes: list[int] = []
        self.last: dict[str, Any] = {}

    def transact_write_items(self, TransactItems: list[Any]) -> None:  # noqa: N803 - the API's name
        self.sizes.append(len(TransactItems))
        self._next(self.transactions)

    def put_item(self, **request: Any) -> None:
        self.last = request
        self.sizes.append(1)
        self._next(self.singles)

    def _next(self, script: list[Exception | None]) -> None:
        error = script.pop(0)
        if error is not None:
            raise error


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made


def written(pool: ThreadPoolExecutor, client: Scripted, puts: list[Put]) -> dict[int, Result]:
    return dict(Writer(client, "t", FORM, pool, "table t").write(puts, "transactions"))


FINE: dict[str, Any] = {"Code": "None"}


def lost(item: dict[str, Any]) -> dict[str, Any]:
    return {"Code": "ConditionalCheckFailed", "Item": item}


def test_losers_are_answered_from_the_cancellation_and_the_rest_is_sent_again(pool: ThreadPoolExecutor) -> None:
    """Two calls, whatever the number of losers."""
    newer = Token(1, 3, 0)
    reasons = [FINE, lost(put(2).item), lost(put(3, "other").item), lost(put(4, "y", newer).item), FINE]
    client = Scripted([cancelled(*reasons), None])
    assert written(pool, client, [put(n) for n in range(1, 6)]) == {
        1: APPLIED,
        2: Result(Outcome.duplicate, NEW),
        3: Result(Outcome.conflict, NEW),
        4: Result(Outcome.stale, newer),
        5: APPLIED,
    }
    assert client.sizes == [5, 2]


def test_conflicting_transactions_end_in_single_calls(pool: ThreadPoolExecutor) -> None:
    """Bounded: after a few rounds each key is decided alone."""
    conflict = {"Code": "TransactionConflict"}
    client = Scripted([cancelled(FINE, conflict)] * 4, [None, failed("TransactionConflictException")])
    with pytest.raises(StoreUnavailable, match="another writer"):
        written(pool, client, [put(1), put(2)])
    assert client.sizes == [2, 2, 2, 2, 1, 1]


def test_a_refused_call_is_tried_key_by_key(pool: ThreadPoolExecutor) -> None:
    """An item DynamoDB does not accept is refused alone; the server's text stays out."""
    client = Scripted([failed("ValidationException")], [None, failed("ValidationException")])
    results = written(pool, client, [put(1), put(2)])
    assert results[1] == APPLIED
    assert results[2].outcome is Outcome.refused
    assert results[2].reason
    assert "secret" not in results[2].reason


def test_a_refused_item_is_refused_alone(pool: ThreadPoolExecutor) -> None:
    """Named by its cancellation reason."""
    client = Scripted([cancelled({"Code": "ValidationError"}, FINE), None])
    results = written(pool, client, [put(1), put(2)])
    assert (results[1].outcome, results[2].outcome) == (Outcome.refused, Outcome.applied)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (cancelled(FINE, {"Code": "ProvisionedThroughputExceeded"}), "throttling"),
        (cancelled(FINE, {"Code": "ThrottlingError"}), "throttling"),
        (failed("ProvisionedThroughputExceededException"), "throttling"),
        (failed("ThrottlingException"), "throttling"),
        (failed("InternalServerError"), "InternalServerError"),
        (failed("ExpiredTokenException"), "expired"),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), "cannot be reached"),
    ],
)
def test_a_store_that_cannot_serve_now_says_so(pool: ThreadPoolExecutor, error: Exception, words: str) -> None:
    """Once, without waiting: the worker decides when to try again."""
    client = Scripted([error])
    with pytest.raises(StoreUnavailable, match=words) as caught:
        written(pool, client, [put(1), put(2)])
    assert "secret" not in str(caught.value)
    assert client.sizes == [2]


def test_a_token_that_is_none_of_ours_is_replaced_if_still_there(pool: ThreadPoolExecutor) -> None:
    """It counts as none, so any write wins over it."""
    alien = {**put(1).item, "holdtrue_token": {"S": "zzz"}}
    client = Scripted([cancelled(lost(alien))], [None])
    assert written(pool, client, [put(1)]) == {1: APPLIED}
    condition = client.last["ConditionExpression"], client.last["ExpressionAttributeValues"]
    assert condition == ("#t = :t", {":t": {"S": "zzz"}}), "somebody's newer write must not be replaced"
    moved = Scripted([cancelled(lost(alien))], [failed("ConditionalCheckFailedException")])
    with pytest.raises(StoreUnavailable):
        written(pool, moved, [put(1)])


@pytest.mark.parametrize("expected", [OLD, None])
def test_a_token_that_is_none_of_ours_is_no_token_that_is_expected(
    pool: ThreadPoolExecutor, expected: Token | None
) -> None:
    """A repair that has seen a token of ours does not replace one that came since; one that has seen none does."""
    alien = {**put(1).item, "holdtrue_token": {"S": "zzz"}}
    client = Scripted([], [failed("ConditionalCheckFailedException", Item=alien), None])
    answer = Writer(client, "t", FORM, pool, "table t").one(put(1), expected)
    if expected is None:
        assert (answer, client.sizes) == (APPLIED, [1, 1])
    else:
        assert (answer, client.sizes) == (Result(Outcome.stale, None), [1])


def test_transactions_keep_the_limits_on_items_and_bytes(pool: ThreadPoolExecutor) -> None:
    """A hundred items, and fewer when they are large."""
    client = Scripted([None] * 10)
    written(pool, client, [put(n) for n in range(250)])
    assert client.sizes == [WRITES_MAX, WRITES_MAX, 50]
    client = Scripted([None] * 10)
    written(pool, client, [put(n, "x" * 400_000) for n in range(10)])
    assert client.sizes == [8, 2]
    assert TRANSACTION_BYTES_MAX > 8 * 400_000
