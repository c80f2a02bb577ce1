"""Every supported type, with the edges of its values, through both paths into all three stores (docs/types.md)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from streams.plan.types import ASKABLE, ELSEWHERE, SUPPORTED
from tests.integration.worker.conftest import MakeBank
from tests.support import typed, typed_forms
from tests.support.bank import Bank
from tests.support.topic import values
from tests.support.typed import Texts

pytestmark = pytest.mark.stack
STORES = ("reports", "cache", "lookup")
ASKED = {**typed.ASKED, **typed_forms.ASKED_FORMS}
DOMAINS = {**typed.FAMILIES["domains"], **typed_forms.DOMAINS}
FAMILIES = {**typed.FAMILIES, "domains": DOMAINS, "asked": ASKED}
MULTIRANGES = {f"{name}multirange" for name in ("int4", "int8", "num", "ts", "tstz", "date")}
OWN = {"mood", "pair", "everything", "d_int"}
SNAPSHOT, INSERTED, UPDATED = 1, 101, 201
LONG = """
CREATE TABLE long_values (id int4 PRIMARY KEY, n int4, number numeric NOT NULL, words text, doc jsonb, raw bytea,
  lexemes tsvector, range numrange);
ALTER TABLE long_values ALTER number SET STORAGE EXTERNAL, ALTER words SET STORAGE EXTERNAL,
  ALTER doc SET STORAGE EXTERNAL, ALTER raw SET STORAGE EXTERNAL, ALTER lexemes SET STORAGE EXTERNAL,
  ALTER range SET STORAGE EXTERNAL;
"""
# As narrow as the mapping declares, and in `price` and `moment` wider.
NARROW = """
CREATE TABLE lossy (id int4 PRIMARY KEY, price numeric, fee numeric(9, 0), stamp timestamp(0), moment timestamptz(6),
  clock time(1), words varchar(4), short varchar(9))
