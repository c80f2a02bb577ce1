"""A Postgres replica's own log: what others do there is found within seconds, whoever follows it, and whatever ends."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.integration.worker.conftest import MakeBank
from tests.support.bank import Bank
from tests.support.load import Load
from tests.support.processes import Worker
from tests.support.wait import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.long]
PERSON, THING = "public.person", "public.thing"
# Nothing but the log can have found it: the scrub comes by once in an hour.
CHECKS = {"depths": ["counts"], "every": "1h", "scrub_period": "1h", "replica_log": True}
SECONDS = 10.0


@pytest.fixture(scope="module")
def town(make_bank: MakeBank) -> Iterator[Bank]:
    """People and things in a Postgres replica whose log is followed; nothing is repaired by itself."""
    bank = make_bank("reports")
    reports = bank.document["replicas"]["reports"]
    reports["defaults"] = {**reports["defaults"], "validation": CHECKS}
    bank.write_plan()
    bank.start()
    bank.wait_caught_up("reports")
    wait_until(lambda: _follows(bank.workers[0]), "the log to be followed")
    yield bank
    bank.stop()


@pytest.fixture(scope="module")
def rogue(town: Bank) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Somebody who writes to the replica behind everybody's back."""
    with psycopg.connect(town.env["HOLDTRUE_REPLICA_DSN"], autocommit=True) as connection:
        yield connection


def _follows(worker: Worker) -> bool:
    return worker.metric("holdtrue_replica_log_followed", table=PERSON) == 1


def _told(town: Bank, table: str, key: int) -> list[str]:
    wanted = (table, {"id": str(key)})
    return [event["kind"] for event in town.events("drift") if (event["table"], event["key"]) == wanted]


def _wait_told(town: Bank, table: str, key: int, kind: str, seconds: float = SECONDS) -> None:
    wait_until(lambda: kind in _told(town, table, key), lambda: f"{kind}: {_told(town, table, key)}", seconds)


@pytest.mark.parametrize(
    ("statement", "key", "kind"),
    [
        ("UPDATE person SET name = 'somebody else' WHERE id = 3", 3, "mismatch"),
        ("DELETE FROM person WHERE id = 6", 6, "missing"),
        ("INSERT INTO person (id, name) VALUES (9000, 'nobody')", 9000, "orphan"),
        ("UPDATE person SET id = 9001 WHERE id = 7", 7, "missing"),
        # Two in one transaction, one of them under a token that is written once more as it is.
        ("UPDATE person SET name = 'x' WHERE id = 8; UPDATE holdtrue.\"public.person\" SET token = token WHERE id = 8",
         8, "mismatch"),
    ],
    ids=["changed", "removed", "added", "moved", "under our token"],
)  # fmt: skip
def test_what_others_do_is_found_within_seconds(
    town: Bank, rogue: psycopg.Connection[tuple[object, ...]], statement: str, key: int, kind: str
) -> None:
    """By the log alone."""
    with rogue.transaction():
        rogue.execute(statement.encode())
    _wait_told(town, PERSON, key, kind)
    assert set(_told(town, PERSON, key)) == {kind}


def test_what_others_do_to_tokens_alone_is_looked_at_and_is_no_drift(
    town: Bank, rogue: psycopg.Connection[tuple[object, ...]]
) -> None:
    """The content is right, so nothing is told."""
    worker = town.workers[0]
    before = worker.metric("holdtrue_foreign_changes_total", table=PERSON)
    rogue.execute('UPDATE holdtrue."public.person" SET token = token WHERE id BETWEEN 100 AND 109')
    wait_until(lambda: worker.metric("holdtrue_foreign_changes_total", table=PERSON) == before + 10, "ten looks")
    assert not {str(key) for key in range(100, 110)} & {event["key"]["id"] for event in town.events("drift")}


