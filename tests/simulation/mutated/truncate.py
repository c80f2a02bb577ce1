"""Mutants of TRUNCATE: a floor that every partition agrees on, and the sweep behind it."""

from __future__ import annotations

from tests.simulation.mutants import Mutant, mutant

TRUNCATE: tuple[Mutant, ...] = (
    mutant(
        "sweep-at-once",
        "a sweep does not wait for what lies before its floor (decision 4)",
        "agents.owner",
        "return sweep.pending and self.state.input_offset >= sweep.floor - 1 and self.work.held is None",
        "return sweep.pending and self.work.held is None",
        killer="tests/unit/agents/test_owner.py::test_a_sweep_waits_for_every_record_before_its_floor",
        quick=True,
    ),
    mutant(
        "swept-once",
        "a second TRUNCATE with the same floor is not swept (decision 4)",
        "versions.state",
        "return Sweep(max(self.floor, floor), self.ordered + 1, self.done)",
        "return Sweep(max(self.floor, floor), max(self.ordered, 1), self.done)",
        killer="tests/unit/agents/test_owner.py::test_the_same_floor_twice_is_swept_twice",
        quick=True,
    ),
    mutant(
        "truncate-passed-first",
        "an owner goes on behind a TRUNCATE before the others are told (decision 4)",
        "agents.owner",
        "            await self._on_truncate(self.tp, decoded.truncate.txid)\n",
        "",
        killer="tests/unit/agents/test_owner.py::test_a_truncate_is_ordered_before_it_is_passed",
        quick=True,
    ),
)
