"""A store that somebody else writes is looked at: nothing is created in it, and no token is needed."""

from __future__ import annotations

import pytest
from psycopg.sql import SQL, Identifier

from streams.replicas.base import Held, Refused
from streams.replicas.dynamodb import DynamoTable
from streams.replicas.postgres import PostgresTable
from tests.contract.fix_dynamodb import DynamoHarness
from tests.contract.fix_postgres import PostgresHarness
from tests.contract.harness import RETENTION
from tests.support.shapes import make_shape
from tests.support.writes import put, token

SHAPE = make_shape({"id": "int8", "owner": "text"}, ["id"])
ANN, BOB = ("1", "Ann"), ("2", None)


def test_a_postgres_table_is_read_without_a_version_table(postgres_harness: PostgresHarness) -> None:
    """It may compute its columns, have more of them, and want values for these; it must be there."""
    admin = postgres_harness.admin
    table = PostgresTable(postgres_harness.make_table(SHAPE)._sessions, SHAPE, "contract.theirs", "none", watched=True)
    with pytest.raises(Refused, match=r"contract\.theirs is not in the replica"):
        table.prepare()
    admin.execute(
        "CREATE TABLE contract.theirs (id int8 PRIMARY KEY, owner text GENERATED ALWAYS AS "
        "(CASE id WHEN 1 THEN 'Ann' END) STORED, more int NOT NULL)"
    )
    admin.execute("INSERT INTO contract.theirs VALUES (1, DEFAULT, 7), (2, DEFAULT, 7)")
    table.prepare()
    both = {b"1": Held(None, ANN), b"2": Held(None, BOB)}
    assert table.read([b"1", b"2", b"3"]) == both
    assert dict(row for rows in table.scan(1) for row in rows) == both
    assert (sorted(key for keys in table.keys(1) for key in keys), table.count()) == ([b"1", b"2"], 2)
    assert table.forget_tombstones(RETENTION) == 0
    assert admin.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'none'").fetchone() == (0,)
    table.close()


def test_a_postgres_tables_own_tokens_are_left_alone(postgres_harness: PostgresHarness) -> None:
    """Ordered repairs and adoptions know them; who only looks at rows does not."""
    ours = postgres_harness.make_table(SHAPE)
    ours.apply([put(SHAPE, ANN, token(5))])
    table = PostgresTable(ours._sessions, SHAPE, ours.target, ours._sql.token_schema, watched=True)
    table.prepare()
    assert table.read([b"1"]) == {b"1": Held(None, ANN)}
    postgres_harness.admin.execute(SQL("ALTER TABLE {} DROP COLUMN owner").format(Identifier(*ours.target.split("."))))
    with pytest.raises(Refused, match="expected text, found no such column"):
        table.prepare()
    table.close()


def test_a_dynamodb_table_is_not_created_and_gets_no_expiry(dynamodb_harness: DynamoHarness) -> None:
    """Who writes it creates it."""
    table = DynamoTable(
        SHAPE, dynamodb_harness.connection, table="contract_theirs", tombstone_retention=RETENTION, watched=True
    )
    with pytest.raises(Refused, match="contract_theirs is missing"):
        table.prepare()
    client = dynamodb_harness.client
    client.create_table(
        TableName="contract_theirs", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}], BillingMode="PAY_PER_REQUEST",
    )  # fmt: skip
    try:
        client.put_item(TableName="contract_theirs", Item={"id": {"N": "1"}, "owner": {"S": "Ann"}})
        table.prepare()
        assert table.read([b"1"]) == {b"1": Held(None, ANN)}
        expiry = client.describe_time_to_live(TableName="contract_theirs")["TimeToLiveDescription"]
        assert expiry["TimeToLiveStatus"] == "DISABLED"
    finally:
        client.delete_table(TableName="contract_theirs")
        table.close()
