"""A table of every supported family of types, with the edges of its values, and a look at them in every store.

A value is compared as the text its type's output function gives (`format('%s', …)`), numerics without zeros that say
nothing: the SQL is this module's own, and each store is read with its own driver.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
import redis

from tests.support.looks import dynamodb


class Typed(NamedTuple):
    """A column: its type as SQL writes it, the name of the type it is in the end, and values as SQL constants.

    less: what its mapping takes from it, `round` or `cut`, and how much is kept; empty for nothing.
    """

    shown: str
    type: str
    values: Sequence[str]
    less: tuple[str, int] | tuple[()] = ()


Families = Mapping[str, Mapping[str, Typed]]
Texts = dict[tuple[int, str], str | None]

# How a database may be set up that values are printed in, none of which may reach a replica.
PRINTED = """
DO $$ BEGIN
  EXECUTE format('ALTER DATABASE %I SET bytea_output = escape', current_database());
  EXECUTE format('ALTER DATABASE %I SET extra_float_digits = -15', current_database());
  EXECUTE format('ALTER DATABASE %I SET DateStyle = "SQL, DMY"', current_database());
  EXECUTE format('ALTER DATABASE %I SET IntervalStyle = iso_8601', current_database());
  EXECUTE format('ALTER DATABASE %I SET TimeZone = "Asia/Kathmandu"', current_database());
  EXECUTE format('ALTER DATABASE %I SET quote_all_identifiers = on', current_database());
