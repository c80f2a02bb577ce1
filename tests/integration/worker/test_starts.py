"""Workers that must not start: one sentence, exit 1, nothing written, no password shown."""

from __future__ import annotations

import re

import psycopg
import pytest

from tests.integration.worker.conftest import MakeBank
from tests.support.bank import Bank
from tests.support.processes import Worker

pytestmark = pytest.mark.stack
PERSON, THING = "public.person", "public.thing"
WRONG = "wr0ng-s3cret"


@pytest.fixture(scope="module")
def town(make_bank: MakeBank) -> Bank:
    """Nothing of it runs."""
    bank = make_bank("reports", "cache")
    bank.done("topics", "apply")
    bank.done("schemas", "register")
    return bank


def refused(worker: Worker) -> str:
    """What a worker said that ended at once because of a mistake: one error, one hint."""
    code = worker.wait_end()
    lines = worker.said.splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    assert (code, len(errors)) in {(1, 1), (2, 1)}, worker.said
    assert "Traceback" not in worker.said
    return "\n".join(lines[errors[0] :])


@pytest.mark.parametrize("variable", ["HOLDTRUE_SOT_DSN", "HOLDTRUE_REPLICA_DSN"])
def test_wrong_password(town: Bank, variable: str) -> None:
    """Refused by the server, said by us, shown by nobody."""
    dsn = re.sub(r"//([^:]+):[^@]+@", rf"//\1:{WRONG}@", town.env[variable])
    worker = town.worker("reports", **{variable: dsn})
    assert "password" in refused(worker)
    assert WRONG not in worker.said
    for words in (("plan", "check", "--live"), ("connectors", "apply"), ("status",)):
        ran = town.run(*words, env={variable: dsn})
        assert WRONG not in ran.stdout + ran.stderr
        assert "Traceback" not in ran.stderr


def test_replica_table_with_other_column_types(town: Bank) -> None:
    """The column, what it is and what it must be."""
    with psycopg.connect(town.env["HOLDTRUE_REPLICA_DSN"], autocommit=True) as replica:
        replica.execute("CREATE TABLE thing (id int PRIMARY KEY, note int)")
        said = refused(town.worker("reports"))
        assert "note" in said
        assert "int" in said
        assert "text" in said
        assert replica.execute("SELECT count(*) FROM thing").fetchone() == (0,)
        replica.execute("DROP TABLE thing")


def test_replica_table_without_a_column(town: Bank) -> None:
    """Named, too."""
    with psycopg.connect(town.env["HOLDTRUE_REPLICA_DSN"], autocommit=True) as replica:
        replica.execute("CREATE TABLE thing (id int PRIMARY KEY)")
        assert "note" in refused(town.worker("reports"))
        replica.execute("DROP TABLE thing")


def test_table_that_the_source_does_not_have(town: Bank) -> None:
    """Dropped after the plan was written."""
    town.sot.execute("ALTER TABLE thing RENAME TO elsewhere")
    try:
        assert THING in refused(town.worker("reports"))
        ran = town.run("plan", "check", "--live")
        assert ran.returncode == 2
        assert THING in ran.stdout + ran.stderr
    finally:
        town.sot.execute("ALTER TABLE elsewhere RENAME TO thing")


def test_topics_that_are_not_there(make_bank: MakeBank) -> None:
    """`topics apply` was forgotten."""
    bank = make_bank("cache")
    assert "topics apply" in refused(bank.worker("cache"))


def test_topics_of_another_plan_are_left_alone(town: Bank) -> None:
    """Two plans in the same topics would answer each other's checks: the one that comes second is told."""
    town.produce(town.own_topic("signals"), b"whatever it says", source="/holdtrue/twin/reports")
    for words in (("topics", "apply"), ("worker", "--replica", "reports"), ("worker", "--control")):
        ran = town.run(*words)
        assert ran.returncode == 1
        assert f"The topics {town.own_topic('*')} belong to the plan twin" in ran.stderr
        assert "kafka.topics" in ran.stderr
