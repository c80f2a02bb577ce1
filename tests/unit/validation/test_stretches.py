"""A run reads a table stretch by stretch; however often it is interrupted, every key is counted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.checks.request import Depth
from streams.plan.policy import Drift
from streams.rows.digest import Digester
from streams.sot.reader import SotRead, SotRow
from streams.validation import rounds, run
from streams.validation.depth import RunDepth
from streams.validation.report import Report
from streams.validation.rounds import Rounds
from streams.validation.run import go_on, validate
from tests.support.shapes import make_shape

PARTITIONS = 2
SHAPE = make_shape({"id": "text", "value": "text"}, ["id"])


class Killed(BaseException):
    """No handler, no flush."""


class World:
    """A source and its owners. wrong: keys that differ in each look; extra: keys that the source lacks.

    An owner counts every key that is named, and all of its own between the bounds.
    """

    def __init__(
        self, keys: set[bytes], wrong: set[bytes], extra: set[bytes], bounds: list[bytes], lag: float = 0.0
    ) -> None:
        self.keys, self.wrong, self.extra, self.bounds_, self.lag = keys, wrong, extra, bounds, lag
        self.slept: list[float] = []
        # Whether a snapshot is held; and after how many looks, one after the other, it is to be given back.
        self.held = False
        self.pauses: list[int] = []
        self.fences = 0
        self.asked: list[dict[str, Any]] = []
        self.firsts: list[dict[str, Any]] = []
        self.looked: Counter[bytes] = Counter()
        self.ends = 0
        self.kept: list[Report] = []
        self.kill_at: int | None = None

    def target(self) -> Any:
        return SimpleNamespace(
            replica="reports", table="public.t", partitions=PARTITIONS, shape=SHAPE, kind="postgres", exchange=self,
            digester=Digester(SHAPE.mapping_version), others_write=False, others_lag_seconds=self.lag,
            sleep=self.slept.append,
            stamp=False, drift=Drift(), silence_seconds=1.0, on_silence=lambda: None, deadline=lambda: 0.0,
            ends=lambda: [0] * PARTITIONS, drift_ends=self.drift_ends, partitioner=self, sot=self, store=None,
            fence=self, pace=self.pace, progress=lambda rows: None, keep=self.keep, snapshot_rows=1,
            begun=self.keep, sample_keys=None,
        )  # fmt: skip

    def keep(self, report: Report) -> None:
        """On the disk; and the process is gone where that was ordered."""
        self.kept.append(deepcopy(report))
        if self.kill_at is not None and len(self.kept) >= self.kill_at:
            raise Killed

    def pace(self, rows: int, *, holding: bool = False) -> bool:
        """Now and then too long a pause for who holds a snapshot."""
        assert holding == self.held
        if holding and self.pauses:
            self.pauses[0] -= 1
            if self.pauses[0] <= 0:
                self.pauses.pop(0)
                return False
        return True

    def drift_ends(self) -> list[int]:
        """Further each time."""
        self.ends += 1
        return [self.ends]

    def passed(self, deadline: float) -> str:
        """A later fence each time."""
        self.fences += 1
        return f"0/{self.fences}"

    def partition(self, key: bytes) -> int:
        """By length."""
        return len(key) % PARTITIONS

    def bounds(self, rows: int, parts_max: int) -> list[bytes]:
        """Where the table is cut."""
        return self.bounds_

    @contextmanager
    def scanning(self, after: bytes, upto: bytes | None) -> Iterator[Iterator[SotRow]]:
        """In the order of the keys."""
        found = sorted(key for key in self.keys if key > after and (upto is None or key <= upto))
        self.held = True
        yield iter([SotRow(key, key) for key in found])
        self.held = False

    def read(self, keys: Any) -> Any:
        """What the source has of them makes no difference here: their owner says whether they differ."""
        return SotRead(None, {})  # type: ignore[arg-type]

    def ask(self, partition: int, request: dict[str, Any]) -> None:
        """Remember it."""
        self.asked.append(request | {"partition": partition})
        if request["depth"] is Depth.checksums and request["round"] == 1:
            self.firsts.append(self.asked[-1])

    def flush(self) -> None:
        """Nothing is kept back."""

    def answers(self, identity: str, within_seconds: float, on_silence: Any) -> Iterator[dict[str, Any]]:
        """An answer to each request that was made under this name."""
        while self.asked:
            request = self.asked.pop(0)
            assert request["run"] == identity
            yield self._answer(request)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        keys = list(request["keys"]) if request["depth"] is Depth.checksums else []
        if request["depth"] is Depth.checksums and request["round"] == 1:
            self.looked.update(keys)
            lower, upper = request["lower"], request["upper"]
            inside = [key for key in self.extra if lower <= key and (upper is None or key < upper)]
            keys += [key for key in inside if self.partition(key) == request["partition"]]
        if request["depth"] is Depth.sweep:  # what the store refused is suspected once more
            keys = [key for key in request["keys"] if key in self.wrong]
        differ = [key for key in keys if key in self.wrong | self.extra]
        suspected = [
            {"key": key, "kind": "stale", "entry_digest": b"e", "other_digest": b"o", "token": b"1", "other_token": b""}
            for key in differ
        ]
        return {
            "partition": request["partition"], "round": request["round"], "chunk": request["chunk"], "skipped": 0,
            "incomplete": None, "verified": len(keys) - len(differ), "undecided": [], "suspected": suspected,
        }  # fmt: skip


texts = st.sets(st.binary(min_size=1, max_size=3).map(lambda raw: raw.hex().encode()), max_size=25)


times = st.lists(st.integers(1, 3), max_size=4)


@given(texts, texts, texts, texts, times, times, st.sampled_from([0.0, 60.0]))
def test_every_key_is_counted_once_however_often_the_run_is_killed(
    keys: set[bytes],
    wrong: set[bytes],
    extra: set[bytes],
    bounds: set[bytes],
    kills: list[int],
    pauses: list[int],
    lag: float,
) -> None:
    """What was read and not kept is read again, what was kept is not; keys the source lacks are in one stretch each.

    Also where a pause cuts a stretch, and where somebody else's lag is waited for once, in the end.
    """
    world = World(keys, wrong & keys, extra - keys, sorted(bounds), lag)
    world.pauses = pauses
    with patch.object(rounds, "CHUNK_KEYS", 2):
        report = _to_its_end(world, kills)
    assert (report.sot_rows, report.failed, report.superseded, report.skipped) == (len(keys), 0, 0, 0)
    assert Counter(drifted.key for drifted in report.drift) == Counter([*world.wrong, *world.extra])
    assert report.verified == len(keys - world.wrong)
    assert report.fence_lsn == "0/1", "the oldest: every key was looked at behind it"
    assert list(report.drift_before) == [1], "as it was when the run began"
    assert (report.verified_through is not None) == (report.drift == [])


def _to_its_end(world: World, kills: list[int], depth: RunDepth = RunDepth.full) -> Report:
    """Killed when it has kept so many stretches, one time after the other, then left alone."""
    target = world.target()
    target.store = SimpleNamespace(read=lambda keys: {}, keys=lambda chunk: iter([sorted(world.keys | world.extra)]))
    for at in [*kills, None]:
        world.kill_at = None if at is None else len(world.kept) + at
        world.asked.clear()
        try:
            world.held = False
            report = go_on(target, deepcopy(world.kept[-1])) if world.kept else validate(target, depth)
        except Killed:
            continue
        return report
    raise AssertionError("the last one is left alone")


@pytest.mark.parametrize(
    ("pauses", "cuts"), [([], [b"07", b"19"]), ([1, 3], [b"02", b"07", b"10", b"19"]), ([3], [b"06", b"07", b"19"])]
)
def test_the_bounds_of_all_stretches_leave_no_gap(
    pauses: list[int], cuts: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each partition: an owner looks for keys the source lacks between them. Also where a pause has cut them."""
    monkeypatch.setattr(rounds, "CHUNK_KEYS", 2)
    monkeypatch.setattr(World, "partition", lambda world, key: key[-1] % PARTITIONS)
    keys = {b"%02d" % number for number in range(30)}
    world = World(keys, set(), set(), [b"07", b"19"])
    world.pauses = pauses
    target = world.target()
    target.store = SimpleNamespace(read=lambda keys: {}, keys=lambda chunk: iter([]))
    report = Report("run", "public.t", "reports", RunDepth.full)
    Rounds(target, report).full()
    for partition in range(PARTITIONS):
        asked = [(each["lower"], each["upper"]) for each in world.firsts if each["partition"] == partition]
        assert (asked[0][0], asked[-1][1]) == (b"", None)
        assert all(before[1] == behind[0] for before, behind in pairwise(asked))
    assert [kept.after for kept in world.kept] == cuts
    assert world.looked == Counter(keys)


