"""What continuous checking tells of very many keys: its share of them by name, the others by their number."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents import findings
from streams.agents.findings import Findings
from streams.agents.scrub import Judged
from streams.checks.compare import NOTHING, Finding, Verdict
from streams.drift.names import Names
from streams.plan.policy import Drift
from streams.repair.storm import Storm
from streams.replicas.base import Held
from streams.rows.canonical import encode
from tests.support.drift_topic import DriftTopic
from tests.support.works import SHAPE

KEYS = [encode((str(number),)) for number in range(10)]


NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def topic() -> DriftTopic:
    """What was told."""
    return DriftTopic("cache")


@pytest.fixture
def told(topic: DriftTopic) -> list[dict[str, Any]]:
    """The records that were sent."""
    return topic.records


@pytest.fixture
def found(topic: DriftTopic) -> Findings:
    """Of one partition of two, under a plan that lets six keys be named."""

    async def note_flood(at: int) -> None:
        owner.state.flood = at

    mapping = SimpleNamespace(drift=Drift(flood_above=6), repair=SimpleNamespace(automatic=()), others_write=False)
    work = SimpleNamespace(
        mapping=mapping, partitions=2, kind="redis", shape=SHAPE, names=Names("cache", "public.t", ["id"]),
        table="public.t",
    )  # fmt: skip
    owner: Any = SimpleNamespace(
        work=work, tp=SimpleNamespace(partition=1), state=SimpleNamespace(storm=0, flood=0), note_flood=note_flood
    )
    as_any: Any = topic
    return Findings(owner, as_any, as_any, Storm(100, 60), topic)


def gone(key: bytes) -> Judged:
    """The key is not in the store."""
    return Judged(key, None, Held(None, None), NOTHING, None, Finding(Verdict.suspected, "missing"), agrees=True)


def said(told: list[dict[str, Any]]) -> Counter[tuple[str, int]]:
    """State and number of keys of each record, and none of them is left."""
    counted = Counter((record["state"], record["keys"]) for record in told)
    told.clear()
    return counted


async def test_a_partition_names_its_share_and_counts_the_others(
    found: Findings, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of ten; a number is told once a minute, until none is left to be counted."""
    now = [100.0]
    monkeypatch.setattr(findings, "time", SimpleNamespace(monotonic=lambda: now[0], time=lambda: now[0]))
    await found.wrong([gone(key) for key in KEYS[:9]], now[0])
    assert said(told) == {("open", 1): 3, ("open", 6): 1}
    await found.wrong([gone(key) for key in KEYS], now[0])
    assert said(told) == {}, "seen again, and told a moment ago"
    now[0] += 60
    await found.wrong([gone(key) for key in KEYS], now[0])
    assert said(told) == {("open", 1): 3, ("open", 7): 1}
    # Where a named one is right, one that was counted takes its place.
    await found.right([KEYS[0], KEYS[9]], now[0])
    assert said(told) == {("superseded", 1): 1}
    now[0] += 60
    await found.wrong([gone(key) for key in KEYS[1:9]], now[0])
    assert said(told) == {("open", 1): 3, ("open", 5): 1}
    await found.right(KEYS[1:9], now[0])
    assert said(told) == {("superseded", 1): 3, ("superseded", 5): 1}
    assert not any(key in found for key in KEYS)
