"""A replica is taken away: what was kept for it goes, its rows stay, and nobody else notices."""

from __future__ import annotations

import json
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from tests.integration.worker.conftest import MakeBank
from tests.integration.worker.test_modes import DDL, KEYS, THING
from tests.support.bank import Bank
from tests.support.wait import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.long, pytest.mark.timeout(600)]


def topics_of(bank: Bank, replica: str) -> set[str]:
    """The topics in whose name the replica is."""
    admin = AdminClient({"bootstrap.servers": bank.env["HOLDTRUE_KAFKA"], "log_level": 0})
    names = admin.list_topics(timeout=10).topics
    return {name for name in names if bank.name in name and f".{replica}" in name}


def removed(bank: Bank, *words: str) -> dict[str, Any]:
    """What the command says of the cache."""
    (said,) = json.loads(bank.done("--format", "json", "replica", "remove", "cache", *words))["replicas"]
    found: dict[str, Any] = said
    return found


def test_a_replica_is_removed_and_the_others_go_on(make_bank: MakeBank) -> None:
    """Not while its worker runs, and not without being told to; rows are never touched, tokens on request."""
    replicas = {"reports": {THING: {}}, "cache": {THING: {}}}
    bank = make_bank("reports", "cache", ddl=DDL, tables=KEYS, replicas=replicas, partitions=1)
    bank.start()
    bank.control()
    bank.wait_caught_up("cache")
    with bank.redis() as client:
        client.delete(f"{bank.name}:thing:7")
        assert bank.validate("--replica", "cache")[0]["drift_found"] == 1
        wait_until(lambda: bank.open_drift("cache") == 1, "the drift to be known")
        refused = bank.run("replica", "remove", "cache", "--yes")
        assert (refused.returncode, "Workers of cache are running" in refused.stderr) == (3, True)
        keeper = bank.workers.pop(1)
        assert keeper.stop() == 0
        wait_until(lambda: bank.run("replica", "remove", "cache").returncode == 0, "the group to be empty", 60)
        before = topics_of(bank, "cache")
        assert removed(bank)["removed"] is False
        assert topics_of(bank, "cache") == before
        tokens = f"holdtrue:{THING}:*{bank.name}:*"
        assert len(list(client.scan_iter(tokens, count=10_000))) == 100
        said = removed(bank, "--tokens", "--yes", "--by", "ada")
        assert (said["topics"], said["drift"], said["tokens"]) == (len(before), 1, 100)
        assert list(client.scan_iter(tokens, count=10_000)) == []
        assert len(bank.actual("cache", THING)) == 99
        wait_until(lambda: topics_of(bank, "cache") == set(), "its topics to be gone")
    wait_until(lambda: bank.open_drift("cache") == 0, "its drift to be over")
    assert any("was removed by ada" in str(event["reason"]) for event in bank.events("drift"))
    assert not (bank.folder / "workers" / bank.name / "cache").exists()
    assert removed(bank, "--yes")["topics"] == 0
    del bank.document["replicas"]["cache"]
    bank.write_plan()
    bank.sot.execute("UPDATE thing SET note = 'after it'")
    bank.wait_caught_up("reports")
    assert [each["outcome"] for each in bank.validate()] == ["correct"]
    assert bank.difference("reports") == {}
