"""A run that was killed goes on from where all was decided: every key is counted once, and each drift told once."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from threading import Thread
from typing import Any

import psycopg
import pytest

from tests.integration.worker.conftest import MakeBank
from tests.support.bank import PROGRAM, Bank
from tests.support.processes import Worker
from tests.support.wait import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.long]

ROWS = 2_000
DDL = """
CREATE TABLE account (id int8 PRIMARY KEY, owner text);
INSERT INTO account SELECT n, 'owner ' || n FROM generate_series(1, 2000) n;
ANALYZE account;
"""
REPLICAS = {"reports": {"public.account": {}}}
# Keys in the order of their texts, so that some are in each stretch.
WRONG = [1000, 1500, 2, 300, 45, 6, 777, 8, 99]
FULL = ("validate", "--depth", "full", "--snapshot-rows", "300")


@pytest.fixture(scope="module")
def bank(make_bank: MakeBank) -> Iterator[Bank]:
    """One table in a Postgres replica, of which some rows were changed behind everybody's back, and one was added."""
    made = make_bank(ddl=DDL, tables={"public.account": ["id"]}, replicas=REPLICAS)
    made.env["HOLDTRUE_RUN_DIR"] = str(made.folder / "runs")
    made.start()
    made.wait_caught_up("reports")
    plant(made)
    yield made
    made.stop()


def plant(bank: Bank) -> None:
    """Behind everybody's back."""
    with psycopg.connect(bank.env["HOLDTRUE_REPLICA_DSN"], autocommit=True) as replica:
        replica.execute("UPDATE account SET owner = 'thief' WHERE id = ANY(%s)", (WRONG,))
        replica.execute("INSERT INTO account VALUES (99999, 'nobody')")