END $$
"""
_WORDS = "(SELECT string_agg(md5(n::text), ' ') FROM generate_series(1, 400) n)"
SETUP = """
CREATE TYPE mood AS ENUM ('good', 'b"ad, \\x', '');
CREATE DOMAIN d_int AS int4 CHECK (VALUE > 0); CREATE DOMAIN d_d_int AS d_int;
CREATE DOMAIN d_numeric AS numeric(12, 2); CREATE DOMAIN d_d_numeric AS d_numeric NOT NULL DEFAULT 0;
CREATE DOMAIN d_float AS float8; CREATE DOMAIN d_bool AS bool; CREATE DOMAIN d_text AS text;
CREATE DOMAIN d_char AS char(6); CREATE DOMAIN d_uuid AS uuid; CREATE DOMAIN d_bytea AS bytea;
CREATE DOMAIN d_json AS jsonb; CREATE DOMAIN d_date AS date; CREATE DOMAIN d_time AS time;
CREATE DOMAIN d_timestamp AS timestamp(3); CREATE DOMAIN d_moment AS timestamptz; CREATE DOMAIN d_inet AS inet;
CREATE DOMAIN d_range AS int4range; CREATE DOMAIN d_numbers AS int4[]; CREATE TYPE pair AS (a int4, b text);
"""
FAMILIES: Families = {
    "integers": {
        "small": Typed("int2", "int2", ["-32768", "0", "32767"]),
        "whole": Typed("int4", "int4", ["-2147483648", "0", "2147483647"]),
        "large": Typed("int8", "int8", ["-9223372036854775808", "9007199254740993", "9223372036854775807"]),
        "object": Typed("oid", "oid", ["0", "1", "4294967295"]),
    },
    "numerics": {
        "free": Typed(
            "numeric", "numeric",
            ["0", "0.000", "-1.50", "1e-20", "12345678901234567890123456789012345678", "1e30", "100", "-0.0000001"],
        ),
        "money": Typed("numeric(12, 2)", "numeric", ["0", "-0.01", "9999999999.99", "100", "1.5"]),
        "tiny": Typed("numeric(3, 5)", "numeric", ["0.00999", "0", "-0.00001"]),
        "rounded": Typed("numeric(5, -2)", "numeric", ["100", "-9999900", "0"]),
    },
    "floats": {
        "single": Typed(
            "float4", "float4", ["'-0'", "'NaN'", "'-Infinity'", "1e-45", "3.4028235e38", "0.1", "16777216"]
        ),
        "double": Typed(
            "float8", "float8",
            ["'-0'", "'NaN'", "'Infinity'", "5e-324", "1.7976931348623157e308", "0.1", "1e15", "123456789012345.6"],
        ),
    },
    "texts": {
        "words": Typed(
            "text", "text",
            ["''", "e'tab\\t nl\\n cr\\r back\\\\ \\\\N'", "'it''s \"so\"'", "'üñ€😀'", "'NULL'", "' {a,b} '", _WORDS],
        ),
        "short": Typed("varchar(20)", "varchar", ["''", "'😀'", "'trailing  '"]),
        "padded": Typed("char(6)", "bpchar", ["''", "'ab'", "'€'", "'sixsix'"]),
        "mark": Typed("uuid", "uuid", ["'00000000-0000-0000-0000-000000000000'", "'6F2CA8F05B0C4B7E9D4E0D8F4C1F2A3B'"]),
        "feeling": Typed("mood", "mood", ["'good'", "'b\"ad, \\x'", "''"]),
        "lexemes": Typed("tsvector", "tsvector", ["''", "'b:1 a:2A'", "$$'it''s':3 'x\\y'$$"]),
    },
    "bits_and_bytes": {
        "yes": Typed("bool", "bool", ["true", "false"]),
        "raw": Typed("bytea", "bytea", ["''", "'\\x00ff'", f"convert_to({_WORDS}, 'UTF8')"]),
        "doc": Typed("json", "json", ["'null'", "' {\"b\": 1,  \"a\":[1.50], \"b\":2}'", "'\"\\u0000 \\u00e9 😀\"'"]),
        "docb": Typed("jsonb", "jsonb", ["'null'", "'{\"b\": 1, \"a\": [1.50, 1e3]}'", "'\"\\u00e9 😀\"'"]),
    },
    "times": {
        "born": Typed(
            "date", "date",
            ["'infinity'", "'-infinity'", "'0044-03-15 BC'", "'0001-01-01'", "'1582-10-10'", "'9999-12-31'",
             "'5874897-12-31'", "'2024-02-29'"],
        ),
        "clock": Typed("time", "time", ["'24:00'", "'00:00'", "'23:59:59.999999'"]),
        "coarse": Typed("time(3)", "time", ["'24:00'", "'01:02:03.004'"]),
        "stamp": Typed(
            "timestamp", "timestamp",
            ["'infinity'", "'-infinity'", "'0044-03-15 12:34:56.789 BC'", "'4713-01-01 BC'", "'1582-10-10'",
             "'294276-12-31 23:59:59.999999'", "'12000-01-01'", "'1969-12-31 23:59:59.999999'"],
        ),
        "milli": Typed(
            "timestamp(3)", "timestamp", ["'infinity'", "'-infinity'", "'0044-03-15 BC'", "'2024-01-01 00:00:00.123'"]
        ),
        "moment": Typed(
            "timestamptz", "timestamptz",
            ["'infinity'", "'-infinity'", "'0044-03-15 12:34:56.789 BC'", "'0001-12-31 BC'",
             "'1890-01-01 Europe/Amsterdam'", "'294276-12-31 23:59:59.999999+00'", "'12000-01-01 00:00+05:30'",
             "'2024-02-29 01:02:03.000001-08'"],
        ),
    },
    "networks_and_ranges": {
        "host": Typed("inet", "inet", ["'10.0.0.1'", "'10.0.0.1/24'", "'::1'", "'::ffff:1.2.3.4'"]),
        "net": Typed("cidr", "cidr", ["'10.0.0.0/8'", "'10.0.0.1'", "'2001:db8::/64'"]),
        "card": Typed("macaddr", "macaddr", ["'08:00:2B:01:02:03'"]),
        "card8": Typed("macaddr8", "macaddr8", ["'08:00:2b:01:02:03:04:05'"]),
        "r4": Typed("int4range", "int4range", ["'[1,5]'", "'empty'", "'(,)'", "'[3,)'"]),
        "r8": Typed("int8range", "int8range", ["'[1,5]'", "'(,9223372036854775807)'"]),
        "rn": Typed("numrange", "numrange", ["'[1.50,2.0]'", "'empty'", "'(,1]'"]),
        "rt": Typed("tsrange", "tsrange", ["'[2024-01-01,2024-01-02 00:00:00.5)'", "'[-infinity,infinity)'"]),
        "rz": Typed("tstzrange", "tstzrange", ["'[2024-01-01 00:00+02,2024-01-02 00:00-08)'"]),
        "rd": Typed("daterange", "daterange", ["'[2024-01-01,2024-02-01]'", "'[0044-01-01 BC,infinity)'"]),
    },
    "domains": {
        "i": Typed("d_int", "int4", ["1", "2147483647"]),
        "ii": Typed("d_d_int", "int4", ["7"]),
        "n": Typed("d_numeric", "numeric", ["1.5", "-0.01"]),
        "nn": Typed("d_d_numeric", "numeric", ["1.5", "0", "0", "0"]),
        "f": Typed("d_float", "float8", ["'-0'", "1e15", "'NaN'"]),
        "y": Typed("d_bool", "bool", ["true", "false"]),
        "t": Typed("d_text", "text", ["''", "'€'"]),
        "c": Typed("d_char", "bpchar", ["'ab'"]),
        "u": Typed("d_uuid", "uuid", ["'6f2ca8f0-5b0c-4b7e-9d4e-0d8f4c1f2a3b'"]),
        "b": Typed("d_bytea", "bytea", ["'\\xdead'"]),
        "j": Typed("d_json", "jsonb", ["'{\"a\": 1}'"]),
        "d": Typed("d_date", "date", ["'2024-01-01'", "'infinity'"]),
        "k": Typed("d_time", "time", ["'01:02:03.000004'"]),
        "s": Typed("d_timestamp", "timestamp", ["'2024-01-01 00:00:00.123'"]),
        "z": Typed("d_moment", "timestamptz", ["'2024-01-01 00:00:00.123+02'"]),
        "h": Typed("d_inet", "inet", ["'10.0.0.1'"]),
        "r": Typed("d_range", "int4range", ["'[1,5]'"]),
    },
    # Halves on both sides of 0 and of 2000, carries into the next second, day and era; 38 digits, once rounded.
    "lossy": {
        "price": Typed(
            "numeric", "numeric",
            ["0.005", "-1.995", "-0.001", "2.4999", "1e-20", "100", "repeat('7', 36)::numeric + 0.125"], ("round", 2),
        ),
        "fee": Typed("numeric(12, 4)", "numeric", ["0.5", "-0.5", "99999999.5", "1.4999"], ("round", 0)),
        "stamp": Typed(
            "timestamp", "timestamp",
            ["'1999-12-31 23:59:59.5'", "'2024-02-28 23:59:59.5'", "'0001-12-31 23:59:59.6 BC'", "'infinity'"],
            ("round", 0),
        ),
        "moment": Typed(
            "timestamptz", "timestamptz",
            ["'2000-01-01 00:00:00.0005+00'", "'1999-12-31 23:59:59.9995+00'", "'2024-02-29 01:02:03.000499-08'"],
            ("round", 3),
        ),
        "clock": Typed("time", "time", ["'23:59:59.95'", "'01:02:03.049999'"], ("round", 1)),
        "words": Typed("text", "text", ["'üñ€😀é'", "e'\\t\\n\\\\x'", "'ab   '", "''", _WORDS], ("cut", 4)),
        "short": Typed("varchar(20)", "varchar", ["'trailing  '", "'😀'"], ("cut", 9)),
    },
    # Only the value shows that DynamoDB cannot hold it.
    "wide": {
        "number": Typed("numeric", "numeric", ["'NaN'", "'Infinity'", "'-Infinity'", "repeat('7', 45)::numeric", "1"]),
    },
}  # fmt: skip
# What does not arrive exactly, read from the source: `columns.ask`.
ASKED: Mapping[str, Typed] = {
    "span": Typed(
        "interval", "interval",
        ["'infinity'", "'-infinity'", "'0'", "'1 year 2 mons -3 days 04:05:06.789012'", "'-00:00:00.5'", "'26:00'"],
    ),
    "zoned": Typed("timetz", "timetz", ["'01:02:03.5+02'", "'24:00:00-02'", "'00:00+05:30'"]),
    "flags": Typed("bit(8)", "bit", ["B'00000001'", "B'10100000'", "B'00000000'"]),
    "free_flags": Typed("varbit", "varbit", ["B''", "B'0001'", "repeat('10', 40)::varbit"]),
    "called": Typed("name", "name", ["'abc'", "''"]),
    "query": Typed("tsquery", "tsquery", ["'a & b'"]),
    "path": Typed("jsonpath", "jsonpath", ["'$.a'"]),
    "log": Typed("pg_lsn", "pg_lsn", ["'0/16B3748'"]),
    "at": Typed("point", "point", ["'(1,2.5)'", "'(-0,1e300)'"]),
    "line": Typed("line", "line", ["'{1,-1,0}'"]),
    "segment": Typed("lseg", "lseg", ["'[(0,0),(1,1)]'"]),
    "box": Typed("box", "box", ["'(1,1),(0,0)'"]),
    "way": Typed("path", "path", ["'[(0,0),(1,1)]'", "'((0,0),(1,1))'"]),
    "area": Typed("polygon", "polygon", ["'((0,0),(1,1),(1,0))'"]),
    "round": Typed("circle", "circle", ["'<(0,0),1>'"]),
    "whole": Typed("int4[]", "_int4", ["'{}'", "'{1,NULL,-3}'", "'{{1,2},{3,4}}'", "'[0:1]={5,6}'"]),
    "words": Typed("text[]", "_text", ["ARRAY['', 'NULL', 'a,b', 'q\"t', 'b\\s', NULL, ' sp', '{x}', '😀']"]),
    "exact": Typed("numeric[]", "_numeric", ["'{1.50,NaN,NULL,1e30}'"]),
    "feelings": Typed("mood[]", "_mood", ["ARRAY['good', 'b\"ad, \\x', NULL]::mood[]"]),
    "numbers": Typed("d_numbers", "_int4", ["'{1,2}'"]),
    "positive": Typed("d_int[]", "_d_int", ["'{1}'"]),
    "couple": Typed("pair", "pair", ["ROW(1, 'a,\"b')", "ROW(NULL, NULL)"]),
    "ranges": Typed("int4multirange", "int4multirange", ["'{[1,5),[7,9)}'", "'{}'"]),
    "ranges8": Typed("int8multirange", "int8multirange", ["'{(,9223372036854775807)}'", "'{[1,5],[5,6]}'"]),
    "rangesn": Typed("nummultirange", "nummultirange", ["'{[1.50,2.0],(3,)}'", "'{empty}'"]),
    "rangest": Typed("tsmultirange", "tsmultirange", ["'{[2024-01-01,2024-01-02 00:00:00.5),[infinity,infinity]}'"]),
    "rangesz": Typed("tstzmultirange", "tstzmultirange", ["'{[2024-01-01 00:00+02,2024-01-02 00:00-08)}'", "'{(,)}'"]),
    "rangesd": Typed("datemultirange", "datemultirange", ["'{[0044-01-01 BC,2024-01-01],[2024-02-01,)}'"]),
    "born": Typed("date", "date", ["'2024-01-01 BC'", "'4713-01-01 BC'", "'2024-01-01'"]),
    "made": Typed("timestamp", "timestamp", ["'2024-01-01 10:00:00.0005'", "'1999-12-31 23:00:00.0005'"], ("round", 3)),
    "double": Typed("int8 GENERATED ALWAYS AS (id * 2) STORED", "int8", []),
    "triple": Typed("int8 GENERATED ALWAYS AS (id * 3) VIRTUAL", "int8", []),
}  # fmt: skip
NOT_NULL = {"nn"}


def rows_of(family: Mapping[str, Typed]) -> int:
    """How many rows show every value, and one of NULLs."""
    return max(len(column.values) for column in family.values()) + 1


def losses(family: Mapping[str, Typed]) -> dict[str, dict[str, int]]:
    """What the plan says of it, under `columns`."""
    less = [(column, *typed.less) for column, typed in family.items() if typed.less]
    return {word: {column: limit for column, by, limit in less if by == word} for word in ("round", "cut")}


def definition(name: str, family: Mapping[str, Typed]) -> str:
    """CREATE TABLE."""
    columns = ", ".join(f"{column} {typed.shown}" for column, typed in family.items())
    return f"CREATE TABLE {name} (id int4 PRIMARY KEY, {columns})"


def inserts(name: str, family: Mapping[str, Typed], first: int) -> Iterator[str]:
    """Row by row, ids from `first`: the first values, the second ones, …, and then NULLs."""
    for number in range(rows_of(family)):
        cells = ", ".join(_value(column, typed, number) for column, typed in _written(family))
        names = ", ".join(column for column, _ in _written(family))
        yield f"INSERT INTO {name} (id, {names}) VALUES ({first + number}, {cells})"


def updates(name: str, family: Mapping[str, Typed], first: int) -> Iterator[str]:
    """The values once more, by an update of rows that had none."""
    yield f"INSERT INTO {name} (id) SELECT generate_series({first}, {first + rows_of(family) - 1})"
    for number in range(rows_of(family)):
        cells = ", ".join(f"{column} = {_value(column, typed, number)}" for column, typed in _written(family))
        yield f"UPDATE {name} SET {cells} WHERE id = {first + number}"


def _written(family: Mapping[str, Typed]) -> list[tuple[str, Typed]]:
    return [(column, typed) for column, typed in family.items() if "GENERATED" not in typed.shown]


def _value(column: str, typed: Typed, number: int) -> str:
    if number < len(typed.values):
        return typed.values[number]
    return "0" if column in NOT_NULL else "NULL"


def postgres_texts(dsn: str, table: str, family: Mapping[str, Typed], *, less: bool = False) -> Texts:
    """What a Postgres database holds. less: of it, what the mapping keeps, by Postgres's own casts."""
    cells = ", ".join(
        f"CASE WHEN {c} IS DISTINCT FROM NULL THEN format('%s', {_printed(_kept(c, t) if less else c, t)}) END"
        for c, t in family.items()
    )
    options = "-c DateStyle=ISO -c TimeZone=UTC -c IntervalStyle=postgres -c bytea_output=hex -c extra_float_digits=1"
    with psycopg.connect(dsn, options=options) as connection:
        rows = connection.execute(f"SELECT id, {cells} FROM {table}".encode()).fetchall()
    return {(row[0], column): text for row in rows for column, text in zip(family, row[1:], strict=True)}


