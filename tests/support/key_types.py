"""Tables whose keys are of the types that are seldom keys, and what somebody else may do to their rows in each store.

A column `n` says which row it is; it is negative where no DynamoDB key can be: a text or bytes of length 0.
"""

from __future__ import annotations

import json

import psycopg

from tests.support.bank import Bank
from tests.support.looks import dynamodb

# Row 7001 is one that somebody changes, and row 7002 one that somebody gives a key that no row of the source has.
CHANGED, MOVED = 7001, 7002
DDL = rf"""
CREATE TYPE mood AS ENUM ('good', 'b"ad, \x', 'a:b', 'ü😀', '');
CREATE DOMAIN d_int AS int4 CHECK (VALUE > 0); CREATE DOMAIN d_d_int AS d_int; CREATE DOMAIN d_text AS text;
CREATE DOMAIN d_uuid AS uuid; CREATE DOMAIN d_bytea AS bytea; CREATE DOMAIN d_bool AS bool NOT NULL;
CREATE TABLE felt (raw d_bytea, feeling mood, n int, PRIMARY KEY (raw, feeling));
CREATE TABLE every (
  raw bytea, yes bool, feeling mood, short varchar(20), small int2,
  i d_d_int, no d_bool, word d_text, u d_uuid, n int,
  PRIMARY KEY (raw, yes, feeling, short, small, i, no, word, u)
);
INSERT INTO felt SELECT raw, feeling, row_number() OVER () * CASE WHEN raw = '' OR feeling = '' THEN -1 ELSE 1 END
  FROM unnest(ARRAY['\x00', '\x00ff', '\x', '\x5c7830', convert_to(repeat('k', 700), 'UTF8')]::bytea[]) raw,
  unnest(enum_range(NULL::mood)) feeling;
INSERT INTO every SELECT raw, yes, feeling, word, i, 7 - i, no, word, md5(word)::uuid, row_number() OVER ()
  FROM unnest(ARRAY['\x', '\x00ff']::bytea[]) raw, unnest(ARRAY[true, false]) yes, unnest(ARRAY[true, false]) no,
  unnest(enum_range(NULL::mood)) feeling, unnest(ARRAY['pen', '', 'a:b']) word, unnest(ARRAY[-32768, 6]) i;
INSERT INTO felt VALUES ('\xdeadbeef', 'ü😀', {CHANGED}), ('\x2c', 'a:b', {MOVED});
INSERT INTO every SELECT raw, true, feeling, 'ink', 1, 1, false, 'ä', md5('ink')::uuid, n FROM felt WHERE n > 7000;
"""
TABLES = {
    "public.felt": ["raw", "feeling"],
    "public.every": ["raw", "yes", "feeling", "short", "small", "i", "no", "word", "u"],
}
# What is inserted, updated and deleted; keys that change, in one part and in more, and that are there again.
CHANGES = (
    r"INSERT INTO felt VALUES ('\xcafe', 'ü😀', 101), ('\x2c', 'good', 102)",
    r"UPDATE felt SET raw = raw || '\x00' WHERE raw = '\x00ff'",
    r"""UPDATE felt SET raw = '\x2d', feeling = 'b"ad, \x' WHERE n = 102""",
    r"DELETE FROM felt WHERE raw = '\x5c7830'",
    r"INSERT INTO felt VALUES ('\x5c7830', 'good', 103)",
    "UPDATE felt SET n = n + 1000 WHERE feeling = 'a:b' AND n BETWEEN 1 AND 100",
    "INSERT INTO every VALUES ('new', false, 'good', 'ink', 2, 2, true, 'ink', md5('new')::uuid, 9000)",
    "DELETE FROM every WHERE yes AND feeling = 'good' AND n < 7000",
    "UPDATE every SET yes = NOT yes WHERE feeling = 'good' AND n < 7000",
    "UPDATE every SET i = i + 1, no = NOT no, word = word || '+', u = md5(word)::uuid WHERE small = 6 AND NOT yes",
    r"UPDATE every SET raw = raw || '\x01', feeling = '', short = 'nib', small = 0 WHERE n = 9000",
    "UPDATE every SET n = n + 1000 WHERE feeling = 'a:b' AND n < 7000",
)
OTHER = r"\x0777"


def plant_in_postgres(bank: Bank, table: str) -> None:
    """As a Postgres replica's own users may."""
    with psycopg.connect(bank.env["HOLDTRUE_REPLICA_DSN"]) as replica:
        replica.execute(f"UPDATE {table} SET n = 4242 WHERE n = {CHANGED}".encode())
        replica.execute(f"UPDATE {table} SET raw = '{OTHER}' WHERE n = {MOVED}".encode())


def plant_in_redis(bank: Bank, table: str) -> None:
    """A value that is overwritten, and one under another name."""
    prefix = f"{bank.name}:{table.partition('.')[2]}:"
    with bank.redis() as client:
        names = [name.decode() for name in client.scan_iter(f"{prefix}*", count=5_000)]
        rows = {row["n"]: (name, row) for name in names for row in [json.loads(client.get(name))]}
        name, row = rows[CHANGED]
        client.set(name, json.dumps({**row, "n": 4242}))
        name, row = rows[MOVED]
        client.delete(name)
        client.set(prefix + OTHER + name.removeprefix(prefix + row["raw"]), json.dumps({**row, "raw": OTHER}))


def plant_in_dynamodb(bank: Bank, table: str) -> None:
    """An item that is overwritten, and one under another key."""
    name, key = f"{bank.name}_{table.partition('.')[2]}", TABLES[table]
    with dynamodb(bank.env) as client:
        items = client.scan(TableName=name, ConsistentRead=True)["Items"]
        by_number = {item["n"]["N"]: item for item in items if "n" in item}
        client.put_item(TableName=name, Item={**by_number[str(CHANGED)], "n": {"N": "4242"}})
        item = by_number[str(MOVED)]
        client.delete_item(TableName=name, Key={column: item[column] for column in key})
        client.put_item(TableName=name, Item={**item, "raw": {"B": bytes.fromhex(OTHER.removeprefix(r"\x"))}})


# By replica.
PLANT = {"reports": plant_in_postgres, "cache": plant_in_redis, "lookup": plant_in_dynamodb}