def killed_in_the_middle(bank: Bank) -> str:
    """The id of a run that was killed in its second stretch or later."""
    said = bank.folder / "validate.err"
    with said.open("wb") as errors:
        slowly = (*FULL, "--rows-per-second", "300")
        process = subprocess.Popen((PROGRAM, *slowly), env=bank.env, stderr=errors, cwd=bank.folder)
        wait_until(lambda: "--resume" in said.read_text() or process.poll() is not None, "the first stretch")
        process.send_signal(signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL, said.read_text()
    found = re.search(r"--resume (run-\S+)", said.read_text())
    assert found is not None
    return found[1]


def interrupted(bank: Bank) -> list[dict[str, Any]]:
    """As they are listed."""
    runs: list[dict[str, Any]] = json.loads(bank.done("--format", "json", "runs", "list", "--outcome", "interrupted"))[
        "runs"
    ]
    return runs


def told(bank: Bank, run: str) -> Counter[str]:
    """How often the run has told of each drift."""
    return Counter(event["key"]["id"] for event in bank.events("drift") if event["run"] == run)


def test_a_killed_run_is_gone_on_with(bank: Bank) -> None:
    """Also when it is killed again after it has told of all: nothing is counted or told twice."""
    run = killed_in_the_middle(bank)
    assert told(bank, run) == {}
    (listed,) = interrupted(bank)
    assert (listed["run"], listed["table"], listed["outcome"]) == (run, "public.account", "interrupted")
    decided = listed["sot_rows"]
    assert 0 < decided == listed["verified"] + listed["drift_found"] < ROWS
    # What is committed in what was looked at is of the next run; what lies ahead is looked at.
    bank.sot.execute("INSERT INTO account VALUES (1, 'x'), (999999, 'x') ON CONFLICT DO NOTHING")
    bank.wait_caught_up("reports")
    ran = bank.run("validate", "--resume", run, env={"HOLDTRUE_CRASH_AT": "run-told"})
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    once = {str(key): 1 for key in [*WRONG, 99999]}
    assert told(bank, run) == once
    ran = bank.run("--format", "json", "validate", "--resume", run)
    assert ran.returncode == 3, ran.stderr
    (result,) = json.loads(ran.stdout)["results"]
    assert (result["run"], result["depth"], result["outcome"]) == (run, "full", "drifted")
    assert (result["sot_rows"], result["replica_rows"]) == (ROWS + 1, ROWS + 2)
    assert (result["verified"], result["drift_found"]) == (ROWS + 1 - len(WRONG), len(WRONG) + 1)
    assert (result["superseded"], result["skipped"], result["failed"]) == (0, 0, 0)
    assert result["verified_through"] is None
    assert told(bank, run) == once
    ended = [event for event in bank.events("signals") if event["run"] == run]
    assert {event["type"] for event in ended} == {"run-finished"}
    over = bank.run("validate", "--resume", run)
    assert (over.returncode, f"There is no interrupted run {run}" in over.stderr) == (2, True)


def test_a_run_under_another_plan_is_not_gone_on_with(bank: Bank) -> None:
    """What it has looked at may not be what the plan says now; and no option can make it another run."""
    run = killed_in_the_middle(bank)
    assert bank.run("validate", "--resume", run, "--depth", "full").returncode == 2
    bank.document["owner"] = "somebody else"
    bank.write_plan()
    ran = bank.run("validate", "--resume", run)
    assert (ran.returncode, "The plan has changed since" in ran.stderr) == (2, True), ran.stderr


def test_a_run_reads_nothing_while_the_source_is_busy(bank: Bank) -> None:
    """It says why, goes on when others have done, and covers every key."""
    said = bank.folder / "busy.err"
    decided = {"depths": ["full"], "every": "1h", "pause_above": 2}
    bank.document["replicas"]["reports"]["tables"]["public.account"] = {"validation": decided}
    bank.write_plan()
    others = [psycopg.connect(bank.env["HOLDTRUE_SOT_DSN"], autocommit=True) for _ in range(4)]
    threads = [Thread(target=_busy, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    try:
        with said.open("wb") as errors:
            words = ("--format", "json", *FULL, "--rows-per-second", "200")
            process = subprocess.Popen(
                (PROGRAM, *words), env=bank.env, stdout=subprocess.PIPE, stderr=errors, cwd=bank.folder
            )
            waiting = "waiting: the source is busy, 4 statements run there at once: the plan allows 2"
            wait_until(lambda: waiting in said.read_text(), lambda: said.read_text(), 60)
    finally:
        for other in others:
            other.cancel()
        for thread in threads:
            thread.join()

    out, _ = process.communicate(timeout=60)
    (result,) = json.loads(out)["results"]
    assert result["verified"] + result["drift_found"] == result["sot_rows"] + 1
    assert (result["failed"], result["reason"]) == (0, None)


def unfinished(bank: Bank) -> dict[str, str]:
    """Runs that are not over, each with how it stands."""
    listed = json.loads(bank.done("--format", "json", "runs", "list", "--outcome", "unfinished"))["runs"]
    return {run["run"]: run["outcome"] for run in listed}


def killed(bank: Bank, control: Worker) -> None:
    """No handler, no flush."""
    assert control.stop(signal.SIGKILL) == -signal.SIGKILL, control.said
    bank.workers.remove(control)


def test_control_goes_on_with_a_run_in_which_it_was_killed(bank: Bank) -> None:
    """Under its name, to its end, also where that was told already; told once, and what it found is repaired."""
    every = {"validation": {"depths": ["full"], "every": "10s"}, "repair": {"automatic": ["mismatch", "orphan"]}}
    bank.document["replicas"]["reports"]["tables"]["public.account"] = every
    bank.write_plan()
    earlier = set(unfinished(bank))
    with psycopg.connect(bank.env["HOLDTRUE_SOT_DSN"]) as other:
        other.execute("LOCK TABLE account IN ACCESS EXCLUSIVE MODE")  # it stands in the middle of its run
        control = bank.control()
        wait_until(lambda: unfinished(bank).keys() - earlier, lambda: control.said, 90)
        (run,) = unfinished(bank).keys() - earlier
        killed(bank, control)
        wait_until(lambda: unfinished(bank)[run] == "interrupted", "its run to end with it")
    # The next one goes on with it, and is killed when its run has been killed just after it told of its end.
    control = bank.control(HOLDTRUE_CRASH_AT="run-told")
    wait_until(lambda: f"going on with the run {run}" in control.said and ended(bank, run), lambda: control.said, 90)
    killed(bank, control)
    wait_until(lambda: unfinished(bank).get(run) == "interrupted", "its run to end with it")
    control = bank.control()
    wait_until(lambda: run not in unfinished(bank), lambda: control.said, 90)
    once = {str(key): 1 for key in [*WRONG, 99999]}
    assert told(bank, run) == once
    signals = ended(bank, run)
    assert len({event["id"] for event in signals}) == 1
    assert {event["detail"]["who"] for event in signals} == {"control (schedule)"}
    assert (signals[0]["detail"]["outcome"], signals[0]["detail"]["drift_found"]) == ("drifted", str(len(once)))
    bank.wait_equal("reports")
    listed = json.loads(bank.done("--format", "json", "runs", "list"))["runs"]
    assert [each["outcome"] for each in listed if each["run"] == run] == ["drifted"]


def test_a_run_of_a_table_that_somebody_else_writes_is_gone_on_with(bank: Bank) -> None:
    """What differs is decided at the end, when their lag has passed; also what was seen before the kill."""
    for worker in bank.workers:
        assert worker.stop() == 0, worker.said
    bank.workers.clear()
    replica = bank.document["replicas"]["reports"]
    replica["tables"]["public.account"] = {}
    replica["defaults"] |= {"mode": "verify", "consistency": {"kind": "eventual", "lag": "3s"}}
    bank.write_plan()
    bank.worker("reports")
    bank.wait_caught_up("reports")
    plant(bank)
    run = killed_in_the_middle(bank)
    (listed,) = (each for each in interrupted(bank) if each["run"] == run)
    assert (listed["drift_found"], 0 < listed["verified"] < listed["sot_rows"] < ROWS) == (0, True)
    (result,) = json.loads(bank.run("--format", "json", "validate", "--resume", run).stdout)["results"]
    assert (result["run"], result["outcome"], result["drift_found"]) == (run, "drifted", len(WRONG) + 1)
    assert result["verified"] == result["sot_rows"] - len(WRONG)
    assert (result["superseded"], result["skipped"], result["failed"]) == (0, 0, 0)


def ended(bank: Bank, run: str) -> list[dict[str, Any]]:
    """What was told of its end."""
    return [event for event in bank.events("signals") if event["run"] == run]


def _busy(other: psycopg.Connection[tuple[object, ...]]) -> None:
    with other, suppress(psycopg.errors.QueryCanceled):
        other.execute("SELECT pg_sleep(120)")