"""
LONG_COLUMNS = {
    "n": "int4", "number": "numeric", "words": "text", "doc": "jsonb", "raw": "bytea", "lexemes": "tsvector",
    "range": "numrange",
}  # fmt: skip


@pytest.fixture(scope="module")
def bank(make_bank: MakeBank) -> Iterator[Bank]:
    """One table a family; its rows are there before the snapshot, then twice more come through the log.

    The database is set to print values in its own ways.
    """
    names = [f"public.{family}" for family in FAMILIES]
    statements = [typed.PRINTED, typed.SETUP, typed_forms.SETUP, LONG]
    for name, family in FAMILIES.items():
        statements += [typed.definition(name, family), *typed.inserts(name, family, SNAPSHOT)]
    tables = {name: ["id"] for name in [*names, "public.long_values"]}
    mapped = {f"public.{name}": {"columns": typed.losses(family)} for name, family in FAMILIES.items()}
    mapped["public.asked"]["columns"]["ask"] = list(ASKED)
    replicas = {store: {name: mapped.get(name, {}) for name in tables} for store in STORES}
    made = make_bank(ddl=";".join(statements), tables=tables, replicas=replicas, partitions=1)
    with psycopg.connect(made.env["HOLDTRUE_REPLICA_DSN"]) as replica:
        replica.execute(NARROW)
    made.done("plan", "check", "--live")
    made.start()
    made.wait_published()
    for name, family in FAMILIES.items():
        for statement in (*typed.inserts(name, family, INSERTED), *typed.updates(name, family, UPDATED)):
            made.sot.execute(statement.encode())
    for store in STORES:
        made.wait_caught_up(store)
    yield made
    made.stop()


def held(bank: Bank, store: str, name: str) -> Texts:
    """What a store holds, by id and column."""
    looks: dict[str, Callable[[], Texts]] = {
        "reports": lambda: typed.postgres_texts(bank.env["HOLDTRUE_REPLICA_DSN"], name, FAMILIES[name]),
        "cache": lambda: typed.redis_texts(bank.env["HOLDTRUE_REDIS_URL"], f"{bank.name}:{name}:"),
        "lookup": lambda: typed.dynamodb_texts(bank.env, f"{bank.name}_{name}"),
    }
    return looks[store]()


def expected(bank: Bank, name: str) -> Texts:
    """What the SOT has, less what the mapping takes."""
    return typed.postgres_texts(bank.env["HOLDTRUE_SOT_DSN"], name, FAMILIES[name], less=True)


def test_every_supported_type_is_here() -> None:
    """A type that is added must be shown to arrive; those of other servers are in tests/long/test_xml_and_hstore.py."""
    assert {column.type for family in typed.FAMILIES.values() for column in family.values()} == SUPPORTED | {"mood"}
    assert {column.type for column in typed.ASKED.values()} >= ASKABLE - {*ELSEWHERE} | MULTIRANGES


def test_every_form_of_every_type_is_here() -> None:
    """Under a domain, and in an array; the composite type has a field of each."""
    alone = SUPPORTED | ASKABLE - {*ELSEWHERE} | MULTIRANGES
    assert {column.type for column in typed_forms.DOMAINS.values()} == SUPPORTED
    over = {column.type for column in ASKED.values() if column.shown.startswith("d_over_")}
    assert over == alone - SUPPORTED | {"pair"}
    assert {column.type for column in ASKED.values()} >= {f"_{name}" for name in alone | {"mood", "pair"}}
    assert {*typed_forms.TYPES} == alone | {"mood", "pair"}


@pytest.mark.parametrize("name", FAMILIES)
def test_both_paths_are_taken(bank: Bank, name: str) -> None:
    """Rows that were there come from the snapshot, the others from the log."""
    records = values(bank.consumer(), bank.topic(f"public.{name}"), bank.env["HOLDTRUE_REGISTRY"])
    reads = {record["after"]["id"] for record in records if record["op"] == "r"}
    assert reads == {*range(SNAPSHOT, SNAPSHOT + typed.rows_of(FAMILIES[name]))}
    assert {record["after"]["id"] for record in records if record["op"] != "r"} & reads == set()


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "wide"])
def test_every_value_arrives_by_snapshot_and_by_log(bank: Bank, name: str, store: str) -> None:
    """As the source prints it, or casts it, NULL as NULL, asked or not; of the snapshot, inserted, updated."""
    want = expected(bank, name)
    assert {key for key, _ in want} == {
        first + number for first in (SNAPSHOT, INSERTED, UPDATED) for number in range(typed.rows_of(FAMILIES[name]))
    }
    found = held(bank, store, name)
    assert {key: (want.get(key), found.get(key)) for key in want | found if want.get(key) != found.get(key)} == {}


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "lossy"])
def test_a_table_that_holdtrue_creates_has_the_types_of_the_source(bank: Bank, name: str) -> None:
    """Base types for domains; text for what only the source has made, and for arrays of that."""
    query = """SELECT attname, typname FROM pg_attribute JOIN pg_type t ON t.oid = atttypid
               WHERE attrelid = %s::regclass AND attnum > 0 AND attname <> 'id' AND attname !~ '^holdtrue_'"""
    with psycopg.connect(bank.env["HOLDTRUE_REPLICA_DSN"]) as replica:
        found = dict(replica.execute(query, [name]).fetchall())
    assert found == {
        name: "text" if column.type.removeprefix("_") in OWN else column.type for name, column in FAMILIES[name].items()
    }


@pytest.mark.parametrize("store", ["reports", "cache"])
def test_numerics_that_are_no_numbers_or_have_too_many_digits(bank: Bank, store: str) -> None:
    """Postgres and Redis hold them all."""
    assert held(bank, store, "wide") == expected(bank, "wide")


def test_what_dynamodb_cannot_hold_is_a_dead_letter_with_drift(bank: Bank) -> None:
    """Row by row, with the reason; the rows beside it arrive."""
    want, found = expected(bank, "wide"), held(bank, "lookup", "wide")
    fits = {key: text for key, text in want.items() if text in ("1", None)}
    assert found == fits
    drifts = {
        int(event["key"]["id"]): event
        for event in bank.events("drift")
        if (event["table"], event["kind"], event["state"]) == ("public.wide", "unapplied", "open")
    }
    assert set(drifts) == {key for key, _ in want.keys() - fits.keys()}
    assert {event["replica"] for event in drifts.values()} == {"lookup"}


def test_long_values_that_an_update_leaves_alone_stay(bank: Bank) -> None:
    """They are not in the log (TOAST), also not a NOT NULL numeric's: the row is read from the source."""
    columns = {name: typed.Typed(kind, kind, []) for name, kind in LONG_COLUMNS.items()}
    words = "(SELECT string_agg(md5(n::text), ' ') FROM generate_series(1, 300) n)"
    bank.sot.execute(
        f"INSERT INTO long_values SELECT 1, 1, repeat('7', 6000)::numeric, {words}, to_jsonb({words}), "
        f"convert_to({words}, 'UTF8'), {words}::tsvector, numrange(0, repeat('8', 6000)::numeric)".encode()
    )
    bank.sot.execute("UPDATE long_values SET n = 2")
    want = typed.postgres_texts(bank.env["HOLDTRUE_SOT_DSN"], "long_values", columns)
    for replica in ("reports", "cache"):
        bank.wait_caught_up(replica, "public.long_values")
    assert typed.postgres_texts(bank.env["HOLDTRUE_REPLICA_DSN"], "long_values", columns) == want
    assert typed.redis_texts(bank.env["HOLDTRUE_REDIS_URL"], f"{bank.name}:long_values:") == want


