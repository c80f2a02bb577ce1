"""TRUNCATE: one record in one partition, and rows of every partition that must go, but none that came after it."""

from __future__ import annotations

import pytest

from streams.steps import Step
from tests.integration.worker.conftest import MakeBank
from tests.support.bank import Bank
from tests.support.wait import wait_until

pytestmark = pytest.mark.stack
PERSON, THING = "public.person", "public.thing"
REPLICAS = ("reports", "cache", "lookup")
AGAIN = "INSERT INTO person SELECT n, 'again ' || n, 'Oslo', '2001-01-01', NULL FROM generate_series(1, 350, 7) n"


@pytest.fixture(scope="module")
def town(make_bank: MakeBank) -> Bank:
    """Every kind of store, several partitions, caught up."""
    bank = make_bank(partitions=3)
    bank.apply()
    bank.control()
    for replica in REPLICAS:
        bank.worker(replica)
        bank.wait_caught_up(replica)
    return bank


def settled(bank: Bank, *replicas: str) -> None:
    """All is equal, and a run finds it so."""
    for replica in replicas:
        bank.wait_equal(replica)
        assert {each["outcome"] for each in bank.validate("--replica", replica)} == {"correct"}
        wait_until(lambda of=replica: bank.open_drift(of) == 0, "no drift to be open")  # type: ignore[misc]


def test_rows_go_and_what_came_later_stays(town: Bank) -> None:
    """In every store; rows of the same keys that came after the TRUNCATE, in its transaction or later, are kept."""
    with town.sot.transaction():
        town.sot.execute("TRUNCATE person")
        town.sot.execute(AGAIN)
    town.sot.execute("DELETE FROM person WHERE id > 300")
    town.sot.execute("INSERT INTO person VALUES (2, 'later', 'Bergen', '2002-02-02', NULL)")
    settled(town, *REPLICAS)
    assert town.actual("reports", PERSON).keys() == {(str(n),) for n in (2, *range(1, 301, 7))}


def test_two_tables_twice_and_nothing_left(town: Bank) -> None:
    """A second TRUNCATE that follows at once sweeps again."""
    town.sot.execute("TRUNCATE person, thing")
    town.sot.execute("INSERT INTO thing VALUES (1, 'short-lived')")
    town.sot.execute("TRUNCATE thing")
    settled(town, *REPLICAS)
    assert town.actual("reports", THING) == {}


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(Step.truncate_fenced, marks=pytest.mark.long),
        Step.sweep_ordered,
        pytest.param(Step.rows_swept, marks=pytest.mark.long),
    ],
)
def test_a_worker_killed_on_the_way_finishes_after_its_restart(make_bank: MakeBank, step: Step) -> None:
    """Whatever was ordered is done; what was not is ordered again. The other table's rows stay."""
    bank = make_bank("reports", partitions=2)
    bank.apply()
    bank.control()
    worker = bank.worker("reports", HOLDTRUE_CRASH_AT=f"{step}:1")
    bank.wait_caught_up("reports")
    bank.sot.execute("TRUNCATE person")
    bank.sot.execute(AGAIN)
    assert worker.wait_end() != 0
    bank.worker("reports")
    settled(bank, "reports")
    assert len(bank.actual("reports", THING)) == 100


def test_a_backlog_from_before_it_leaves_nothing(make_bank: MakeBank) -> None:
    """Changes that a partition has not seen yet when the TRUNCATE reaches another one."""
    bank = make_bank("reports", partitions=2)
    bank.apply()
    bank.control()
    bank.sot.execute("UPDATE person SET name = 'old'")
    bank.sot.execute("INSERT INTO person SELECT n, 'old', 'Oslo', NULL, NULL FROM generate_series(1000, 6000) n")
    bank.sot.execute("TRUNCATE person")
    bank.sot.execute(AGAIN)
    bank.worker("reports")
    settled(bank, "reports")
    assert bank.actual("reports", PERSON).keys() == {(str(n),) for n in range(1, 351, 7)}
