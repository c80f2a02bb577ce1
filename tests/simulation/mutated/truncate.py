"""Mutants of TRUNCATE: a floor that every partition agrees on, and the sweep behind it."""

from __future__ import annotations

from tests.simulation.mutants import Mutant, mutant

TRUNCATE: tuple[Mutant, ...] = (
    mutant(
        "sweep-at-once",
        "a sweep does not wait for what lies before its floor (decision 4)",
        "agents.owner",
        "return self.state.sweep.is_due(self.state.epoch, self.state.input_offset) and self.held is None",
        "return self.state.sweep.pending and self.held is None",
        killer="tests/unit/agents/test_owner.py::test_a_sweep_waits_for_every_record_before_its_floor",
        quick=True,
    ),
    mutant(
        "swept-once",
        "a second TRUNCATE with the same floor is not swept (decision 4)",
        "versions.marks",
        "(epoch, floor)), self.ordered + 1, self.done)",
        "(epoch, floor)), max(self.ordered, 1), self.done)",
        killer="tests/unit/agents/test_owner.py::test_the_same_floor_twice_is_swept_twice",
        quick=True,
    ),
    mutant(
        "swept-on-the-way",
        "an order that comes during a sweep counts as done by it (decision 4)",
        "agents.owner",
        "        ordered = self.state.sweep.ordered\n",
        "",
        "_replace(done=ordered)",
        "_replace(done=self.state.sweep.ordered)",
        killer="tests/unit/agents/test_owner.py::test_an_order_that_comes_during_a_sweep_is_swept_for",
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
    mutant(
        "floor-of-no-topic",
        "a floor of a topic that is no more is waited for (decision 4)",
        "agents.owner",
        "        floor = min(floor, await self.newest_end_offset())\n",
        "",
        killer="tests/unit/agents/test_owner.py::test_a_floor_of_a_topic_that_is_no_more_is_not_waited_for",
    ),
    mutant(
        "floor-without-epoch",
        "a floor of an earlier life of the topic is waited for in this one (decision 4)",
        "versions.marks",
        "return self.pending and (epoch, applied) >= (self.epoch, self.floor - 1)",
        "return self.pending and applied >= self.floor - 1",
        killer="tests/unit/versions/test_marks.py::test_a_floor_counts_in_its_own_life_of_the_topic",
    ),
)
