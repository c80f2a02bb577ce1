"""Random values of the types with the most ways to be wrong, by the thousand, through both paths."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from streams.local.stack import Stack
from tests.support import typed
from tests.support.bank import Bank
from tests.support.typed import Typed

pytestmark = [pytest.mark.stack, pytest.mark.long]
ROWS = 20_000
# Column → type as SQL writes it, its own name, and an expression for a random value.
RANDOM = {
    "free": ("numeric", "numeric", "round((random() - 0.5)::numeric * 10::numeric ^ (n % 60 - 20), n % 40)"),
    "money": ("numeric(30, 4)", "numeric", "((random() - 0.5) * 1e15)::numeric(30, 4)"),
    "double": ("float8", "float8", "(random() - 0.5) * 10::float8 ^ (n % 600 - 300)"),
    "single": ("float4", "float4", "((random() - 0.5) * 10::float8 ^ (n % 70 - 35))::float4"),
    "large": ("int8", "int8", "hashint8extended(n, 7)"),
    "stamp": ("timestamp", "timestamp", "timestamp '2000-01-01' + (random() - 0.5) * interval '12000 years'"),
    "late": ("timestamp", "timestamp", "timestamp '2000-01-01' + random() * interval '290000 years'"),
    "milli": ("timestamp(3)", "timestamp", "timestamp '2000-01-01' + (random() - 0.5) * interval '12000 years'"),
    "moment": ("timestamptz", "timestamptz", "timestamptz '2000-01-01' + (random() - 0.5) * interval '12000 years'"),
    "born": ("date", "date", "date '0001-01-01' + (random() * CASE n % 3 WHEN 0 THEN 2000000000 ELSE 900000 END)::int"),
    "clock": ("time", "time", "time '00:00' + random() * interval '24 hours'"),
    "host": ("inet", "inet", "set_masklen(inet '0.0.0.0' + (random() * 4294967295)::bigint, n % 33)"),
    "host6": ("inet", "inet", "set_masklen(inet '2001:db8::' + hashint8extended(n, 1) % 1000000000, 128 - n % 40)"),
    "many": ("numrange", "numrange", "numrange(n, n + (random() * 10 ^ (n % 20))::numeric, '[]')"),
    "term": ("tsrange", "tsrange", "tsrange(timestamp '2000-01-01' + random() * interval '99 years', NULL)"),
    "words": (
        "text", "text",
        "(SELECT string_agg(chr(1 + (random() * CASE m % 3 WHEN 0 THEN 50000 ELSE 126 END)::int), '') "
        "FROM generate_series(1, n % 50) m)",
    ),
    "raw": ("bytea", "bytea", "decode(repeat(md5(n::text), n % 4), 'hex')"),
    "docb": ("jsonb", "jsonb", "jsonb_build_object(md5(n::text), random(), 'n', ARRAY[n, NULL], 's', chr(n))"),
    "span": ("interval", "interval", "(random() - 0.5) * interval '99 years 9 days 01:02:03.000001'"),
    "whole": ("int4[]", "_int4", "ARRAY[[n, NULL], [hashint4(n), 0]]"),
}  # fmt: skip
COLUMNS = {column: Typed(shown, name, []) for column, (shown, name, _) in RANDOM.items()}
STORES = ("reports", "cache")


def inserted(first: int) -> str:
    """So many random rows from this id on; NULL in every ninth value."""
    cells = ", ".join(
        f"CASE WHEN (n + {place}) % 9 > 0 THEN {value} END" for place, (_, _, value) in enumerate(RANDOM.values())
    )
    return f"INSERT INTO random SELECT n, {cells} FROM generate_series({first}, {first + ROWS - 1}) n"


@pytest.fixture
def bank(shared_stack: Stack, tmp_path: Path) -> Iterator[Bank]:
    """Half of the rows are there before the snapshot."""
    ddl = f"{typed.definition('random', COLUMNS)}; SELECT setseed(0.4); {inserted(1)}"
    mapping = {"public.random": {"columns": {"ask": ["span", "whole"]}}}
    with ExitStack() as made:
        one = Bank(shared_stack, tmp_path, ddl, {"public.random": ["id"]}, dict.fromkeys(STORES, mapping),
                   source={"reads_per_second": 100_000})  # fmt: skip
        made.callback(one.close)
        one.apply()
        yield one


@pytest.mark.timeout(600)
def test_random_values_arrive(bank: Bank) -> None:
    """All of them, in both stores, from the snapshot and from the log; and a validation agrees."""
    for store in STORES:
        bank.worker(store)
    bank.wait_published(180)
    bank.sot.execute(inserted(ROWS + 1).encode())
    want = typed.postgres_texts(bank.env["HOLDTRUE_SOT_DSN"], "random", COLUMNS)
    assert len(want) == 2 * ROWS * len(COLUMNS)
    for store in STORES:
        bank.wait_caught_up(store, seconds=300)
    looks = {
        "reports": typed.postgres_texts(bank.env["HOLDTRUE_REPLICA_DSN"], "random", COLUMNS),
        "cache": typed.redis_texts(bank.env["HOLDTRUE_REDIS_URL"], f"{bank.name}:random:"),
    }
    for store, found in looks.items():
        wrong = [(store, key, text, found.get(key)) for key, text in want.items() if found.get(key) != text]
        assert wrong[:20] == []
        assert len(found) == len(want)
    assert {each["outcome"] for each in bank.validate("--depth", "checksums")} == {"correct"}
