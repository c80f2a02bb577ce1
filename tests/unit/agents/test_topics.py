"""A worker and the lives of its topics: what is taken for the same topic, and what is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from faust.types import TP
from prometheus_client import REGISTRY

from streams import health
from streams.agents import worker
from streams.agents.checks import Checks
from streams.agents.table import Held
from streams.agents.worker import FINISH_SECONDS, ReplicaWorker
from streams.errors import HoldtrueError
from streams.health import STALLED_SECONDS
from streams.kafka.admin import Life
from streams.replicas.base import Refused, Unwelcome
from streams.versions.state import PartitionState

CHANGES = TP("bank.public.t", 0)
PROGRESS = "holdtrue_progress_timestamp_seconds"


class Town:
    """A worker with one partition of one table; Kafka's part is what a test says."""

    def __init__(self, folder: Path) -> None:
        self.state = PartitionState(folder / "0", 0)
        self.life: Life | None = Life("old", 1)
        self.end = 100
        self.away: Exception | None = None
        self.said: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.noted: list[tuple[int, int, str]] = []
        self.committed: list[int] = []
        self.work: Any = SimpleNamespace(
            replica="r", table="public.t", labels=("public.t", "r"), partitions=1, held=None, unprepared="",
            versions=SimpleNamespace(state=lambda partition: self.state), lag_bound_seconds=60, hold_ordered=False,
            mapping=SimpleNamespace(on_continuity="continue"),
        )  # fmt: skip
        app: Any = SimpleNamespace(consumer=self)
        appliers: Any = {CHANGES.topic: self}
        threads: Any = self
        events: Any = self
        self.worker = ReplicaWorker(app, {CHANGES.topic: self.work}, appliers, events, threads, self.lives)

    def lives(self, names: Sequence[str]) -> dict[str, Life]:
        """What Kafka says of the topic."""
        return {} if self.life is None else {CHANGES.topic: self.life}

    async def run(self, work: Callable[..., Any], *args: Any) -> Any:
        """In place of a thread."""
        return work(*args)

    async def highwaters(self, *partitions: TP) -> dict[TP, int]:
        """Where the partition ends."""
        if self.away is not None:
            raise self.away
        return {CHANGES: self.end}

    def highwater(self, tp: TP) -> int:
        """Where it ended at the last fetch, which found nothing more."""
        return self.state.input_offset + 1

    def send(self, topic: str, key: str, schema: str, record: dict[str, Any]) -> None:
        """An event."""
        self.said.append(record)

    def order(self, topic: str, partition: int, request: dict[str, Any]) -> None:
        """An order to an owner."""
        assert topic == "checks.r.public.t"
        self.asked.append({**request, "partition": partition})

    async def flush(self) -> None:
        """They are there."""

    async def commit_done(self, done: dict[TP, int]) -> bool:
        """Always ours."""
        self.committed += done.values()
        return True

    async def note(self, state: PartitionState, passed: int = -1) -> None:
        """Marks made durable."""
        state.commit([], max(passed, state.input_offset), 0)
        self.noted.append((state.epoch, state.input_offset, state.topic))


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """It has applied up to 40 of the topic."""
    town = Town(tmp_path)
    town.state.topic = "old"
    town.state.commit([], 40, 0)
    yield town
    town.state.close()


async def test_the_same_topic_goes_on(town: Town) -> None:
    """Nothing is said; a topic whose id was never noted is taken for the one that is there."""
    for known in ("old", ""):
        town.state.topic = known
        await town.worker.lives.recognise([CHANGES])
        assert (town.state.epoch, town.state.input_offset, town.state.topic) == (1, 40, "old")
    assert town.said == []


@pytest.mark.parametrize(("life", "end"), [("new", 100), ("new", 0), ("old", 40)])
async def test_another_topic_or_one_without_its_end_begins_an_epoch(town: Town, life: str, end: int) -> None:
    """Told by its id, also when it has grown beyond what was applied; or by its end. Durable, and said."""
    town.life, town.end = Life(life, 1), end
    await town.worker.lives.recognise([CHANGES])
    assert town.noted == [(2, -1, life)]
    lost, released = town.said
    assert (lost["kind"], lost["state"], lost["change"]["offset"]) == ("continuity", "open", 41)
    # A record of the topic that is gone holds nothing any more.
    assert (released["type"], released["detail"]["partition"]) == ("table-released", "0")
    assert town.worker.start_offset(CHANGES, 40) == 0


