"""A column that is dropped at the source, and how its tables go on."""

from __future__ import annotations

import pytest

from tests.integration.worker.conftest import MakeBank
from tests.support.processes import stop_all

pytestmark = pytest.mark.stack


def test_a_dropped_column_holds_its_table_until_the_replica_begins_anew(make_bank: MakeBank) -> None:
    """Under another name in the plan, over the store as it is: with its rows and their tokens."""
    bank = make_bank("reports", "cache")
    bank.start()
    bank.check_equal()
    bank.change(
        "ALTER TABLE person DROP COLUMN born",
        "UPDATE person SET name = 'after' WHERE id < 10",
        "DELETE FROM person WHERE id > 290",
    )
    for replica in ("reports", "cache"):
        reason = bank.wait_event("signals", type="table-held", replica=replica)["detail"]["reason"]
        assert "no column born" in reason
        assert "under another name" in reason
    assert stop_all(bank.workers) == [0, 0]
    bank.workers.clear()
    replicas = bank.document["replicas"]
    replicas.update({f"{name}-anew": replicas.pop(name) for name in list(replicas)})
    bank.write_plan()
    bank.start()
    for replica in replicas:
        bank.wait_caught_up(replica)
    results = bank.validate("--depth", "checksums")
    assert [(each["outcome"], each["drift_found"]) for each in results] == [("correct", 0)] * 3, results
    assert bank.difference("cache-anew") == {}
