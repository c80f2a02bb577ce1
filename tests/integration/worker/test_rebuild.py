"""A partition of which nothing is known, and whose topic has lost its beginning, is rebuilt from the source."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from streams.steps import Step
from tests.integration.worker.conftest import MakeBank
from tests.support.bank import Bank
from tests.support.processes import stop_all
from tests.support.wait import wait_until

pytestmark = pytest.mark.stack
PERSON, THING = "public.person", "public.thing"


def lose_all(bank: Bank) -> None:
    """The worker's folder, the changelogs, and whatever has been sent of the tables so far."""
    shutil.rmtree(Path(bank.env["HOLDTRUE_WORKER_DIR"]) / bank.name / "reports")
    bank.delete_topics(*(f"{bank.group('reports')}-{table}-changelog" for table in (PERSON, THING)))
    bank.done("topics", "apply")
    for table in (PERSON, THING):
        for (_, partition), end in bank.ends(table).items():
            bank.delete_records(table, end, partition)


def killed(bank: Bank, step: Step) -> None:
    """A worker that does not get further than this."""
    assert bank.worker("reports", HOLDTRUE_CRASH_AT=step).wait_end() == -signal.SIGKILL


def test_a_partition_of_which_nothing_is_known_is_rebuilt(make_bank: MakeBank) -> None:
    """Killed in the middle and begun again: no repair is needed, and what was lost meanwhile is there, too.

    The replica that begins now, with a topic that has lost its beginning, is filled like that.
    """
    bank = make_bank("reports", "cache", partitions=2)
    bank.apply()
    bank.control()
    bank.worker("reports")
    bank.wait_caught_up("reports")
    assert stop_all(bank.workers[-1:]) == [0]
    bank.sot.execute("UPDATE person SET name = 'in no record any more' WHERE id <= 40")
    bank.sot.execute("DELETE FROM person WHERE id BETWEEN 41 AND 60")
    bank.wait_published()
    lose_all(bank)
    killed(bank, Step.partition_taken_over)
    bank.sot.execute("UPDATE person SET name = 'sent again' WHERE id BETWEEN 31 AND 35")
    killed(bank, Step.rows_rebuilt)
    bank.worker("reports")
    bank.worker("cache")
    bank.sot.execute("DELETE FROM person WHERE id = 36")
    bank.wait_equal("reports")
    bank.wait_equal("cache")
    bank.wait_event("drift", kind="continuity", state="open", table=PERSON, replica="reports")
    wait_until(lambda: all(each["outcome"] == "correct" for each in bank.validate()), "a run to be correct")
    wait_until(lambda: bank.open_drift("reports") + bank.open_drift("cache") == 0, "continuity drift to be closed")
