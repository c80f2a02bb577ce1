"""Workers that come, go and lose what they had."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from streams.steps import Step
from tests.integration.worker.conftest import MakeBank
from tests.support.bank import Bank
from tests.support.processes import stop_all
from tests.support.wait import wait_until

pytestmark = pytest.mark.stack
PERSON, THING = "public.person", "public.thing"


@pytest.fixture(scope="module")
def town(make_bank: MakeBank) -> Bank:
    """Its connector runs; workers are the tests' own."""
    bank = make_bank("reports", partitions=4)
    bank.apply()
    bank.wait_published()
    return bank


@contextmanager
def load(bank: Bank) -> Iterator[None]:
    """Changes of every kind, all the time."""
    stop = threading.Event()

    def work() -> None:
        with psycopg.connect(bank.env["HOLDTRUE_SOT_DSN"], autocommit=True) as sot:
            number = 0
            while not stop.wait(0.004):
                number += 1
                sot.execute("UPDATE person SET name = %s WHERE id = %s", [f"load {number}", number % 290])
                sot.execute("DELETE FROM thing WHERE id = %s", [number % 100])
                sot.execute("INSERT INTO thing VALUES (%s, %s) ON CONFLICT DO NOTHING", [number % 97, f"{number}"])

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)


def moved(bank: Bank, past: int) -> bool:
    """Whether the group has committed more than so many records."""
    return sum(bank.committed("reports").values()) > past


def assert_right(bank: Bank) -> None:
    """All applied, equal from outside, and equal by our own account."""
    bank.wait_caught_up("reports")
    assert bank.difference("reports") == {}
    results = bank.validate("--replica", "reports", "--depth", "checksums")
    assert [each["outcome"] for each in results] == ["correct", "correct"], results


def state_folder(bank: Bank, instance: str = "0") -> Path:
    """Local state of one worker."""
    return Path(bank.env["HOLDTRUE_WORKER_DIR"]) / bank.name / "reports" / instance


def test_a_restart_goes_on_where_it_was(town: Bank) -> None:
    """State kept: nothing is read again, nothing is missing."""
    first = town.worker("reports")
    town.wait_caught_up("reports")
    assert first.stop() == 0
    before = town.committed("reports")
    town.sot.execute("UPDATE person SET name = 'while nobody was there'")
    town.worker("reports")
    assert_right(town)
    assert all(town.committed("reports")[tp] >= offset for tp, offset in before.items())
    assert stop_all(town.workers[-1:]) == [0]


def test_a_restart_without_local_state_recovers_it_from_the_changelog(town: Bank) -> None:
    """The folder is deleted; the version table comes back, and knows what was deleted."""
    town.sot.execute("DELETE FROM person WHERE id = 299")
    town.worker("reports")
    town.wait_caught_up("reports")
    assert stop_all(town.workers[-1:]) == [0]
    shutil.rmtree(state_folder(town))
    with load(town):
        town.worker("reports")
        wait_until(lambda: moved(town, 1000), "the worker to move on")
    assert_right(town)
    assert stop_all(town.workers[-1:]) == [0]


def test_two_workers_share_a_replica_and_one_leaves(town: Bank) -> None:
    """Under load: the second joins, the first gets SIGTERM, the second has it all; then SIGKILL and a new one."""
    with load(town):
        first = town.worker("reports", instance="a")
        start = sum(town.committed("reports").values())
        wait_until(lambda: moved(town, start + 200), "the first to move")
        second = town.worker("reports", instance="b")
        wait_until(lambda: shared(town), "both to have partitions", 120)
        assert first.process.poll() is None
        assert first.stop() == 0
        start = sum(town.committed("reports").values())
        wait_until(lambda: moved(town, start + 200), "the second to move")
        second.stop(signal.SIGKILL)
        third = town.worker("reports", instance="b")
        start = sum(town.committed("reports").values())
        wait_until(lambda: moved(town, start + 200), "the third to move")
    assert_right(town)
    assert third.stop() == 0


@pytest.mark.long
def test_a_worker_that_freezes_and_wakes_up_loses_nothing(town: Bank) -> None:
    """Each time the other has it all for a while, and gives some back, while changes come in.

    What was delivered while Faust moved the partitions to where they are read from was lost, in silence.
    """
    with load(town):
        workers = {name: town.worker("reports", instance=name) for name in ("a", "b")}
        for name in ("a", "b", "a"):
            wait_until(lambda: has_partitions(town) == {"a", "b"}, "both to have partitions", 120)
            other = {"a", "b"} - {name}
            with workers[name].paused():
                wait_until(lambda o=other: has_partitions(town) == o, "the other to have it all", 120)  # type: ignore[misc]
        wait_until(lambda: has_partitions(town) == {"a", "b"}, "both to have partitions", 120)
    assert_right(town)
    assert stop_all(list(workers.values())) == [0, 0]


def has_partitions(bank: Bank) -> set[str]:
    """The workers that the group counts on."""
    return {name for name, partitions in bank.members("reports").items() if partitions}


def shared(bank: Bank) -> bool:
    """Whether two workers have state of change partitions."""
    return all(any(state_folder(bank, name).glob("public.*/*/CURRENT")) for name in ("a", "b"))


def test_a_second_worker_under_the_same_name_is_refused(town: Bank) -> None:
    """In one sentence, exit 1; the first goes on. (Kafka would fence the first out, and it would stall silently.)"""
    first = town.worker("reports", instance="twin")
    town.sot.execute("UPDATE person SET name = 'one'")
    town.wait_caught_up("reports")
    joins = first.said.count("oined group")
    second = town.worker("reports", instance="twin")
    assert second.wait_end() == 1
    taken = f"error: Another worker (process {first.process.pid}) runs as instance twin of reports."
    assert second.said.startswith(taken)
    assert "Traceback" not in second.said
    third = fausts_own(town, "worker", instance="twin")
    assert (third.returncode, "Traceback" in third.stderr) == (1, False), third.stderr
    assert third.stderr.startswith(taken)
    assert PERSON in fausts_own(town, "tables", instance="twin").stdout
    assert first.said.count("oined group") == joins
    town.sot.execute("UPDATE person SET name = 'twins'")
    assert_right(town)
    assert first.stop() == 0