@pytest.fixture(scope="module")
def results(bank: Bank) -> list[dict[str, Any]]:
    """Of a validation, before which two rows of `lossy` were changed behind the digits and characters that are kept.

    One in the source, unseen by the log, and one in each store.
    """
    publication = f"PUBLICATION holdtrue_{bank.name}"
    bank.change(
        f"ALTER {publication} DROP TABLE lossy",
        f"UPDATE lossy SET price = price + 0.0001, words = words || 'more' WHERE id = {SNAPSHOT + 5}",
        f"ALTER {publication} ADD TABLE lossy",
    )
    with psycopg.connect(bank.env["HOLDTRUE_REPLICA_DSN"]) as replica:
        replica.execute(f"UPDATE lossy SET price = price + 0.0001 WHERE id = {INSERTED + 5}")
    name = f"{bank.name}:lossy:{INSERTED + 5}"
    with bank.redis() as client:
        client.set(name, client.get(name).replace(b'"100"', b'"100.0001"'))
    typed.dynamodb_change(bank.env, f"{bank.name}_lossy", INSERTED + 5, "price", "100.0001")
    return bank.validate("--depth", "checksums")


def test_validation_finds_every_row_right(results: list[dict[str, Any]]) -> None:
    """Digests of all types agree between the source, the version tables and the content of the stores."""
    wrong = {(each["replica"], each["table"]) for each in results if each["outcome"] != "correct"}
    changed = {(store, "public.lossy") for store in STORES}
    assert wrong <= {("lookup", "public.wide"), ("lookup", "public.long_values"), *changed}
    assert len(results) == len(STORES) * (len(FAMILIES) + 1)


def test_what_the_mapping_takes_is_no_drift_and_what_a_store_has_more_is(
    bank: Bank, results: list[dict[str, Any]]
) -> None:
    """Rows are compared under the mapping: it is the source's row that may differ, and never the store's."""
    lossy = [each for each in results if each["table"] == "public.lossy"]
    assert [(each["outcome"], each["drift_found"]) for each in lossy] == [("drifted", 1)] * len(STORES)
    found = [event for event in bank.events("drift") if event["table"] == "public.lossy"]
    assert {(event["replica"], event["key"]["id"]) for event in found} == {(s, str(INSERTED + 5)) for s in STORES}


def test_a_column_that_no_longer_arrives_holds_its_table(bank: Bank) -> None:
    """The connector leaves the new type out of its records: no NULL is written, and a new worker refuses to start."""
    before = held(bank, "reports", "floats")
    bank.sot.execute("ALTER TABLE floats ALTER single TYPE tsquery USING 'a & b'")
    bank.sot.execute("UPDATE floats SET double = 1; INSERT INTO integers VALUES (901, 1, 1, 1, 1)")
    signal = bank.wait_event("signals", type="table-held", replica="reports", table="public.floats")
    # In the record, or in the catalog: whichever is seen first.
    assert re.search("no column single|Column single .* another type", signal["detail"]["reason"])
    bank.wait_caught_up("reports", "public.integers")
    assert held(bank, "reports", "floats") == before
    assert held(bank, "reports", "integers")[901, "small"] == "1"
    refused = bank.run("worker", "--replica", "reports", "--instance", "1")
    assert refused.returncode != 0
    assert "single of public.floats has the type tsquery, which is not carried by itself" in refused.stderr
