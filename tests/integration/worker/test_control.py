"""A second control beside the first: refused under the same name, a helper and heir under another."""

from __future__ import annotations

import re
import signal

import psycopg
import pytest

from tests.integration.worker.conftest import MakeBank
from tests.support.bank import Bank
from tests.support.wait import wait_until

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def town(make_bank: MakeBank) -> Bank:
    """One replica, whose control runs."""
    bank = make_bank("reports")
    bank.apply()
    bank.control().wait_said("Worker ready")
    return bank


def test_a_second_control_under_the_same_name_is_refused(town: Bank) -> None:
    """In one sentence, exit 1; the first goes on. (Each would fence the other out of the group, for ever.)"""
    second = town.control()
    assert second.wait_end() == 1
    assert re.match(r"error: Another worker \(process \d+\) runs as instance 0 of control\.\n", second.said)
    assert "Traceback" not in second.said
    assert town.workers[0].process.poll() is None


def test_a_second_control_under_another_name_takes_over(town: Bank) -> None:
    """What is on the topics gets into the database, whoever of them is left."""
    town.control(instance="1").wait_said("Worker ready")
    assert town.workers[0].stop(signal.SIGKILL) == -signal.SIGKILL
    town.worker("reports")
    town.wait_caught_up("reports")
    with psycopg.connect(town.env["HOLDTRUE_REPLICA_DSN"], autocommit=True) as replica:
        replica.execute("DELETE FROM thing WHERE id <= 8")
    assert [each["outcome"] for each in town.validate("--table", "public.thing")] == ["drifted"]
    wait_until(lambda: town.open_drift("reports") == 8, "control to know of the drift")