@pytest.mark.parametrize(("committed", "start"), [(None, 41), (20, 20), (41, 41), (60, 41)])
async def test_what_was_applied_is_known_where_the_group_is_forgotten(
    town: Town, committed: int | None, start: int
) -> None:
    """Ordering 13: the smaller of both where both are known. Nothing committed is not nothing applied."""
    assert town.worker.start_offset(CHANGES, committed) == start


async def test_a_loss_is_said_once_and_known_from_then_on(town: Town) -> None:
    """First said, then remembered; only what was not applied is lost, and what is remembered is not said again."""
    await town.worker.lives.pass_gap(CHANGES, 20, 60)
    assert town.state.input_offset == 40
    assert [(each["kind"], each["change"]["offset"]) for each in town.said] == [("continuity", 41)]
    async with asyncio.timeout(10):
        assert await town.worker.owner(CHANGES).passed(59)
    assert town.worker.start_offset(CHANGES, 20) == 20
    town.committed.clear()
    await town.worker.lives.pass_gap(CHANGES, 20, 60)
    assert len(town.said) == 1
    # No record will bring the group's offset there: it is behind for whoever asks Kafka.
    assert town.committed == [59]
    await town.worker.stop()


async def test_a_loss_is_said_before_it_is_passed(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill in between would leave a gap that nobody was told of, and that is known to be passed."""
    passed: list[int] = []

    async def flush() -> None:
        for _ in range(100):  # the owner may do by then whatever it can
            await asyncio.sleep(0)
        passed.append(town.state.input_offset)

    monkeypatch.setattr(town, "flush", flush)
    owner = town.worker.owner(CHANGES)
    async with asyncio.timeout(10):
        await town.worker.lives.pass_gap(CHANGES, 41, 60)
        assert await owner.passed(59)
    assert passed == [40]
    await town.worker.stop()


@pytest.mark.parametrize("found", [1, 3])
async def test_a_topic_with_another_number_of_partitions_holds_its_table(town: Town, found: int) -> None:
    """Keys have moved away from what is known of them; it is said once."""
    town.work.partitions, town.life = 2, Life("old", found)
    owner = town.worker.owner(CHANGES)
    for _ in range(2):
        assert await town.worker.lives.watch() is None
    assert owner.held is not None
    assert f"has {found} partitions instead of 2" in owner.held.reason
    assert [each["type"] for each in town.said] == ["table-held"]
    await town.worker.stop()


async def test_a_topic_made_anew_under_a_worker_ends_it(town: Town) -> None:
    """One that is not there at the moment says nothing, nor does one whose id was never noted."""
    town.worker.owner(CHANGES)
    for known, life in (("old", Life("old", 1)), ("old", None), ("", Life("new", 1))):
        town.state.topic, town.life = known, life
        assert await town.worker.lives.watch() is None
    town.state.topic = "old"
    assert "made anew" in str(await town.worker.lives.watch())
    assert town.said == []
    await town.worker.stop()


async def test_requests_for_a_partition_that_nobody_reads_end_the_worker(town: Town) -> None:
    """Its topic was away while the group shared out the partitions: nobody read it for minutes, and all said ok."""
    require = town.worker.lives.require
    await require([CHANGES], [CHANGES, TP("asked", 0)])
    with pytest.raises(HoldtrueError, match="was deleted or made anew"):
        await require([CHANGES], [TP("asked", 0)])
    town.life = None
    with pytest.raises(HoldtrueError, match="was deleted or made anew"):
        await require([CHANGES], [TP("asked", 0)])
    # Partitions were added: shared out apart, and the table is held for it.
    town.life = Life("old", 3)
    await require([CHANGES], [TP("asked", 0)])


async def test_a_topic_that_is_away_at_two_looks_ends_the_worker(town: Town) -> None:
    """At one, a broker that was started again may not know it yet."""
    town.worker.owner(CHANGES)
    there, town.life = town.life, None
    assert await town.worker.lives.watch() is None
    town.life = there
    assert await town.worker.lives.watch() is None
    town.life = None
    assert await town.worker.lives.watch() is None
    assert "was deleted or made anew" in str(await town.worker.lives.watch())
    await town.worker.stop()


async def test_where_the_plan_says_so_a_table_waits_before_what_follows_a_loss(town: Town) -> None:
    """Its own partition at once, the others by order, once for all of them (decision 12)."""
    town.work.mapping.on_continuity, town.work.partitions = "hold", 3
    owner = town.worker.owner(CHANGES)
    await town.worker.lives.pass_gap(CHANGES, 41, 60)
    assert (owner.state.hold.pending, owner.state.input_offset) == (True, 40)
    assert "offsets 41 to 59" in owner.state.hold.reason
    assert [(each["depth"], each["partition"], each["by"]) for each in town.asked] == [
        ("hold", number, "worker") for number in range(3)
    ]
    assert town.worker.ready() == "public.t is held"
    town.worker.measure()
    assert REGISTRY.get_sample_value("holdtrue_held", {"table": "public.t", "replica": "r"}) == 1
    town.asked.clear()
    await town.worker.lives.pass_gap(CHANGES, 41, 70)
    assert town.asked == []
    await owner.release("ada", "seen")
    async with asyncio.timeout(10):
        assert await owner.passed(69)
    town.worker.measure()
    assert REGISTRY.get_sample_value("holdtrue_held", {"table": "public.t", "replica": "r"}) == 0
    await town.worker.lives.pass_gap(CHANGES, 70, 80)
    assert len(town.asked) == 3
    await town.worker.stop()


async def test_where_the_plan_says_so_a_topic_made_anew_waits_before_its_first_record(town: Town) -> None:
    """Durable with the epoch that begins: the worker starts again, and a restart is no release."""
    town.work.mapping.on_continuity, town.life = "hold", Life("new", 1)
    await town.worker.lives.recognise([CHANGES])
    assert (town.state.epoch, town.state.hold.pending) == (2, True)
    assert town.noted == [(2, -1, "new")]
    assert "was made anew" in town.state.hold.reason
    await town.worker.stop()


async def test_a_partition_that_is_rebuilt_is_said_to_be(town: Town) -> None:
    """By `/readyz`, by the metric, and by every answer to a run: nothing of it counts as checked before."""
    owner = town.worker.owner(CHANGES)
    town.state.take_over(41, 700, 50)
    town.worker.measure()
    assert REGISTRY.get_sample_value("holdtrue_rebuilding", {"table": "public.t", "replica": "r"}) == 1
    assert town.worker.ready() == "public.t is being rebuilt from the source of truth"
    nothing: Any = None
    checks = Checks(nothing, nothing, nothing, nothing, nothing, nothing, {}, nothing)
    asked = {"depth": "counts", **dict.fromkeys(("run", "replica", "table", "partition", "chunk", "round", "last"))}
    [answer] = await checks.answer(owner, asked)
    assert answer[3]["incomplete"].startswith("a partition is being rebuilt from the source of truth")
    town.state.takeover = town.state.takeover._replace(done=1)
    town.worker.measure()
    assert REGISTRY.get_sample_value("holdtrue_rebuilding", {"table": "public.t", "replica": "r"}) == 0
    assert town.worker.ready() is None
    await town.worker.stop()


async def test_a_topic_that_is_not_there_ends_the_worker(town: Town) -> None:
    """It may come back as another one."""
    town.life = None
    with pytest.raises(HoldtrueError, match="deleted or made anew"):
        await town.worker.lives.recognise([CHANGES])


async def test_records_from_before_a_rebalance_are_no_topic_made_anew(town: Town) -> None:
    """The id is the same, and so is the end; else the partition begins anew before the worker ends."""
    town.worker._owners[CHANGES] = SimpleNamespace(state=town.state, lock=_Lock())  # type: ignore[assignment]
    assert await town.worker.lives.begun_anew(CHANGES, 41) is None
    town.end = 7
    assert isinstance(await town.worker.lives.begun_anew(CHANGES, 41), HoldtrueError)
    assert town.noted == [(2, -1, "old")]


async def test_what_comes_into_a_held_partition_is_lag(town: Town) -> None:
    """Nobody fetches from it, so that Kafka is asked; while it does not answer, what it said last is known."""

    def lag() -> float | None:
        town.worker.measure()
        return REGISTRY.get_sample_value("holdtrue_lag_events", {"table": "public.t", "replica": "r"})

    owner = town.worker.owner(CHANGES)
    await town.worker.hear_paused()
    assert lag() == 0
    owner._inbox._paused = True
    await town.worker.hear_paused()
    assert lag() == 59
    town.away, town.end = KafkaConnectionError(), 200
    await town.worker.hear_paused()
    assert lag() == 59
    await town.worker.stop()


async def test_a_worker_that_has_lag_and_does_not_move_is_not_live(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """By `/livez`, and by the time of its last progress, which goes on while there is nothing to do."""
    now = [1000.0]
    for module in (worker, health):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: now[0]))
    owner = town.worker.owner(CHANGES)
    town.worker.measure()
    now[0] += 10 * STALLED_SECONDS
    assert town.worker.live() is None, "nothing to do is not stalled, however long"
    town.worker.measure()
    assert REGISTRY.get_sample_value(PROGRESS) == now[0]
    owner._inbox._paused = True  # 59 records that nobody fetches
    await town.worker.hear_paused()
    town.worker.measure()
    begun, now[0] = now[0], now[0] + STALLED_SECONDS + 1
    town.worker.measure()
    assert str(town.worker.live()).startswith("stalled: there is lag")
    assert REGISTRY.get_sample_value(PROGRESS) == begun
    town.work.held = Held(41, "odd")
    town.worker.measure()
    assert town.worker.live() is None, "a table that is to wait is no reason to start the worker again"
    town.work.held = None
    begun, now[0] = now[0], now[0] + STALLED_SECONDS + 1
    town.worker.measure()
    assert town.worker.live() is not None
    await town.worker.commit(CHANGES, 41)
    assert town.worker.live() is None
    assert REGISTRY.get_sample_value(PROGRESS) == now[0]
    await town.worker.stop()


async def test_keys_that_are_not_settled_are_counted(town: Town) -> None:
    """Of each table, and none when all are."""
    work = town.worker.owner(CHANGES).work
    for left in ({b"1": b"t", b"2": b"t"}, {}):
        town.state.suspected = left
        town.worker.measure()
        labels = dict(zip(("table", "replica"), work.labels, strict=True))
        assert REGISTRY.get_sample_value("holdtrue_suspicions", labels) == len(left)
    await town.worker.stop()


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("error", [Refused, Unwelcome])
def test_only_a_table_that_was_kept_before_is_held_and_only_alone(town: Town, kept: bool, error: type[Refused]) -> None:
    """A store whose password is wrong keeps none of them: the worker ends, as for every other store."""

    def prepare() -> None:
        raise error("refused", "do this")

    town.work.store = SimpleNamespace(prepare=prepare)
    town.work.versions.was_kept = kept
    if kept and error is Refused:
        town.worker.prepare()
        assert town.work.unprepared == "refused do this"
    else:
        with pytest.raises(error):
            town.worker.prepare()
        assert not town.work.unprepared


async def test_owners_end_side_by_side(town: Town, tmp_path: Path) -> None:
    """One whose batch waits for its store keeps no other from ending: all have the same time, not one after another."""
    other = PartitionState(tmp_path / "1", 1)
    stuck = town.worker.owner(CHANGES)
    town.work.versions.state = lambda partition: other
    free = town.worker.owner(CHANGES._replace(partition=1))
    ending = town.worker._tasks[free.tp]
    await stuck.lock.acquire()
    stopping = asyncio.create_task(town.worker.stop())
    async with asyncio.timeout(FINISH_SECONDS / 2):
        await asyncio.wait([ending])
    assert not stopping.done()
    stuck.lock.release()
    await stopping
    other.close()


class _Lock:
    async def __aenter__(self) -> None:
        """Nobody else wants it."""

    async def __aexit__(self, *_: object) -> None:
        """As above."""
