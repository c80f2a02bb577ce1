"""xml and hstore, which the embedded Postgres does not have: of a server that the machine has, asked of the source."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from streams.local.stack import Stack
from tests.support import typed
from tests.support.bank import Bank
from tests.support.postgres_server import cluster
from tests.support.topic import values
from tests.support.typed import Texts, Typed

PAPER = "public.paper"
COLUMNS = {name: Typed(name, name, []) for name in ("doc", "tags", "docs", "more", "over_xml", "over_hstore", "fields")}
STORES = ("reports", "cache", "lookup")
DDL = """
CREATE EXTENSION hstore;
CREATE DOMAIN d_xml AS xml; CREATE DOMAIN d_hstore AS hstore; CREATE TYPE both_of_them AS (doc xml, tags hstore);
CREATE TABLE paper (
  id int PRIMARY KEY, doc xml, tags hstore, docs xml[], more hstore[],
  over_xml d_xml, over_hstore d_hstore, fields both_of_them
);
"""
# doc, tags, docs, more; the last one all of the columns
VALUES = (
    """'<a b="1"/>', 'a=>1', NULL, NULL""",
    """'<?xml version="1.0" encoding="UTF-8"?><p>ä &lt;&amp; <![CDATA[]]><!-- c --></p>',
       '"b c"=>"\\"\\\\", d=>NULL, ""=>""',
       ARRAY['<a/>', NULL, '']::xml[], ARRAY['a=>1, b=>"{,}"', NULL, '']::hstore[]""",
    """' text and <b>more</b>\n', '', '{}', '{}'""",
    """'', 'long=>1, b=>2, "a"=>"NULL", ü=>"😀"', '{<x/>}', '{a=>1}'""",
    """xmlelement(name l, repeat('long ', 5000)), hstore('l', repeat('long ', 5000)), NULL, NULL""",
    "NULL, NULL, NULL, NULL",
    """NULL, NULL, NULL, NULL, '<a b="1"/>', 'b=>"{,}", a=>1', ROW('<a b="1"/>', 'a=>"x,y", "b c"=>NULL')""",
)
# Where the programs of a server with both are; WITHOUT to leave these tests out. Unset: whatever Debian has installed.
GIVEN = "HOLDTRUE_TEST_POSTGRES_BIN"
WITHOUT = "none"
MISSING = (
    f"xml and hstore are not tested: {{}}. Install a Postgres that has both (on Debian: apt-get install postgresql "
    f"postgresql-contrib), or set {GIVEN} to the folder of its initdb; to leave these tests out, set {GIVEN}={WITHOUT}."
)
pytestmark = [
    pytest.mark.long,
    pytest.mark.stack,
    pytest.mark.skipif(os.environ.get(GIVEN) == WITHOUT, reason=f"left out by {GIVEN}={WITHOUT}: xml, hstore"),
]


@pytest.fixture(scope="session")
def binaries() -> Path:
    """Where the programs of a server with both are. The tests fail where there is none: they must not look passed."""
    given = os.environ.get(GIVEN)
    found = Path(given) if given else installed()
    if found is None:
        pytest.fail(MISSING.format("no Postgres with hstore is under /usr/lib/postgresql"), pytrace=False)
    if not (found / "initdb").exists():
        pytest.fail(MISSING.format(f"{found} has no initdb"), pytrace=False)
    return found


def installed() -> Path | None:
    """The newest one where Debian has them."""
    controls = sorted(Path("/usr/share/postgresql").glob("*/extension/hstore.control"), key=version)
    folders = [Path("/usr/lib/postgresql") / control.parts[-3] / "bin" for control in reversed(controls)]
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


def version(control: Path) -> int:
    """The major version of the server whose file it is."""
    return int(control.parts[-3])


def differing(want: Texts, found: Texts) -> dict[tuple[int, str], tuple[str | None, str | None]]:
    """What is not the same, on both sides."""
    return {key: (want.get(key), found.get(key)) for key in want | found if want.get(key) != found.get(key)}


def insert(bank: Bank, first: int) -> None:
    """One row for each."""
    for number, cells in enumerate(VALUES):
        bank.change(f"INSERT INTO paper VALUES ({first + number}, {cells})")


@pytest.fixture(scope="module")
def bank(binaries: Path, shared_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """Rows before the snapshot, and a worker for each store; the plan fits."""
    mapping = {PAPER: {"columns": {"ask": list(COLUMNS)}}}
    with ExitStack() as made:
        server = made.enter_context(cluster(binaries=binaries, wal_level="logical"))
        server.initialise()
        server.start()
        replicas = dict.fromkeys(STORES, mapping)
        folder = tmp_path_factory.mktemp("bank")
        bank = Bank(shared_stack, folder, DDL, {PAPER: ["id"]}, replicas, sot=server.dsn)
        made.callback(bank.close)
        insert(bank, 1)
        bank.done("plan", "check", "--live")
        bank.start()
        yield bank
        bank.stop()


def test_they_arrive_by_snapshot_and_by_log(bank: Bank) -> None:
    """As the source prints them, in every store; also what an update leaves alone, and a changed one."""
    insert(bank, 101)
    bank.change(
        "INSERT INTO paper SELECT id + 100, doc, tags FROM paper WHERE id > 100",
        "UPDATE paper SET id = id + 1000 WHERE id = 105",
        "UPDATE paper SET tags = tags || 'x=>1' WHERE id > 200 AND id % 2 = 0",
        "UPDATE paper SET doc = NULL WHERE id = 1",
    )
    for store in STORES:
        bank.wait_caught_up(store)
    want = typed.postgres_texts(bank.env["HOLDTRUE_SOT_DSN"], "paper", COLUMNS)
    assert len(want) == 3 * len(VALUES) * len(COLUMNS)
    assert want[2, "tags"] == '""=>"", "d"=>NULL, "b c"=>"\\"\\\\"'
    assert differing(want, typed.postgres_texts(bank.env["HOLDTRUE_REPLICA_DSN"], "paper", COLUMNS)) == {}
    assert differing(want, typed.redis_texts(bank.env["HOLDTRUE_REDIS_URL"], f"{bank.name}:paper:")) == {}
    assert differing(want, typed.dynamodb_texts(bank.env, f"{bank.name}_paper")) == {}


def test_they_are_validated(bank: Bank) -> None:
    """To the content."""
    assert [each["outcome"] for each in bank.validate("--depth", "checksums")] == ["correct"] * 3


def test_what_arrives_of_them_is_another_text(bank: Bank) -> None:
    """Why they are asked: JSON for hstore, and nothing for arrays of xml."""
    records = values(bank.consumer(), bank.topic(PAPER), bank.env["HOLDTRUE_REGISTRY"])
    rows = [record["after"] for record in records if record and record["after"]]
    assert {row["tags"] for row in rows if row["id"] in (1, 101)} == {'{"a":"1"}'}
    assert not any("docs" in row for row in rows)
