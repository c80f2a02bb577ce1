"""What is told of a flood when its worker is restarted, or a run tells of it, too: no key twice, and none dropped."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents import findings
from streams.agents.findings import Findings
from streams.agents.owner import Owner
from streams.agents.scrub import Scrub
from streams.drift.flood import FIRST_SECONDS, TELL_SECONDS, flood_records
from streams.drift.names import Names
from streams.drift.record import key_record
from streams.plan.policy import Drift
from streams.repair.storm import Storm
from tests.support.drift_topic import DriftTopic
from tests.support.works import SHAPE
from tests.unit.agents.test_findings_flood import KEYS, NOON, gone

NAMED = 3
WINDOW = 120.0


class Partition:
    """One partition of two under a plan that lets six keys be named; its workers come and go, its state stays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, secret: bytes | None = None) -> None:
        self.now = 1000.0
        self.names = Names("cache", "public.t", ["id"], secret)
        self.topic = DriftTopic("cache")
        clock = SimpleNamespace(monotonic=lambda: self.now, time=lambda: 9e8 + self.now)
        monkeypatch.setattr(findings, "time", clock)
        mapping = SimpleNamespace(drift=Drift(flood_above=6), repair=SimpleNamespace(automatic=()), others_write=False)
        work = SimpleNamespace(
            mapping=mapping, partitions=2, kind="redis", shape=SHAPE, names=self.names, table="public.t"
        )
        self.state = SimpleNamespace(storm=0, flood=0)
        self.owner: Any = SimpleNamespace(
            work=work, tp=SimpleNamespace(partition=1), state=self.state, note_flood=self._note_flood
        )
        self.worker = self.restarted()

    async def _note_flood(self, at: int) -> None:
        self.state.flood = at

    def restarted(self) -> Findings:
        """Another process goes on."""
        topic, nothing = self.topic, None
        self.began = self.now
        self.worker = Findings(self.owner, topic, nothing, Storm(100, WINDOW), topic)  # type: ignore[arg-type]
        return self.worker

    async def finds(self, *keys: bytes, seconds: float = 0.0, whole: bool = False) -> None:
        """These are wrong, so many seconds later. whole: every other key was looked at, too."""
        self.now += seconds
        await self.worker.wrong([gone(key) for key in keys], self.now if whole else self.began - 1)


@pytest.fixture(params=[None, b"secret"])
def flooded(monkeypatch: pytest.MonkeyPatch, request: Any) -> Partition:
    """Ten keys are wrong; keys are shown, or hidden."""
    return Partition(monkeypatch, request.param)


async def test_who_goes_on_with_a_flood_counts_no_key_twice(flooded: Partition) -> None:
    """In whatever order it finds them, and at every moment; what its predecessor has named it names again."""
    await flooded.finds(*KEYS, whole=True)
    named, told = flooded.topic.named, len(flooded.topic.records)
    assert (len(named), flooded.topic.total) == (NAMED, 10)
    flooded.restarted()
    for key in reversed(KEYS):
        await flooded.finds(key, seconds=10)
        assert (flooded.topic.named, flooded.topic.total) == (named, 10)
    assert {record["key_bytes"] for record in flooded.topic.records[told:]} == named, "seen again"
    for _ in range(5):
        await flooded.finds(*KEYS, seconds=TELL_SECONDS, whole=True)
        assert (flooded.topic.named, flooded.topic.total) == (named, 10)


async def test_who_goes_on_tells_less_only_when_it_has_looked_at_every_key(flooded: Partition) -> None:
    """Some came right meanwhile: what was counted is not made smaller by half a look. Then places are given anew."""
    await flooded.finds(*KEYS, whole=True)
    left = [key for key in KEYS if flooded.names.shown(key) in flooded.topic.named][:1] + KEYS[-2:]
    flooded.restarted()
    await flooded.finds(*left)
    await flooded.finds(*left, seconds=FIRST_SECONDS)
    assert flooded.worker._counted
    assert flooded.topic.total == 10
    await flooded.finds(*left, seconds=TELL_SECONDS, whole=True)
    assert len(flooded.topic.open) == NAMED + 1, "named ones that came right are ended by a look at open drift"
    assert flooded.topic.total == NAMED + 2
    await flooded.finds(*left, seconds=TELL_SECONDS, whole=True)
    assert {flooded.names.shown(key) for key in left} <= flooded.topic.named
    await flooded.worker.settle(flooded.now)
    assert (flooded.topic.total, flooded.worker.is_due(flooded.now)) == (NAMED + 2, False)


async def test_a_number_ends_though_nothing_is_wrong_any_more(flooded: Partition) -> None:
    """Everything was mended while no worker was there: nobody finds a key that was counted."""
    await flooded.finds(*KEYS, whole=True)
    assert flooded.state.flood > 0
    flooded.restarted()
    flooded.now += WINDOW - 1
    assert not flooded.worker.is_due(flooded.now)
    flooded.now += 2
    assert flooded.worker.is_due(flooded.now)
    await flooded.worker.settle(flooded.now)
    # It is heard of now; what it is of may have gone wrong a moment ago.
    for _ in range(3):
        flooded.now += WINDOW
        await flooded.worker.settle(flooded.now)
    assert flooded.topic.total == NAMED
    assert flooded.state.flood < 0


