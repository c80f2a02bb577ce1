"""The process of `holdtrue validate` and `holdtrue repair`: the real rounds, with waiting that lets the world go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from streams.checks.request import Depth, request
from streams.drift.identity import drift_id
from streams.errors import NotReady, StoreUnavailable
from streams.sot.reader import SotRead, SotRow
from streams.validation.depth import RunDepth
from streams.validation.report import Report
from streams.validation.run import validate
from streams.validation.target import Target
from tests.simulation import clock
from tests.simulation.invariants import Looked
from tests.simulation.log import partition_of
from tests.simulation.sot import key_bytes, line_of
from tests.simulation.worker import CHANGES, CHECKS, REPAIRS, REPLICA, TABLE

if TYPE_CHECKING:
    from tests.simulation.world import World

SILENCE_SECONDS = 6.0
REPAIR_SECONDS = 4.0
BACKFILL_SECONDS = 1e6


class Auditor:
    """Looks, and orders repairs. One run at a time; everything else goes on while it waits."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._repairs = 0
        self.busy = False
        self.ordered: set[bytes] = set()  # keys whose repair somebody has ordered

    def validate(self) -> Report:
        """One full run, held to what it promises."""
        world = self._world
        self.busy = True
        before = Looked(world)
        source = _Source(world)
        target = Target(
            REPLICA, TABLE, CHANGES, "drift", len(world.changelogs), world.shape, world.digester, source, world.store,  # type: ignore[arg-type]
            source, _Exchange(world), source, lambda: None, SILENCE_SECONDS,  # type: ignore[arg-type]
            absent_allowed=world.mapping.readers_fill, others_write=world.mapping.others_write,
            others_lag_seconds=world.settings.lag, sleep=world.go_on,
        )  # fmt: skip
        report = validate(target, RunDepth.full)
        self.busy = False
        world.say("a run says %s%s", report.outcome, f": {report.reason}" if report.reason else "")
        for drifted in report.drift:
            world.say("  drift: %s is %s", drifted.key, drifted.kind)
        world.count(f"run {report.outcome}")
        world.invariants.looked(report, before)
        return report

    def order(self, keys: Sequence[bytes]) -> str:
        """Order the repair of some keys; the order's name. Answers come by themselves."""
        world = self._world
        self._repairs += 1
        name = f"repair {self._repairs}"
        self.ordered.update(keys)
        for partition, mine in _by_partition(world, keys).items():
            items = [{"key": key, "drift": drift_id(REPLICA, TABLE, key), "kind": ""} for key in mine]
            world.ask(REPAIRS, partition, {"repair": name, "items": items}, REPAIR_SECONDS)
        return name

    def order_backfill(self, lower: bytes, upper: bytes) -> str:
        """Order a backfill from every partition; the order's name."""
        world = self._world
        self._repairs += 1
        run = f"backfill {self._repairs}"
        for partition in range(len(world.changelogs)):
            asked = request(run, REPLICA, TABLE, Depth.backfill, lower=lower, upper=upper, round=0, last=False)
            world.ask(CHECKS, partition, asked, BACKFILL_SECONDS)
        return run

    def repair(self, keys: Sequence[bytes]) -> set[bytes]:
        """Have keys repaired and wait for it; those that were."""
        world = self._world
        name = self.order(keys)

        def answered() -> dict[bytes, str]:
            return {answer["key"]: answer["outcome"] for answer in world.answers if answer.get("repair") == name}

        world.wait(lambda: len(answered()) == len(keys), REPAIR_SECONDS + 1)
        return {key for key, outcome in answered().items() if outcome == "repaired"}


class _Source:
    """What a run uses of the SOT, its fence, and the way keys are spread: each keeps the real one's contract."""

    def __init__(self, world: World) -> None:
        self._world = world

    def bounds(self, rows: int, parts_max: int) -> list[bytes]:
        """Two stretches, where there is an even number of keys; one otherwise."""
        keys = [row.key for row in self._rows()]
        return keys[len(keys) // 2 : len(keys) // 2 + 1] if keys and len(keys) % 2 == 0 else []

    @contextmanager
    def scanning(self, after: bytes = b"", upto: bytes | None = None) -> Iterator[Iterator[SotRow]]:
        rows = [row for row in self._rows() if after < row.key and (upto is None or row.key <= upto)]
        self._world.wait(lambda: False, self._world.latency() * 5)
        yield iter(rows)

    def _rows(self) -> list[SotRow]:
        self._be_there()
        sot = self._world.sot
        found = {key_bytes(key): row for key in sot.rows if (row := sot.row(key)) is not None}
        return [SotRow(key, line_of(found[key])) for key in sorted(found)]

    def read(self, keys: Sequence[bytes]) -> SotRead:
        self._be_there()
        sot = self._world.sot
        read = SotRead(sot.snapshot(), {key: row for key in keys if (row := sot.row(int(key))) is not None})
        self._world.wait(lambda: False, self._world.latency() * 5)
        return read

    def passed(self, deadline: float) -> str:
        world = self._world
        position = world.sot.fence()
        if not world.wait(lambda: world.connector.confirmed >= position, deadline - world.loop.time()):
            raise NotReady("the slot has not confirmed the fence", "")
        return f"0/{position:X}"

    def partition(self, key: bytes) -> int:
        return partition_of(key, len(self._world.changelogs))

    def _be_there(self) -> None:
        if self._world.sot.unavailable:
            raise StoreUnavailable("the source is away", "")


class _Exchange:
    """Requests to owners and their answers."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._from = len(world.answers)

    def ends(self, topic: str, partitions: int) -> list[int]:
        return [partition.end for partition in self._world.topic.partitions]

    def ask(self, partition: int, request: Mapping[str, Any], within_seconds: float = SILENCE_SECONDS) -> None:
        # Fields a request leaves out come with their defaults from its Avro schema.
        self._world.ask(CHECKS, partition, {"lower": None, "upper": None, "last": False, **request}, within_seconds)

    def flush(self) -> None:
        """Requests are there at once."""

    def answers(self, identity: str, within_seconds: float, on_silence: Callable[[], None]) -> Iterator[dict[str, Any]]:
        world = self._world
        while world.wait(lambda: len(world.answers) > self._from, within_seconds):
            answer = world.answers[self._from]
            self._from += 1
            if answer.get("run") == identity:
                yield {"skipped": 0, "undecided": [], "suspected": [], **answer}


def _by_partition(world: World, keys: Sequence[bytes]) -> dict[int, list[bytes]]:
    grouped: dict[int, list[bytes]] = {}
    for key in keys:
        grouped.setdefault(partition_of(key, len(world.changelogs)), []).append(key)
    return grouped


def deadline(world: World, seconds: float) -> Any:
    """The wall clock so many seconds from now."""
    return clock.now(world.loop) + timedelta(seconds=seconds)
