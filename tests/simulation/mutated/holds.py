"""Mutants of holds: what was ordered to wait does so, across crashes and zombies, until it is released."""

from __future__ import annotations

from tests.simulation.mutants import Mutant, mutant

HOLDS: tuple[Mutant, ...] = (
    mutant(
        "applied-while-held",
        "a batch that waited for the lock is applied although a hold came first (decision 12)",
        "agents.owner",
        "            if self.state.hold.pending:  # since the lock was waited for; so below\n                return\n",
        "",
        killer="tests/unit/agents/test_owner_waits.py::test_a_batch_that_waited_for_the_lock_waits_on_when_a_hold_came_first",
        quick=True,
    ),
    mutant(
        "hold-of-the-owner",
        "a restart releases (decision 12)",
        "versions.state",
        "        if self.hold.ordered:\n            yield _HOLD, self.hold.encode()\n",
        "",
        killer="tests/unit/agents/test_owner_waits.py::test_an_order_to_wait_outlives_its_owner",
        quick=True,
    ),
    mutant(
        "hold-taken-back",
        "the last mark of a hold wins, a zombie's too (decision 12)",
        "versions.state",
        "self.hold = self.hold.merged(Hold.decode(value))",
        "self.hold = Hold.decode(value)",
        killer="tests/unit/versions/test_marks.py"
        "::test_a_hold_outlives_the_loss_of_the_folder_and_no_zombie_takes_it_or_its_end_back",
        quick=True,
    ),
    mutant(
        "taken-over-while-held",
        "a partition is taken over while it is to wait (decision 12)",
        "agents.owner",
        "            if self.state.hold.pending:\n                return False\n",
        "",
        killer="tests/simulation/test_seeds.py::test_histories_of_tables_that_are_held_keep_every_promise[4000050]",
    ),
)
