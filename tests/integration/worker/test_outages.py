"""Servers that are away: what needs them waits, what does not goes on, and nothing is lost or told."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
import requests

from streams.cli.status import AWAY
from streams.local.stack import Stack
from tests.integration.worker.conftest import MakeBank
from tests.support.bank import PROGRAM, Bank
from tests.support.processes import Worker
from tests.support.wait import wait_until

pytestmark = pytest.mark.stack
PERSON, THING = "public.person", "public.thing"


@pytest.fixture(scope="module")
def town(make_bank: MakeBank) -> Iterator[Bank]:
    """Postgres and Redis, each with a worker."""
    bank = make_bank("reports", "cache")
    bank.apply()
    bank.control()
    for store in ("reports", "cache"):
        bank.worker(store)
    for store in ("reports", "cache"):
        bank.wait_caught_up(store)
    yield bank
    assert {worker.process.poll() for worker in bank.workers} == {None}, [w.said[-2000:] for w in bank.workers]


def control_port(bank: Bank) -> int:
    """Where control serves its metrics."""
    worker = bank.workers[0]
    worker.wait_said("metrics on")
    return int(re.findall(r"metrics on http://127\.0\.0\.1:(\d+)/", worker.said)[0])


@contextmanager
def stopped(stack: Stack, *services: str) -> Iterator[None]:
    """These servers are away inside."""
    for service in services:
        stack.stop_service(service)
    try:
        yield
    finally:
        for service in reversed(services):
            stack.start_service(service)


def begun(bank: Bank, *words: str) -> Worker:
    """A command that is not waited for; its stderr is its log."""
    log = bank.folder / f"{'-'.join(words)}.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            (PROGRAM, *words), env=bank.env, stdout=subprocess.DEVNULL, stderr=said, cwd=bank.folder
        )
    return Worker(process, log)


def worker_of(bank: Bank, store: str) -> Worker:
    """The last worker of a replica."""
    return [worker for worker in bank.workers if worker.log.name.startswith(store)][-1]


@contextmanager
def retried(bank: Bank, store: str) -> Iterator[None]:
    """Inside, the worker of this replica says that it tries something again."""
    worker = worker_of(bank, store)
    before = worker.said.count("Trying again.")
    yield
    wait_until(
        lambda: worker.said.count("Trying again.") > before, lambda: f"{store} to try again:\n{worker.said[-2000:]}"
    )


def test_redis_away(town: Bank, shared_stack: Stack) -> None:
    """Its worker waits and goes on by itself; the Postgres replica runs on meanwhile. A run names it, and ends."""
    with stopped(shared_stack, "redis"):
        with retried(town, "cache"):
            town.sot.execute("UPDATE person SET name = 'redis is away'")
        town.wait_caught_up("reports")
        assert town.difference("reports") == {}
        assert any(town.committed("cache").get(tp, 0) < end for tp, end in town.ends(PERSON).items()), (
            "committed what was not stored"
        )
        (run,) = town.validate("--table", PERSON, "--replica", "cache")
        assert (run["outcome"], run["replica_rows"], "Redis" in run["reason"]) == ("incomplete", None, True), run
        assert run["seconds"] < 100  # a worker that says nothing is waited for longer
    town.wait_caught_up("cache")
    assert town.difference("cache") == {}


def test_postgres_replica_away(town: Bank, shared_stack: Stack) -> None:
    """The same, the other way round; status says so before anything is to be written."""
    with stopped(shared_stack, "replica"):
        asked = town.run("--format", "json", "status")
        problems = {row["replica"]: str(row["problems"]) for row in json.loads(asked.stdout)["tables"]}
        assert (asked.returncode, "Traceback" in asked.stderr) == (3, False), asked.stderr
        assert {name for name, said in problems.items() if AWAY in said} == {"reports"}, problems
        # Control's database is on the same server.
        assert "What is verified, in drift and held is not known." in asked.stderr
        with retried(town, "reports"):
            town.sot.execute("UPDATE person SET name = 'postgres is away', city = 'Oslo'")
        town.wait_caught_up("cache")
        assert town.difference("cache") == {}
    town.wait_caught_up("reports")
    assert town.difference("reports") == {}
    assert town.env["HOLDTRUE_REPLICA_DSN"].partition("postgres:")[2].partition("@")[0] not in town.workers[0].said


def test_source_away_while_a_row_must_be_read_from_it(town: Bank, shared_stack: Stack) -> None:
    """A change without its large column needs the SOT: nothing is applied wrongly, all of it afterwards."""
    text = "".join(chr(97 + n * 5 % 26) for n in range(9000))
    town.sot.execute("ALTER TABLE person ALTER COLUMN big SET STORAGE EXTERNAL")
    town.sot.execute("UPDATE person SET big = %s WHERE id < 50", [text])
    town.wait_caught_up("reports")
    last = worker_of(town, "reports")
    assert last.stop() == 0
    # A change of another column over two records, so that the entry is no exact predecessor.
    town.sot.execute("UPDATE person SET name = 'first' WHERE id < 50")
    town.sot.execute("UPDATE person SET name = 'second' WHERE id < 50")
    town.wait_published()
    town.sot.close()
    town.workers.remove(last)
    worker = town.worker("reports")
    worker.wait_said("metrics on")
    with stopped(shared_stack, "sot"):
        pass
    town.sot = psycopg.connect(town.env["HOLDTRUE_SOT_DSN"], autocommit=True)
    town.done("connectors", "apply")
    town.wait_caught_up("reports")
    assert town.difference("reports") == {}
    assert town.actual("reports", PERSON)[("7",)]["big"] == text


def test_registry_away(town: Bank, shared_stack: Stack) -> None:
    """Changes of known schemas go on; a worker that starts waits for it."""
    with stopped(shared_stack, "registry"):
        town.sot.execute("UPDATE person SET name = 'no registry'")
        for store in ("reports", "cache"):
            town.wait_equal(store)
        last = worker_of(town, "cache")
        assert last.stop() == 0
        town.workers.remove(last)
        town.sot.execute("UPDATE person SET name = 'still none'")
        town.wait_published()
        town.worker("cache").wait_said("Trying again.")
    # Connect has given its task up meanwhile: control starts it again.
    town.wait_caught_up("cache")
    assert town.difference("cache") == {}


def test_connect_away(town: Bank, shared_stack: Stack) -> None:
    """Nothing comes; the verbs that need it say so; afterwards all of it comes, to a run that waited for it as well."""
    with stopped(shared_stack, "connect"):
        town.sot.execute("UPDATE person SET name = 'no connect'")
        run = begun(town, "validate")
        ran = town.run("connectors", "status")
        assert (ran.returncode, "Traceback" in ran.stderr) == (1, False), ran.stderr
        assert len(ran.stderr.splitlines()) <= 2
        ran = town.run("status")
        assert (ran.returncode, "changes reach Kafka" in ran.stderr) == (3, True), ran.stderr
        run.wait_said(f"waiting for the connector to confirm the slot {town.slot}", 20)
    town.wait_caught_up("reports")
    town.wait_caught_up("cache")
    assert town.difference("reports") == {}
    assert town.difference("cache") == {}
    assert run.wait_end() == 0, run.said


def test_a_connector_that_is_stuck_is_not_well(town: Bank) -> None:
    """Everything says that it runs; nothing reaches Kafka. Status and metric say so while it lasts, and no longer."""
    port = control_port(town)

    def lag() -> float:
        said = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        return min(float(line.split()[1]) for line in said.splitlines() if line.startswith("holdtrue_lag_seconds{"))

    wait_until(lambda: town.run("status").returncode == 0, lambda: f"all to be well: {town.run('status')}", 60)
    (pid,) = town.sot.execute(
        "SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s", [town.slot]
    ).fetchone()  # type: ignore[misc]
    os.kill(pid, signal.SIGSTOP)
    try:
        town.sot.execute("UPDATE person SET name = 'stuck'")
        ran = town.run("--format", "json", "status")
        assert (ran.returncode, "Traceback" in ran.stderr) == (3, False), ran.stderr
        for row in json.loads(ran.stdout)["tables"]:
            assert row["lag_seconds"] >= 10, row
            assert "did not reach Kafka" in " ".join(row["problems"]), row
        wait_until(lambda: lag() > 5, "control's lag of every table to show it", 40)
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: town.run("status").returncode == 0, lambda: f"all to be well: {town.run('status')}", 90)
    wait_until(lambda: lag() == 0, "the lag to end", 40)
    assert town.difference("reports") == {}


def check_come_back(bank: Bank) -> None:
    """What Kafka's absence has ended is started again; the replicas come right."""
    for store in ("reports", "cache"):
        if worker_of(bank, store).process.poll() is not None:
            bank.workers.remove(worker_of(bank, store))
            bank.worker(store)
    for store in ("reports", "cache"):
        bank.wait_caught_up(store, seconds=150)
        assert bank.difference(store) == {}


