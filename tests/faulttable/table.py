"""Plant faults in every replica, let every layer look, repair, and read both sides."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from streams.bench import subject
from tests.faulttable.cells import Cell, Planted, Run, by_counts, by_itself, by_run, differing
from tests.faulttable.faults import FAULTS, Fault, Victim, stranger
from tests.faulttable.layers import CONTINUOUS, RUNS, Effect, Layer, Store
from tests.faulttable.scene import KEY_STEP, LOG, SCRUB, STEADY, Scene, same, wait_all
from tests.faulttable.watch import ended, opened

# Of each fault: those that nobody writes, and as many that are written just before.
_KEYS_MAX: Final = 4
# What an effect does to the number of rows.
_IN_NUMBER: Final = {Effect.missing: -1, Effect.orphan: 1}
# A layer that has not told after two periods and this has not seen it.
BEYOND_SECONDS: Final = 10.0
RESOLVED_SECONDS: Final = 40.0
ARRIVE_SECONDS: Final = 120.0
# A key that was seen not to be there longer ago than this may have been read back: that is two seconds after its write.
LATE_SECONDS: Final = 1.25


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


def rounds_of(faults: Sequence[Fault]) -> dict[str, list[Fault]]:
    """Faults that are looked at together: keys tell them apart; counts, where all leave the same."""
    rounds: dict[str, list[Fault]] = {}
    for fault in faults:
        rounds.setdefault(fault.round, []).append(fault)
    return rounds


class Round:
    """Some faults, looked at by every layer at once."""

    def __init__(self, scene: Scene, faults: Sequence[Fault]) -> None:
        self._scene = scene
        self._faults = faults
        asked = {layer for fault in faults for store in fault.stores for layer in fault.expected(store)}
        self._depths = [depth for depth in RUNS if depth in asked]
        self._planted: dict[str, list[Planted]] = {fault.name: [] for fault in faults}
        self._runs: list[Run] = []
        # Keys that differ after what came through the stream, by replica.
        self._unequal: dict[str, list[int]] = {}

    def measured(self) -> dict[str, Any]:
        """Plant, look, repair; what the table says of these faults."""
        scene = self._scene
        began, changes = time.time(), scene.load.changes
        for fault in self._faults:
            self._plant(fault)
        self._wait_for_the_stream()
        wait_all(lambda: self._are_ended(Layer.read_back), RESOLVED_SECONDS)
        for depth in self._depths:
            self._look(depth)
        wait_all(self._all_told, 2 * scene.asked.scrub_period + BEYOND_SECONDS)
        wait_all(lambda: self._are_ended(*CONTINUOUS), RESOLVED_SECONDS)
        self._mend()
        cells = {fault.name: self._stores(fault) for fault in self._faults}
        wrong = [*self._differing(cells), *self._left()]
        seconds = time.time() - began
        return {
            "faults": {name: _stores(each) for name, each in cells.items()},
            "false_positives": self._false_positives(began),
            "changes_per_second": round((scene.load.changes - changes) / seconds),
            "seconds": round(seconds),
            "machine_load": round(os.getloadavg()[0], 1),
            "wrong": wrong,
        }  # fmt: skip

    def _plant(self, fault: Fault) -> None:
        self._scene.note(f"  {fault.name}: {fault.what}")
        keys = self._told_keys(fault)
        if fault.at_stream is not None:
            at = time.time()
            fault.at_stream(self._scene, keys)
            names = self._scene.replicas()
            self._planted[fault.name] += [Planted(name, key, at, _layer(fault, name)) for name in names for key in keys]
            return
        for name in self._replicas(fault):
            cold = self._cold(fault)
            for number, key in enumerate(cold):
                self._spoil(fault, name, key, cold[number - 1], _layer(fault, name))
        if fault.fresh:
            self._plant_fresh(fault)

    def _wait_for_the_stream(self) -> None:
        """What came through it is applied; what happened before where nothing is to be seen is over."""
        if not any(fault.is_of_stream for fault in self._faults):
            return
        self._scene.caught_up()
        self._unequal = self._scene.unequal([key for fault in self._faults for key in self._told_keys(fault)])
        now = time.time()
        for fault in self._faults:
            if fault.effect is Effect.harmless:
                self._planted[fault.name] = [replace(each, at=now) for each in self._planted[fault.name]]

    def _cold(self, fault: Fault) -> list[int]:
        return keys_of(fault, self._scene.asked.keys)[0]

    def _told_keys(self, fault: Fault) -> list[int]:
        return [stranger(key) if fault.stranger else key for key in self._cold(fault)]

    def _replicas(self, fault: Fault) -> list[str]:
        return [name for name in self._scene.replicas() if name.partition("_")[0] in fault.stores]

    def _spoil(self, fault: Fault, name: str, key: int, other: int, layer: Layer | None) -> None:
        assert fault.at_store is not None
        before = self._scene.before
        row = before[name, other].row
        assert row is not None
        victim = Victim(key, before[name, key], row)
        told = victim.stranger if fault.stranger else key
        self._planted[fault.name].append(Planted(name, told, time.time(), layer))
        fault.at_store(self._scene.hands[name], victim)

    def _plant_fresh(self, fault: Fault) -> None:
        """Written in the source, and made wrong as soon as a steady replica has it.

        Where we come late, because the machine is busy, it may have been read back already: it is left as it is.
        """
        fresh = keys_of(fault, self._scene.asked.keys)[1]
        if fault.dead:
            subject.delete(self._scene.bank.sot, fresh)
        else:
            self._scene.change(fresh, 2)
        names = [name for name in self._replicas(fault) if name.endswith(STEADY)]
        waiting = {(name, key): time.monotonic() for name in names for key in fresh}
        deadline = time.monotonic() + ARRIVE_SECONDS
        while waiting:
            assert time.monotonic() < deadline, f"a change did not arrive within {ARRIVE_SECONDS:g} s: {list(waiting)}"
            for (name, key), absent in list(waiting.items()):
                if not self._has_arrived(fault, name, key):
                    waiting[name, key] = time.monotonic()
                    continue
                del waiting[name, key]
                if time.monotonic() - absent < LATE_SECONDS:
                    self._spoil(fault, name, key, fresh[fresh.index(key) - 1], Layer.read_back)

    def _has_arrived(self, fault: Fault, name: str, key: int) -> bool:
        row = self._scene.hands[name].copy(key).row
        return row is None if fault.dead else row is not None and row["revision"] == "2"

    def _look(self, depth: Layer) -> None:
        """Rows neither come nor go while they are counted: what does is the tolerance of counts."""
        scene, began = self._scene, time.time()
        scene.note(f"  a run: {depth}")
        scene.load.only_updates = depth is Layer.counts
        try:
            for each in scene.validate(depth):
                differ = (each["replica_rows"] or 0) - (each["sot_rows"] or 0)
                run = Run(depth, each["replica"], each["run"], each["outcome"], began, each["seconds"], differ)
                self._runs.append(run)
        finally:
            scene.load.only_updates = False

    def _all(self) -> Iterator[tuple[Planted, bool | None]]:
        """What was planted where a layer checks by itself, and whether that must see it."""
        for fault in self._faults:
            for each in self._planted[fault.name]:
                if each.layer is not None:
                    yield each, fault.expected(_store(each.replica)).get(each.layer)

    def _all_told(self) -> bool:
        """What must be seen is; a layer that must not see anything is given all of the time."""
        told = self._scene.watch.told()
        seen = all(opened(told, each.replica, each.key, each.at, None) for each, sees in self._all() if sees)
        blind = [each.at for each, sees in self._all() if sees is False]
        return seen and (not blind or time.time() - max(blind) > 2 * self._scene.asked.scrub_period)

    def _are_ended(self, *layers: Layer) -> bool:
        told = self._scene.watch.told()
        return all(ended(told, each.replica, each.key, each.at) for each, sees in self._all()
                   if sees and each.layer in layers)  # fmt: skip

    def _mend(self) -> None:
        """By order, in the replicas where nobody repairs by himself. What no layer there sees is found by a run."""
        harmful = [fault for fault in self._faults if fault.effect is not Effect.harmless]
        left = any(fault.is_of_stream for fault in harmful)
        if not harmful:
            return
        if left or Layer.full not in self._depths:
            self._scene.validate(Layer.full, every_replica=left)
        self._scene.repair()

    def _stores(self, fault: Fault) -> dict[Store, dict[Layer, Cell]]:
        return {store: self._cells(fault, store) for store in self._scene.asked.stores if store in fault.stores}

    def _cells(self, fault: Fault, store: Store) -> dict[Layer, Cell]:
        mine = [each for each in self._planted[fault.name] if _store(each.replica) is store]
        found = {layer: self._cell(fault, layer, store, mine) for layer in fault.expected(store)}
        return {layer: cell for layer, cell in found.items() if cell is not None and cell.planted}

    def _cell(self, fault: Fault, layer: Layer, store: Store, mine: Sequence[Planted]) -> Cell | None:
        told = self._scene.watch.told()
        steady = [each for each in mine if each.layer is None]
        runs = [run for run in self._runs if run.depth is layer and _store(run.replica) is store]
        if layer in CONTINUOUS:
            return by_itself([each for each in mine if each.layer is layer], told)
        if layer is Layer.guard:
            wrong = [each for each in mine if each.key in self._unequal.get(each.replica, ())]
            return Cell(len(mine), len(mine) - len(wrong))
        if layer is Layer.stream:
            return self._of_stream(store, min(each.at for each in mine))
        if layer is Layer.counts:
            wrong = self._wrong_in_number(store) if fault.effect in _IN_NUMBER else 0
            return by_counts(len(steady), wrong, runs)
        return by_run(steady, runs, told)

    def _wrong_in_number(self, store: Store) -> int:
        """How many rows the steady replica must have too many or too few, all faults of the round together."""
        return sum(
            _IN_NUMBER.get(fault.effect, 0)
            for fault in self._faults
            for each in self._planted[fault.name]
            if each.layer is None and _store(each.replica) is store
        )

    def _of_stream(self, store: Store, since: float) -> Cell:
        """Whether it is told of the table as a whole that something may be missing."""
        at = [
            event.at - since for event in self._scene.watch.told()
            if event.key is None and event.kind == "continuity" and event.state == "open" and event.at >= since
            and _store(event.replica) is store
        ]  # fmt: skip
        return Cell(1, int(bool(at)), round(min(at), 2) if at else None)

    def _differing(self, cells: Mapping[str, Mapping[Store, Mapping[Layer, Cell]]]) -> Iterator[str]:
        for fault in self._faults:
            for store, found in cells[fault.name].items():
                yield from differing(fault.name, store, fault.expected(store), found)

    def _left(self) -> Iterator[str]:
        """What is not right after the repair."""
        keys = self._touched()
        if not wait_all(lambda: not self._scene.unequal(keys), RESOLVED_SECONDS):
            yield f"still wrong after the repair: {self._scene.unequal(keys)}"

    def _touched(self) -> list[int]:
        keys = [key for fault in self._faults for key in (*self._told_keys(fault), *keys_of(fault, _KEYS_MAX)[1])]
        return sorted({*keys, *(key for fault in self._faults for key in self._cold(fault))})

    def _false_positives(self, since: float) -> int:
        """Keys that were told to be in drift and that no fault has touched, if both sides are equal."""
        scene, touched = self._scene, set(self._touched())
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


def _store(name: str) -> Store:
    return Store(name.partition("_")[0])


def _layer(fault: Fault, name: str) -> Layer | None:
    """Who looks by itself in this replica."""
    passes = Layer.sweep if fault.effect is Effect.orphan else Layer.scrub
    return {STEADY: None, SCRUB: passes, LOG: Layer.log}[name.partition("_")[2]]


def _stores(cells: Mapping[Store, Mapping[Layer, Cell]]) -> dict[str, Any]:
    return {store: {layer: cell.document() for layer, cell in found.items()} for store, found in cells.items()}


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