async def test_who_goes_on_before_a_number_was_told_names_no_others(flooded: Partition) -> None:
    """Killed in the first minutes: the keys beyond were counted, and nobody was told how many."""
    await flooded.finds(*KEYS)
    named = flooded.topic.named
    assert (len(named), flooded.topic.total) == (NAMED, NAMED)
    flooded.restarted()
    await flooded.finds(*reversed(KEYS))
    await flooded.finds(*KEYS, seconds=WINDOW, whole=True)
    assert (flooded.topic.named, flooded.topic.total) == (named, 10)


async def test_what_a_run_has_named_is_counted_no_more(flooded: Partition) -> None:
    """The run names others, and tells how many are left in the same record: both say the same."""
    await flooded.finds(*KEYS, whole=True)
    run(flooded, KEYS[-2:], 5)
    assert flooded.topic.total == 10
    for _ in range(4):
        await flooded.finds(*KEYS, seconds=TELL_SECONDS, whole=True)
        assert (len(flooded.topic.named), flooded.topic.total) == (NAMED + 2, 10)
    await flooded.finds(*KEYS, KEYS[0] + b"x", seconds=TELL_SECONDS, whole=True)
    assert flooded.topic.total == 11


async def test_the_number_of_a_run_stands_until_every_key_was_looked_at_since(flooded: Partition) -> None:
    """The run has seen what the pass comes to later; a run that is over says that there are none, and there are."""
    await flooded.finds(*KEYS[:6], whole=True)
    run(flooded, (), 7)
    await flooded.finds(*KEYS[:6], seconds=TELL_SECONDS)
    assert flooded.topic.total == 10
    await flooded.finds(*KEYS, seconds=TELL_SECONDS)
    assert flooded.topic.total == 10
    run(flooded, (), 7, state="superseded")
    assert flooded.topic.total == NAMED
    await flooded.finds(*KEYS, seconds=TELL_SECONDS, whole=True)
    assert flooded.topic.total == 10


@pytest.mark.parametrize("restarts", [False, True])
async def test_what_a_run_has_counted_is_named_by_nobody_until_all_is_known(flooded: Partition, restarts: bool) -> None:
    """The run was there before the pass, and before it was killed; its keys would be in both."""
    run(flooded, KEYS[:2], 8)
    await others_have_counted(flooded)
    if restarts:
        flooded.restarted()
    for keys in (KEYS[4:6], KEYS[3:], KEYS):
        await flooded.finds(*keys, seconds=10)
        assert flooded.topic.total == 10
    await flooded.finds(*KEYS, seconds=WINDOW, whole=True)
    assert (len(flooded.topic.named), flooded.topic.total) == (2, 10)
    await flooded.finds(*KEYS, seconds=TELL_SECONDS, whole=True)
    await flooded.finds(*KEYS, seconds=TELL_SECONDS, whole=True)
    assert (len(flooded.topic.named), flooded.topic.total) == (NAMED, 10)


async def others_have_counted(partition: Partition) -> None:
    """As the owner is told."""
    partition.owner.scrub = Scrub(partition.owner, partition.worker, WINDOW / 2)
    await Owner.others_have_counted(partition.owner)


async def test_who_takes_the_place_of_a_named_one_is_counted_no_more(flooded: Partition) -> None:
    """With the same telling: not a minute later."""
    await flooded.finds(*KEYS, whole=True)
    named = [key for key in KEYS if flooded.names.shown(key) in flooded.topic.named]
    await flooded.worker.right(named, flooded.now)
    assert flooded.topic.total == 7
    await flooded.finds(*(key for key in KEYS if key not in named), seconds=1, whole=True)
    assert (len(flooded.topic.named), flooded.topic.total) == (NAMED, 7)


async def test_whoever_finds_little_hears_nothing(flooded: Partition) -> None:
    """The topic is as large as a year of drift; only who has more to tell than may be named reads it."""
    for _ in range(3):
        await flooded.finds(*KEYS[:NAMED], seconds=TELL_SECONDS, whole=True)
    assert (flooded.topic.heard_times, flooded.state.flood) == (0, 0)


async def test_without_its_state_a_flood_is_right_again_with_the_next_number(flooded: Partition) -> None:
    """Nobody knows that keys were counted: some are named until the others are heard of, at most as many as may be."""
    await flooded.finds(*KEYS, whole=True)
    flooded.state.flood = 0
    flooded.restarted()
    await flooded.finds(*KEYS[-2:])
    assert flooded.topic.total == 12
    await flooded.finds(*KEYS)
    await flooded.finds(*KEYS, seconds=WINDOW, whole=True)
    assert (len(flooded.topic.named), flooded.topic.total) == (NAMED + 2, 10)


def run(partition: Partition, named: Any, beyond: int, state: str = "open") -> None:
    """A run tells of these by name, and of so many others by their number."""
    for key in named:
        said = key_record(partition.names, key, kind="missing", cause="unknown", state="open", at=NOON)
        partition.topic.send("drift", said["id"], "drift", said)
    for said in flood_records(partition.names, {("missing", "unknown"): beyond}, 1, at=NOON, state=state):
        partition.topic.send("drift", said["id"], "drift", said)
