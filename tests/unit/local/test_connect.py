"""How Kafka Connect is configured."""

from __future__ import annotations

from pathlib import Path

from streams.local.artifacts import load_lock
from streams.local.connect import Connect
from streams.local.fetch import Cache
from streams.local.site import Site


def test_the_one_worker_waits_for_no_other(tmp_path: Path) -> None:
    """Else the connector stands still for five minutes after a failure of Kafka."""
    site = Site(tmp_path, {"connect": 1, "kafka": 2}, "", Cache(tmp_path), load_lock())
    assert Connect(site)._properties()["scheduled.rebalance.max.delay.ms"] == 0