def test_kafka_away(town: Bank, shared_stack: Stack) -> None:
    """Workers survive a broker that is restarted, or end and are started again; the replicas come right."""
    with stopped(shared_stack, "kafka"):
        town.sot.execute("UPDATE person SET name = 'no kafka' WHERE id < 100")
    # Connect loses its workers with the broker.
    town.sot.execute("DELETE FROM person WHERE id BETWEEN 280 AND 290")
    check_come_back(town)


@pytest.mark.long
def test_what_verbs_say_while_kafka_is_away(town: Bank, shared_stack: Stack) -> None:
    """What is known is shown, and what is not is said, with what to do. Side by side, for each waits for Kafka."""
    verbs = (("status",), ("repair", "plan"), ("validate",))
    with stopped(shared_stack, "kafka"), ThreadPoolExecutor() as side_by_side:
        status, repairs, runs = side_by_side.map(lambda words: town.run("--format", "json", *words), verbs)
    for ran in (status, repairs, runs):
        assert (ran.returncode, "Traceback" in ran.stderr) == (3, False), ran.stderr
        assert f"Kafka at {town.env['HOLDTRUE_KAFKA']} did not answer" in ran.stderr
    for row in json.loads(status.stdout)["tables"]:
        assert (row["lag_seconds"], row["lag_events"], row["drift_open"]) == (None, None, 0), row
    assert json.loads(repairs.stdout)["items"] == []
    for run in json.loads(runs.stdout)["results"]:
        assert (run["outcome"], "Start it" in run["reason"]) == ("incomplete", True), run
    check_come_back(town)


def test_validation_after_all_of_this(town: Bank) -> None:
    """Nothing is wrong."""
    results = town.validate("--depth", "checksums")
    assert [each["outcome"] for each in results] == ["correct"] * 3, results
