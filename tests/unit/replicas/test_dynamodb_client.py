"""A password in a DynamoDB endpoint, which nothing needs: it is shown nowhere."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest

from streams.errors import StoreUnavailable
from streams.replicas.dynamodb_client import connect, translated
from streams.replicas.probe import dynamo_tables

PASSWORD = "hunter2"
NOWHERE = f"http://user:{PASSWORD}@127.0.0.1:1"


def asked_by_a_worker() -> None:
    """As a table does it, with the endpoint as the client has it."""
    connection = connect("local", NOWHERE)
    connection.hold()
    try:
        with translated(f"table t at {connection.client.meta.endpoint_url}"):
            connection.client.describe_table(TableName="t")
    finally:
        connection.release()


def asked_by_plan_check() -> None:
    """`plan check --live`."""
    dynamo_tables("local", NOWHERE, ["t"])


@pytest.mark.parametrize("ask", [asked_by_a_worker, asked_by_plan_check])
def test_a_password_in_the_endpoint_is_not_shown(ask: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the sentence nor in what a log shows of its causes."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with pytest.raises(StoreUnavailable, match=r"http://127\.0\.0\.1:1") as caught:
        ask()
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
