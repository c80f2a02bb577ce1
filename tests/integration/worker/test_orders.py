"""What a person orders, `validate` and `repair`, says why where it cannot be done."""

from __future__ import annotations

import json
import re
import time

import psycopg
import pytest
import requests

from tests.integration.worker.conftest import MakeBank
from tests.support.bank import Bank
from tests.support.processes import Worker
from tests.support.wait import wait_until

pytestmark = pytest.mark.stack
THING = "public.thing"
# Far below what a run of two tables waits for answers.
SOON_SECONDS = 60


@pytest.fixture(scope="module")
def town(make_bank: MakeBank) -> Bank:
    """One replica, whose changes are in Kafka; nobody works on it yet."""
    bank = make_bank("reports")
    bank.apply()
    bank.wait_published()
    return bank


@pytest.fixture(scope="module")
def worker(town: Bank) -> Worker:
    """The replica's worker, started a second time."""
    first = town.worker("reports")
    town.wait_caught_up("reports")
    first.stop()
    return town.worker("reports")


def test_validate_without_a_worker_says_so_soon(town: Bank) -> None:
    """Nobody could answer: it is not worth two minutes to find out."""
    started = time.monotonic()
    ran = town.run("validate", "--replica", "reports")
    assert (ran.returncode, "No worker of reports is running" in ran.stderr) == (3, True), ran.stderr
    assert time.monotonic() - started < SOON_SECONDS


def test_a_restarted_worker_that_has_nothing_to_do_is_ready(worker: Worker) -> None:
    """No record comes to tell it that its partitions are recovered."""
    worker.wait_said("metrics on")
    port = int(re.findall(r"metrics on http://127\.0\.0\.1:(\d+)/", worker.said)[0])

    def ready() -> int:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code

    wait_until(lambda: ready() == 200, "it to be ready")
    assert ready() == 200


def test_a_repair_that_the_store_refuses_says_why(town: Bank, worker: Worker) -> None:
    """By key, on stderr and in the answer."""
    town.control()
    with psycopg.connect(town.env["HOLDTRUE_REPLICA_DSN"], autocommit=True) as replica:
        replica.execute("UPDATE thing SET note = 'rogue' WHERE id = 5")
        replica.execute("ALTER TABLE thing ADD CONSTRAINT never CHECK (note <> 'note 5') NOT VALID")
    assert town.run("validate", "--table", THING).returncode == 3
    wait_until(lambda: town.open_drift("reports") == 1, "control to know of the drift")
    file = str(town.folder / "repair.json")
    town.done("repair", "plan", "--file", file)
    ran = town.run("--format", "json", "repair", "apply", file, "--reason", "test")
    assert ran.returncode == 3
    (outcome,) = json.loads(ran.stdout)["repairs"]
    assert (outcome["ordered"], outcome["repaired"], outcome["failed"]) == (1, 0, 1)
    (failure,) = outcome["failures"]
    assert failure["key"] == {"id": "5"}
    assert "never" in failure["reason"]
    assert "(id=5) in reports" in ran.stderr
    assert "rogue" not in ran.stderr + ran.stdout