def fausts_own(bank: Bank, word: str, *, instance: str) -> subprocess.CompletedProcess[str]:
    """What a command of Faust's says."""
    return subprocess.run(
        (str(Path(sys.executable).with_name("faust")), "-A", "streams.app", word), cwd=bank.folder, capture_output=True,
        env={**bank.env, "HOLDTRUE_REPLICA": "reports", "HOLDTRUE_INSTANCE": instance}, text=True, timeout=60,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("folder", ["lost", "kept"])
def test_lost_state_and_changelog_is_replayed_from_the_topics_start(town: Bank, folder: str) -> None:
    """With committed offsets, but no changelog: all is read again from offset 0, nothing is wrong.

    A folder that was kept is of a changelog that is no more: it is dropped.
    """
    town.sot.execute("UPDATE person SET name = 'before the loss'")
    town.worker("reports")
    town.wait_caught_up("reports")
    assert stop_all(town.workers[-1:]) == [0]
    if folder == "lost":
        shutil.rmtree(state_folder(town).parent)
    town.delete_topics(*(f"{town.group('reports')}-{table}-changelog" for table in (PERSON, THING)))
    town.done("topics", "apply")
    town.sot.execute("UPDATE person SET name = 'after the loss' WHERE id < 50")
    town.worker("reports")
    assert_right(town)
    assert ("the state is dropped" in town.workers[-1].said) == (folder == "kept")
    assert stop_all(town.workers[-1:]) == [0]


def test_changes_lost_up_to_the_end_are_told_once_and_can_be_validated(make_bank: MakeBank) -> None:
    """An idle table waits for no further change: a run finds what is missing, and no restart says it again."""
    bank = make_bank("reports", partitions=1)
    bank.apply()
    bank.control()
    bank.worker("reports")
    bank.wait_caught_up("reports")
    assert stop_all(bank.workers[-1:]) == [0]
    bank.sot.execute("UPDATE person SET name = 'lost' WHERE id <= 20")
    bank.wait_published()
    bank.delete_records(PERSON, bank.ends(PERSON)[bank.topic(PERSON), 0])
    killed = bank.worker("reports", HOLDTRUE_CRASH_AT=Step.loss_recorded)
    assert killed.wait_end() == -signal.SIGKILL
    bank.worker("reports")
    assert [each["outcome"] for each in bank.validate("--table", PERSON)] == ["drifted"]
    wait_until(lambda: bank.open_drift("reports") == 21, "control to know of the drift")
    bank.done("repair", "plan", "--replica", "reports", "--file", "repair.json")
    bank.done("repair", "apply", "repair.json")
    assert [each["outcome"] for each in bank.validate("--table", PERSON)] == ["correct"]
    assert stop_all(bank.workers[-1:]) == [0]
    bank.worker("reports")
    bank.sot.execute("UPDATE thing SET note = 'the worker is at work again' WHERE id = 1")
    bank.wait_equal("reports")
    told = [each for each in bank.events("drift") if each["kind"] == "continuity"]
    assert [each["state"] for each in told] == ["open", "superseded"]


@pytest.mark.long
def test_changes_lost_under_a_running_worker_are_told(make_bank: MakeBank) -> None:
    """Its store was away for longer than the topic keeps records: it goes on behind them, and says so."""
    bank = make_bank("reports", partitions=1)
    bank.apply()
    worker = bank.worker("reports")
    bank.wait_caught_up("reports")
    with psycopg.connect(bank.env["HOLDTRUE_REPLICA_DSN"]) as away:
        away.execute("LOCK TABLE person IN ACCESS EXCLUSIVE MODE")
        for number in range(200):
            bank.sot.execute("UPDATE person SET name = %s", [f"lost {number}"])
        bank.wait_published()
        bank.delete_records(PERSON, bank.ends(PERSON)[bank.topic(PERSON), 0])
    bank.sot.execute("UPDATE person SET name = 'after the loss' WHERE id = 8")
    bank.wait_event("drift", kind="continuity", state="open", table=PERSON)
    bank.wait_caught_up("reports")
    assert worker.process.poll() is None
    assert [each["outcome"] for each in bank.validate("--table", PERSON)] == ["drifted"]


def test_a_forgotten_group_is_no_loss_of_changes(make_bank: MakeBank) -> None:
    """Kafka forgets a group that has been empty for a week; all that retention took meanwhile had been applied."""
    bank = make_bank("reports", partitions=1)
    bank.apply()
    bank.worker("reports")
    bank.wait_caught_up("reports")
    assert stop_all(bank.workers[-1:]) == [0]
    bank.delete_records(PERSON, 200)
    bank.delete_group("reports")
    assert bank.committed("reports") == {}
    bank.worker("reports")
    # Also while no change comes, so that the whole topic does not pass for lag.
    bank.wait_caught_up("reports")
    bank.sot.execute("UPDATE person SET name = 'goes on' WHERE id <= 3")
    bank.wait_equal("reports")
    assert not continuity(bank)


def continuity(bank: Bank) -> bool:
    """Whether anything says that the log has a gap."""
    held = any("continuity" in str(event["detail"]) for event in bank.events("signals"))
    return held or any(event["kind"] == "continuity" for event in bank.events("drift"))
