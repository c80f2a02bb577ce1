"""Change topics that are deleted and made again, or get more partitions: never taken for what they were before."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from tests.integration.worker.conftest import MakeBank
from tests.support.bank import Bank
from tests.support.processes import stop_all
from tests.support.wait import wait_until

pytestmark = pytest.mark.stack
PERSON, THING = "public.person", "public.thing"


@pytest.fixture(scope="module")
def town(make_bank: MakeBank) -> Bank:
    """One replica, caught up; nobody's worker is left running."""
    bank = make_bank("reports", partitions=2)
    bank.apply()
    bank.control()
    bank.worker("reports")
    bank.wait_caught_up("reports")
    return bank


def lose(bank: Bank) -> None:
    """Delete and make again the topic of a table; changes that were in it, and nowhere else, are gone."""
    bank.delete_topics(bank.topic(PERSON))
    bank.done("topics", "apply")


def ended_by_a_full_run(bank: Bank) -> None:
    """Continuity drift is open; a run finds what is missing, a repair mends it, and a correct run closes it."""
    bank.wait_event("drift", kind="continuity", state="open", table=PERSON)
    bank.wait_caught_up("reports")
    assert [each["outcome"] for each in bank.validate("--table", PERSON)] == ["drifted"]
    wait_until(lambda: bank.open_drift("reports") > 1, "control to know of the drift")
    bank.done("repair", "plan", "--replica", "reports", "--file", "repair.json")
    bank.done("repair", "apply", "repair.json")
    assert [each["outcome"] for each in bank.validate("--table", PERSON)] == ["correct"]
    assert bank.difference("reports") == {}
    wait_until(lambda: bank.open_drift("reports") == 0, "continuity drift to be closed")


def test_a_topic_made_anew_while_nobody_reads_it(town: Bank) -> None:
    """Its offsets begin again and are not taken for replays; what was lost with it is found by the full run."""
    assert stop_all(town.workers[-1:]) == [0]
    town.sot.execute("UPDATE person SET name = 'lost with the topic' WHERE id <= 40")
    town.sot.execute("DELETE FROM person WHERE id = 41")
    town.wait_published()
    lose(town)
    town.sot.execute("UPDATE person SET name = 'in the new one' WHERE id BETWEEN 42 AND 60")
    town.worker("reports")
    ended_by_a_full_run(town)


def test_a_topic_made_anew_under_a_worker(town: Bank) -> None:
    """The worker ends and says why; started again, it reads the new one from its beginning."""
    worker = town.workers[-1]
    town.sot.execute("UPDATE person SET name = 'applied'")
    town.wait_caught_up("reports")
    lose(town)
    town.sot.execute("UPDATE person SET name = 'in the third one' WHERE id BETWEEN 61 AND 90")
    town.sot.execute("DELETE FROM person WHERE id = 91")
    assert worker.wait_end() == 1
    assert "was deleted or made anew" in worker.said
    town.worker("reports")
    town.wait_equal("reports")
    assert [each["outcome"] for each in town.validate("--table", PERSON)] == ["correct"]
    wait_until(lambda: town.open_drift("reports") == 0, "continuity drift to be closed")


def test_a_topic_that_is_away_for_a_while_ends_its_workers(town: Bank) -> None:
    """The group shares out what is there: without this the topic that comes later was read by nobody for minutes."""
    worker = town.workers[-1]
    town.delete_topics(town.topic(PERSON))
    assert worker.wait_end() == 1
    assert "was deleted or made anew" in worker.said
    town.done("topics", "apply")
    town.sot.execute("UPDATE person SET name = 'after it was away'")
    town.worker("reports")
    town.wait_equal("reports")
    assert [each["outcome"] for each in town.validate("--table", PERSON)] == ["correct"]
    wait_until(lambda: town.open_drift("reports") == 0, "continuity drift to be closed")


def test_a_table_that_the_plan_holds_after_a_loss_waits_until_it_is_released(town: Bank) -> None:
    """Decision 12: nothing behind the loss is applied, whoever starts the worker again; the other table runs on."""
    town.document["replicas"]["reports"]["tables"][PERSON]["on_continuity"] = "hold"
    town.write_plan()
    assert stop_all(town.workers[-1:]) == [0]
    lose(town)
    town.sot.execute("UPDATE person SET name = 'in the fourth one' WHERE id < 40")
    town.sot.execute("UPDATE thing SET note = 'beside it' WHERE id < 40")
    for _ in range(2):
        worker = town.worker("reports")
        town.wait_caught_up("reports", THING)
        worker.wait_said(f"{PERSON} waits in reports, ordered by worker: {town.topic(PERSON)}")
        assert not any("in the fourth one" in str(row) for row in town.actual("reports", PERSON).values())
        assert worker.stop() == 0
    town.worker("reports")
    town.done("release", "--table", PERSON, "--reason", "the topic was made anew on purpose")
    town.wait_equal("reports")
    assert [each["outcome"] for each in town.validate("--table", PERSON)] == ["correct"]
    wait_until(lambda: town.open_drift("reports") == 0, "continuity drift to be closed")


def test_partitions_that_were_added_hold_the_table(town: Bank) -> None:
    """Keys have moved away from what is known of them: nothing is guessed, and the hold says what to do."""
    admin = AdminClient({"bootstrap.servers": town.env["HOLDTRUE_KAFKA"], "log_level": 0})
    for future in admin.create_partitions([NewPartitions(town.topic(THING), 3)]).values():
        future.result(20)
    held = town.wait_event("signals", type="table-held", table=THING)
    assert "has 3 partitions instead of 2" in held["detail"]["reason"]
    town.sot.execute("UPDATE person SET name = 'other tables run on' WHERE id = 1")
    town.wait_caught_up("reports", PERSON)
    worker = town.workers[-1]
    assert worker.stop() == 0
    again = town.worker("reports")
    assert again.wait_end() == 1
    assert "has 3 partitions, the plan needs 2" in again.said