def test_our_own_changes_are_nobody_elses(town: Bank) -> None:
    """Changes of every kind: none is looked at for the log's sake, and none is told."""
    worker = town.workers[0]
    load = Load(town.env["HOLDTRUE_SOT_DSN"], "thing")
    read = worker.metric("holdtrue_replica_log_changes_total")
    wait_until(
        lambda: load.changes > 1_000 and worker.metric("holdtrue_replica_log_changes_total") > read + 500,
        "changes in the replica's log", 60.0,
    )  # fmt: skip
    load.stop()
    town.wait_caught_up("reports")
    assert town.actual("reports", THING) == town.expected("reports", THING)
    assert worker.metric("holdtrue_foreign_changes_total", table=THING) == 0


def test_who_raises_tokens_himself_is_found_by_the_content(
    town: Bank, rogue: psycopg.Connection[tuple[object, ...]]
) -> None:
    """The bucket of the key is not what its owner knows; the others are."""
    worker = town.workers[0]

    def compared(result: str) -> float:
        return worker.metric("holdtrue_replica_buckets_compared_total", table=PERSON, result=result)

    wait_until(lambda: compared("equal") > 2_000, "both partitions to be compared", 60.0)
    with rogue.transaction():
        rogue.execute("UPDATE person SET name = 'somebody else' WHERE id = 55")
        rogue.execute(
            'UPDATE holdtrue."public.person" SET token = set_byte(token, 15, (get_byte(token, 15) + 1) % 256) '
            "WHERE id = 55"
        )
    _wait_told(town, PERSON, 55, "mismatch", 40.0)
    assert compared("unequal") >= 1


def test_a_killed_follower_loses_nothing_and_another_takes_over(
    town: Bank, rogue: psycopg.Connection[tuple[object, ...]]
) -> None:
    """It is killed with a change in hand; whoever stands by follows, and sees that one too."""
    town.workers[0].stop()
    first = town.worker("reports", HOLDTRUE_CRASH_AT="foreign-seen:1")
    wait_until(lambda: _follows(first), "it to follow", 60.0)
    second = town.worker("reports", instance="1")
    wait_until(lambda: town.members("reports").get("1", 0) > 0, "partitions of the second", 60.0)
    assert not _follows(second)
    rogue.execute("UPDATE person SET name = 'somebody else' WHERE id = 33")
    wait_until(lambda: first.process.poll() is not None, "the first one's end")
    wait_until(lambda: _follows(second), "the second to follow", 60.0)
    _wait_told(town, PERSON, 33, "mismatch", 90.0)
    town.workers[:] = [second]


def test_a_truncate_is_found_within_seconds(town: Bank, rogue: psycopg.Connection[tuple[object, ...]]) -> None:
    """Every key is visited at once."""
    town.change("INSERT INTO thing VALUES (5000, 'is there')")
    town.wait_caught_up("reports")
    rogue.execute("TRUNCATE thing")
    _wait_told(town, THING, 5000, "missing", 30.0)
    assert set(_told(town, THING, 5000)) == {"missing"}


def test_a_slot_that_somebody_drops_is_made_anew_and_told(
    town: Bank, rogue: psycopg.Connection[tuple[object, ...]]
) -> None:
    """What happened meanwhile was not seen, which nobody has to guess."""
    signals = len([each for each in town.events("signals") if each["type"] == "replica-log-begun"])
    assert signals == 2  # one for each table, of the first worker
    slot = f"holdtrue_{town.name}_reports_log"
    rogue.execute("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s", [slot])
    wait_until(lambda: _dropped(rogue, slot), "nobody to hold the slot")
    wait_until(
        lambda: len([e for e in town.events("signals") if e["type"] == "replica-log-begun"]) == signals + 2,
        "that the log is followed anew", 30.0,
    )  # fmt: skip
    rogue.execute("UPDATE person SET name = 'somebody else' WHERE id = 44")
    _wait_told(town, PERSON, 44, "mismatch")


def _dropped(rogue: psycopg.Connection[tuple[object, ...]], slot: str) -> bool:
    try:
        rogue.execute("SELECT pg_drop_replication_slot(%s)", [slot])
    except psycopg.errors.ObjectInUse:
        return False
    return True