def _kept(column: str, typed: Typed) -> str:
    if not typed.less:
        return column
    word, limit = typed.less
    kind = "varchar" if word == "cut" else typed.type
    return f"{column}::{kind}({f'100, {limit}' if kind == 'numeric' else limit})"


def _printed(cell: str, typed: Typed) -> str:
    return f"trim_scale({cell})" if typed.type == "numeric" else cell


def redis_texts(url: str, prefix: str) -> Texts:
    """What Redis holds, whose values have the JSON type they must."""
    found: Texts = {}
    with redis.Redis.from_url(url) as client:
        for name in client.scan_iter(match=f"{prefix}*", count=1000):
            row = json.loads(client.get(name))
            found |= {(row["id"], column): _of_json(value) for column, value in row.items() if column != "id"}
    return found


def _of_json(value: Any) -> str | None:
    if isinstance(value, bool):
        return "t" if value else "f"
    return None if value is None else str(value)


def dynamodb_texts(env: Mapping[str, str], table: str) -> Texts:
    """What DynamoDB holds."""
    found: Texts = {}
    with dynamodb(env) as client:
        for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
            for item in page["Items"]:
                if "holdtrue_dead" not in item:
                    key = int(item.pop("id")["N"])
                    found |= {(key, c): _of_attribute(v) for c, v in item.items() if not c.startswith("holdtrue_")}
    return found


def dynamodb_change(env: Mapping[str, str], table: str, key: int, column: str, number: str) -> None:
    """A number that somebody else writes into a row."""
    with dynamodb(env) as client:
        client.update_item(
            TableName=table, Key={"id": {"N": str(key)}}, UpdateExpression="SET #c = :n",
            ExpressionAttributeNames={"#c": column}, ExpressionAttributeValues={":n": {"N": number}},
        )  # fmt: skip


def _of_attribute(value: Mapping[str, Any]) -> str | None:
    ((kind, content),) = value.items()
    match kind:
        case "NULL":
            return None
        case "BOOL":
            return "t" if content else "f"
        case "B":
            return "\\x" + bytes(content).hex()
        case "N":
            text = format(Decimal(content), "f")
            return text.rstrip("0").rstrip(".") if "." in text else text
    return str(content)
