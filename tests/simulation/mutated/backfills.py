"""Mutants of backfills: only what is wrong is written, by its owner; an order is carried out once, whatever comes."""

from __future__ import annotations

from tests.simulation.mutants import Mutant, mutant

RULE = "tests/unit/repair/test_rule.py::test_a_backfill_writes_what_no_change_will_make_right"
FILLING = "tests/unit/agents/test_backfill.py::test_"
ORDERS = "tests/unit/versions/test_backfills.py::test_"

BACKFILLS: tuple[Mutant, ...] = (
    mutant(
        "backfill-of-what-comes",
        "a backfill writes what a change on its way will write anyway (decision 18)",
        "repair.rule",
        "    return wanted != expected and token_of(entry) == before",
        "    return wanted != expected",
        killer=RULE,
    ),
    mutant(
        "backfill-by-the-entry",
        "what the version table has is taken for what the store has (decision 18)",
        "repair.rule",
        "    if content != expected or is_foreign(entry, stored):",
        "    if is_foreign(entry, stored):",
        killer=RULE,
    ),
    mutant(
        "backfill-unfenced",
        "a change that the source has is taken for lost before it can have come (decision 18)",
        "agents.backfill",
        "        await self._work.pass_fence()\n",
        "",
        killer=f"{FILLING}what_is_on_its_way_is_left_to_the_stream",
    ),
    mutant(
        "backfill-of-a-zombie",
        "who has lost the partition notes how far the backfill is (decision 18)",
        "agents.backfill",
        "        if not await self._owner.prove_ownership():",
        "        if False:",
        killer=f"{FILLING}who_has_lost_the_partition_notes_nothing",
    ),
    mutant(
        "backfill-of-the-owner",
        "an order ends with its owner (decision 18)",
        "versions.state",
        "        if self.backfills.known:\n            yield _BACKFILLS, self.backfills.encode()\n",
        "",
        killer=f"{ORDERS}an_order_outlives_a_restart_and_the_loss_of_the_folder",
    ),
    mutant(
        "backfill-taken-back",
        "the last mark of backfills wins, a zombie's too (decision 18)",
        "versions.state",
        "self.backfills = self.backfills.merged(Backfills.decode(value))",
        "self.backfills = Backfills.decode(value)",
        killer=f"{ORDERS}no_zombie_takes_an_order_its_end_or_its_way_back",
    ),
    mutant(
        "backfill-again",
        "an order that comes again is carried out again (decision 18)",
        "versions.backfills",
        "        if self.of(run) is not None:\n            return self\n",
        "",
        killer=f"{ORDERS}orders_wait_for_each_other_in_the_order_in_which_they_came",
    ),
    mutant(
        "backfill-without-orphans",
        "keys that only the store has are left there (decision 18)",
        "agents.backfill",
        "            await until_available(self._work.replica, lambda: self._through(order, self._in_store()))\n",
        "",
        killer=f"{FILLING}whatever_differs_on_any_side_is_made_right",
    ),
)
