"""One fault after the other: plant it in every replica, let every layer look, repair, and read both sides."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

from streams.bench import subject
from tests.faulttable.cells import Cell, Planted, Run, by_counts, by_itself, by_run, differing
from tests.faulttable.faults import FAULTS, Fault, Victim, stranger
from tests.faulttable.layers import CONTINUOUS, RUNS, Effect, Layer, Store
from tests.faulttable.scene import KEY_STEP, LOG, SCRUB, STEADY, Scene, replica, same, wait_all
from tests.faulttable.watch import ended, opened

# Of each fault: those that nobody writes, and as many that are written just before.
_KEYS_MAX: Final = 4
# A layer that has not told after two periods and this has not seen it.
BEYOND_SECONDS: Final = 10.0
RESOLVED_SECONDS: Final = 40.0


def cold_keys() -> range:
    """The keys of all faults, which the load leaves alone; DynamoDB has them, too."""
    return range(KEY_STEP, KEY_STEP * (2 * _KEYS_MAX * len(FAULTS) + 1), KEY_STEP)


def keys_of(fault: Fault, many: int) -> tuple[list[int], list[int]]:
    """Keys of a fault: those that nobody writes, and those that are written just before it."""
    first = 2 * _KEYS_MAX * FAULTS.index(fault)
    keys = cold_keys()[first : first + 2 * _KEYS_MAX]
    return list(keys[:many]), list(keys[_KEYS_MAX : _KEYS_MAX + many])


def dead_keys(many: int) -> list[int]:
    """Keys of rows that are deleted in the source before the faults begin."""
    return [key for fault in FAULTS if fault.dead for key in keys_of(fault, many)[0]]


class Round:
    """One fault, looked at by every layer."""

    def __init__(self, scene: Scene, fault: Fault, depths: Sequence[Layer] = RUNS) -> None:
        self._scene = scene
        self._fault = fault
        self._depths = depths
        self._cold, self._fresh = keys_of(fault, scene.asked.keys)
        self._stores = [store for store in scene.asked.stores if store in fault.stores]
        self._planted: list[Planted] = []
        self._runs: list[Run] = []
        self._harmless: dict[str, list[int]] = {}

    def measured(self) -> dict[str, Any]:
        """Plant, look, repair; what the table says of this fault."""
        scene = self._scene
        began, changes = time.time(), scene.load.changes
        self._plant()
        if self._fault.is_of_stream:
            self._harmless = scene.unequal(self._keys)
        for depth in self._depths:
            self._look(depth)
        wait_all(self._all_told, 2 * scene.asked.scrub_period + BEYOND_SECONDS)
        wait_all(self._all_ended, RESOLVED_SECONDS)
        self._mend()
        cells = {store: self._cells(store) for store in self._stores}
        wrong = list(chain(self._differing(cells), self._left()))
        seconds = time.time() - began
        return {
            "stores": {
                store: {layer: cell.document() for layer, cell in found.items()} for store, found in cells.items()
            },
            "false_positives": self._false_positives(began),
            "changes_per_second": round((scene.load.changes - changes) / seconds),
            "seconds": round(seconds),
            "wrong": wrong,
        }

    @property
    def _keys(self) -> list[int]:
        return [stranger(key) for key in self._cold] if self._fault.stranger else self._cold

    def _plant(self) -> None:
        self._scene.note(f"{self._fault.name}: {self._fault.what}")
        if self._fault.at_stream is not None:
            at = time.time()
            self._fault.at_stream(self._scene, self._keys)
            if self._fault.is_of_stream:
                self._scene.caught_up()
            # What happened meanwhile may have been noticed, and is over.
            at = time.time() if self._fault.effect is Effect.harmless else at
            self._planted += [
                Planted(name, key, at, self._layer(name)) for name in self._replicas() for key in self._keys
            ]  # fmt: skip
            return
        for name in self._replicas():
            for number, key in enumerate(self._cold):
                self._spoil(name, key, self._cold[number - 1], self._layer(name))
        if Layer.read_back in self._fault.expected(self._stores[0]):
            self._plant_fresh()

    def _replicas(self) -> list[str]:
        return [name for name in self._scene.replicas() if name.partition("_")[0] in self._stores]

    def _layer(self, name: str) -> Layer | None:
        role = name.partition("_")[2]
        passes = Layer.sweep if self._fault.effect is Effect.orphan else Layer.scrub
        return {STEADY: None, SCRUB: passes, LOG: Layer.log}[role]

    def _spoil(self, name: str, key: int, other: int, layer: Layer | None) -> None:
        assert self._fault.at_store is not None
        hands, before = self._scene.hands[name], self._scene.before
        row = before[name, other].row
        assert row is not None
        victim = Victim(key, before[name, key], row)
        self._planted.append(Planted(name, self._told_key(key), time.time(), layer))
        self._fault.at_store(hands, victim)

    def _told_key(self, key: int) -> int:
        return stranger(key) if self._fault.stranger else key

    def _plant_fresh(self) -> None:
        """Written in the source, and made wrong as soon as the steady replica has it."""
        scene = self._scene
        for number, key in enumerate(self._fresh):
            if self._fault.dead:
                subject.delete(scene.bank.sot, [key])
            else:
                scene.change([key], 2)
            for store in self._stores:
                self._plant_arrived(replica(store, STEADY), key, self._fresh[number - 1])

    def _plant_arrived(self, name: str, key: int, other: int) -> None:
        hands, gone = self._scene.hands[name], self._fault.dead

        def arrived() -> bool:
            row = hands.copy(key).row
            return row is None if gone else row is not None and row["revision"] == "2"

        self._scene.arrived(name, arrived)
        self._spoil(name, key, other, Layer.read_back)

    def _look(self, depth: Layer) -> None:
        """Rows neither come nor go while they are counted: what does is the tolerance of counts."""
        scene, began = self._scene, time.time()
        scene.load.only_updates = depth is Layer.counts
        try:
            for each in scene.validate(depth):
                self._runs.append(
                    Run(depth, each["replica"], each["run"], each["outcome"], began, each["seconds"])
                )  # fmt: skip
        finally:
            scene.load.only_updates = False

    def _expected(self, name: str) -> dict[Layer, bool]:
        return self._fault.expected(Store(name.partition("_")[0]))

    def _awaited(self) -> Iterator[Planted]:
        """What a layer that checks by itself must see."""
        return (
            each for each in self._planted
            if each.layer is not None and self._expected(each.replica).get(each.layer)
        )  # fmt: skip

    def _all_told(self) -> bool:
        """What must be seen is; a layer that must not see anything is given all of the time."""
        told, expected = self._scene.watch.told(), list(self._awaited())
        blind = any(
            self._expected(each.replica).get(each.layer) is False for each in self._planted if each.layer is not None
        )
        is_told = all(opened(told, each.replica, each.key, each.at, None) is not None for each in expected)
        waited = time.time() - max(each.at for each in self._planted)
        return is_told and (not blind or waited > 2 * self._scene.asked.scrub_period)

    def _all_ended(self) -> bool:
        told = self._scene.watch.told()
        return all(ended(told, each.replica, each.key, each.at) is not None for each in self._awaited())

    def _mend(self) -> None:
        """By order, in the replicas where nobody repairs by himself. What no layer there sees is found by a run."""
        scene = self._scene
        if self._fault.is_of_stream and self._fault.effect is not Effect.harmless:
            scene.validate(Layer.full, every_replica=True)
        scene.repair()
        found = [each for each in self._planted if each.layer is None]
        told = scene.watch.told

        def all_over() -> bool:
            events = told()
            seen = [
                each
                for each in found
                if any(opened(events, each.replica, each.key, each.at, run.run) is not None for run in self._runs)
            ]
            return all(ended(events, each.replica, each.key, each.at) is not None for each in seen)

        wait_all(all_over, RESOLVED_SECONDS)

    def _cells(self, store: Store) -> dict[Layer, Cell]:
        told, expected = self._scene.watch.told(), self._fault.expected(store)
        mine = [each for each in self._planted if each.replica.startswith(store)]
        runs = [each for each in self._runs if each.replica.startswith(store)]
        cells: dict[Layer, Cell] = {}
        for layer in expected:
            steady = [each for each in mine if each.layer is None]
            if layer in CONTINUOUS:
                cells[layer] = by_itself([each for each in mine if each.layer is layer], told)
            elif layer is Layer.counts and layer in self._depths:
                cells[layer] = by_counts([run for run in runs if run.depth is layer])
            elif layer in self._depths:
                cells[layer] = by_run(steady, [run for run in runs if run.depth is layer], told)
            elif layer is Layer.guard:
                unequal = sum(len(keys) for name, keys in self._harmless.items() if name.startswith(store))
                cells[layer] = Cell(len(mine), len(mine) - unequal)
            elif layer is Layer.stream:
                cells[layer] = self._of_stream(store)
        return {layer: cell for layer, cell in cells.items() if cell.planted}

    def _of_stream(self, store: Store) -> Cell:
        """Whether it is told of the table as a whole that something may be missing."""
        since = min(each.at for each in self._planted)
        at = [
            event.at - since for event in self._scene.watch.told()
            if event.key is None and event.kind == "continuity" and event.state == "open" and event.at >= since
            and event.replica.startswith(store)
        ]  # fmt: skip
        return Cell(1, int(bool(at)), round(min(at), 2) if at else None)

    def _differing(self, cells: dict[Store, dict[Layer, Cell]]) -> Iterator[str]:
        for store, found in cells.items():
            yield from differing(self._fault.name, store, self._fault.expected(store), found)

    def _left(self) -> Iterator[str]:
        """What is not right after the repair."""
        keys = [*self._keys, *self._fresh]
        if not wait_all(lambda: not self._scene.unequal(keys), RESOLVED_SECONDS):
            yield f"{self._fault.name}: still wrong after the repair: {self._scene.unequal(keys)}"

    def _false_positives(self, since: float) -> int:
        """Keys that were told to be in drift and that this fault left alone, if both sides are equal."""
        scene = self._scene
        touched = {*self._keys, *self._fresh}
        strays = {
            (each.replica, each.key) for each in scene.watch.told()
            if each.state == "open" and each.key is not None and each.at >= since and each.key not in touched
        }  # fmt: skip
        if not strays:
            return 0
        keys = sorted({key for _, key in strays if key is not None})
        scene.load.leave_alone(keys)
        scene.caught_up()
        wrong = {(name, key) for name, found in scene.unequal(keys).items() for key in found}
        return len(strays - wrong)


def whole_difference(scene: Scene) -> dict[str, list[Any]]:
    """Keys of source and replicas that are not equal, of each replica the first; the load is paused meanwhile."""
    found = {}
    with scene.load.paused():
        scene.caught_up()
        for name in scene.replicas():
            want, have = scene.bank.expected(name, subject.TABLE), scene.bank.actual(name, subject.TABLE)
            wrong = [key for key in want.keys() | have.keys() if not same(want.get(key), have.get(key))]
            if wrong:
                found[name] = wrong[:10]
    return found