def test_a_lag_is_waited_for_once_however_many_stretches_there_are() -> None:
    """And what was open when the run was killed is looked at as often as anything else, at its end."""
    keys = {b"%02d" % number for number in range(30)}
    world = World(keys, {b"03", b"11", b"29"}, set(), [b"07", b"19"], lag=60.0)
    report = _to_its_end(world, [])
    assert ([kept.open for kept in world.kept][1:], world.slept) == ([{b"03"}, {b"03", b"11"}], [60.0])
    assert (len(report.drift), report.verified) == (3, 27)
    killed = World(keys, world.wrong, set(), world.bounds_, lag=60.0)
    report = _to_its_end(killed, [3])
    assert (len(report.drift), report.verified, killed.slept) == (3, 27, [60.0])


def test_a_run_that_had_decided_nothing_begins_anew_under_its_name() -> None:
    """Between Postgres servers, too, which hash the whole table at once; here it goes on as a full run."""
    world = World({b"%02d" % number for number in range(30)}, {b"11"}, set(), [])
    report = _to_its_end(world, [1, 1], RunDepth.checksums)
    assert [(kept.run, kept.after, kept.part) for kept in world.kept] == [(report.run, b"", part) for part in range(3)]
    assert (report.depth, report.sot_rows, report.verified, len(report.drift)) == ("checksums", 30, 29, 1)
    assert list(report.drift_before) == [1], "what it may have told of is behind it"


@pytest.mark.parametrize("depth", [RunDepth.counts, RunDepth.sample])
def test_runs_of_other_depths_begin_anew_as_they_were(depth: RunDepth, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample is of the same keys."""
    asked: list[Report] = []
    monkeypatch.setattr(run, depth, lambda target, report: asked.append(deepcopy(report)))
    world = World(set(), set(), set(), [])
    report = _to_its_end(world, [1], depth)
    (once,) = asked
    assert (once.run, once.depth, once.part) == (report.run, depth, 1)
    assert once.sampled == world.kept[0].sampled
    assert (once.sampled is None) == (depth is RunDepth.counts)


def test_keys_are_read_once_where_nothing_interrupts() -> None:
    """Not once for each stretch."""
    keys = {b"%02d" % number for number in range(30)}
    world = World(keys, set(), set(), [b"07", b"19"])
    _to_its_end(world, [])
    assert world.looked == Counter(keys)
