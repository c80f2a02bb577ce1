"""Mutants of continuity: what may be missing is noticed, told before it is passed, and told of all it touches."""

from __future__ import annotations

from tests.simulation.mutants import Mutant, mutant

_TOPICS = "tests/unit/agents/test_topics.py::test_"

BREAKS: tuple[Mutant, ...] = (
    mutant(
        "slot-hidden-by-a-table",
        "a slot that is gone is not told where a table left the publication in the same look (15)",
        "drift.continuity",
        "    if before.slot and not now.slot:",
        "    if before.slot and not now.slot and now.published == before.published:",
        killer="tests/unit/control/test_continuity.py"
        "::test_a_slot_that_is_gone_is_told_of_all_tables_whatever_else_has_happened",
    ),
    mutant(
        "batch-of-its-last",
        "a batch is counted to the log of what comes behind it (15)",
        "agents.apply",
        "state.epochs(first)",
        "state.epochs(max(first, state.log.floor))",
        killer="tests/unit/agents/test_apply.py::test_a_batch_that_begins_before_a_floor_is_counted_to_the_log_before",
    ),
    mutant(
        "gap-told-when-passed",
        "an owner goes on behind what is lost before it is told (15)",
        "agents.lives",
        "        await self._announcer.lost(tp, unapplied, lost)\n        if owner.work.mapping",
        "        owner.lose(first - 1)\n"
        "        await self._announcer.lost(tp, unapplied, lost)\n        if owner.work.mapping",
        killer=_TOPICS + "a_loss_is_said_before_it_is_passed",
    ),
    mutant(
        "more-partitions-unseen",
        "a topic that got more partitions is read on (15)",
        "agents.lives",
        "life.partitions != owner.work.partitions",
        "life.partitions < owner.work.partitions",
        killer=_TOPICS + "a_topic_with_another_number_of_partitions_holds_its_table[3]",
    ),
    mutant(
        "changelog-anew-unseen",
        "state whose last record its changelog lacks is believed to be of it (13)",
        "agents.lost",
        "        if taken >= end:",
        "        if taken > end:",
        killer="tests/unit/agents/test_lost.py"
        "::test_state_that_has_taken_what_its_changelog_lacks_is_dropped[without-its-last]",
    ),
    mutant(
        "own-topic-anew-unseen",
        "control goes on with a topic that lacks the last of what was taken from it",
        "control.offsets",
        "            if end < taken[place]:",
        "            if end + 1 < taken[place]:",
        killer="tests/unit/control/test_offsets.py::test_a_topic_that_ends_before_what_was_taken_from_it_is_refused",
    ),
    mutant(
        "end-before-the-news",
        "a run ends drift that was told of at the moment it had looked up to",
        "control.of_drift",
        "told >= before",
        "told > before",
        killer="tests/integration/control/test_materialise.py::test_a_run_ends_drift_only_as_far_as_control_knew",
    ),
)
