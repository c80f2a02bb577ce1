"""Mutants of the rebuild: what is trusted of a partition of which nothing is known, and what is looked up."""

from __future__ import annotations

from tests.simulation.mutants import MARKS, ORDER, Mutant, mutant

OWNER = "tests/unit/agents/test_owner_takeover.py::test_"
BUILT = "tests/unit/agents/test_rebuild.py::test_"

REBUILD: tuple[Mutant, ...] = (
    mutant(
        "blank-passed",
        "a loss is passed although nothing is known (14)",
        "agents.owner",
        "if self._loss_due and self.state.is_blank and not await self._take_over():",
        "if False:",
        killer=OWNER + "nothing_of_a_blank_partition_is_applied_before_it_is_taken_over",
        quick=True,
    ),
    mutant(
        "blank-trusted",
        "what is left of the topic is applied before the partition is taken over (14)",
        "agents.owner",
        "        if self._loss_due and self.state.is_blank and not await self._take_over():\n            return\n",
        "",
        "        if self._loss_due:\n            await self._pass_lost()\n",
        "        if self._loss_due and self.state.is_blank and not await self._take_over():\n            return\n"
        "        if self._loss_due:\n            await self._pass_lost()\n",
        killer=OWNER + "nothing_of_a_blank_partition_is_applied_before_it_is_taken_over",
    ),
    mutant(
        "taken-over-in-one-look",
        "the place in the log is one that a later transaction may have had (14)",
        "agents.owner",
        "self._note_takeover(end, first.lsn, second.ceiling)",
        "self._note_takeover(end, second.lsn, first.ceiling)",
        killer=OWNER + "the_place_in_the_log_is_older_than_the_transactions_that_are_waited_for",
    ),
    mutant(
        "takeover-unnoted",
        "a takeover that was not noted stays in the state (14)",
        "agents.owner",
        "            self.state.takeover = known\n            raise",
        "            raise",
        killer=OWNER + "a_takeover_that_was_not_noted_is_the_next_owners",
    ),
    mutant(
        "checked-while-taken-over",
        "a partition that was taken over while a check waited for its lock is compared (14)",
        "agents.checks",
        "        _require_known(owner)  # it may",
        "        # it may",
        killer="tests/unit/agents/test_checks.py::test_nor_one_that_is_taken_over_while_its_lock_is_waited_for",
    ),
    mutant(
        "takeover-forgotten",
        "the changelog does not tell that a rebuild was begun (14)",
        "versions.state",
        "        records += self._befallen()\n",
        "        records += [(mark, value) for mark, value in self._befallen() if mark != _TAKEOVER]\n",
        killer=MARKS + "a_takeover_survives_a_restart_and_the_loss_of_the_folder",
    ),
    mutant(
        "taken-over-known",
        "a partition is taken over although a repair has come to know a key meanwhile (decision 11)",
        "agents.owner",
        "            if not self.state.is_blank:\n",
        "            if False:\n",
        killer="tests/unit/agents/test_owner_takeover.py"
        "::test_a_partition_of_which_a_repair_has_come_to_know_a_key_is_not_taken_over",
        quick=True,
    ),
    mutant(
        "repaired-while-rebuilt",
        "a repair goes on beside the rebuild of its partition (decision 11)",
        "agents.repairs",
        "        if owner.state.takeover.pending:  # since the lock was waited for\n            return {}\n",
        "",
        killer="tests/unit/agents/test_interleavings.py"
        "::test_a_key_is_not_repaired_beside_the_rebuild_of_its_partition",
        quick=True,
    ),
    mutant(
        "repaired-unread",
        "a partition is repaired before its first record, whose forerunners may be gone (decision 11)",
        "agents.repairs",
        "        if await owner.is_unread():\n",
        "        if False:\n",
        killer="tests/unit/agents/test_interleavings.py"
        "::test_a_key_is_not_repaired_beside_the_rebuild_of_its_partition",
        quick=True,
    ),
    mutant(
        "takeover-taken-back",
        "the last mark of a takeover wins, a zombie's too (14)",
        "versions.state",
        "max(self.takeover, Takeover(*_TAKEOVER_NUMBERS.unpack(value)))",
        "Takeover(*_TAKEOVER_NUMBERS.unpack(value))",
        killer=MARKS + "a_takeover_survives_a_restart_and_the_loss_of_the_folder",
    ),
    mutant(
        "unknown-trusted",
        "what comes late of a key without an entry is trusted after a takeover (14)",
        "versions.state",
        "            return self.takeover.unknown\n",
        "            return None\n",
        killer=MARKS + "a_key_without_an_entry_is_gone_as_of_the_takeover",
    ),
    mutant(
        "unknown-unproven",
        "a read of an unknown key counts before what is skipped is visible (14)",
        "versions.marks",
        "unproven = () if self.done else (self.everything,)",
        "unproven: tuple[int, ...] = ()",
        killer=ORDER + "rule_14_a_read_counts_when_whatever_was_in_progress_at_the_takeover_is_over",
    ),
    mutant(
        "end-skipped",
        "the first record behind the takeover is taken for a replay (14)",
        "versions.marks",
        "Token(self.epoch, self.end - 1, 0)",
        "Token(self.epoch, self.end, 0)",
        killer=ORDER + "rule_14_of_an_unknown_key_only_what_came_after_the_takeover_is_trusted",
    ),
    mutant(
        "rebuilt-at-the-takeover",
        "a key that was read has the place of the takeover, not of the read (14)",
        "agents.apply",
        "here = Position(state.log.at(state.input_offset + 1), AT_THE_READ)",
        "here = Position(state.log.at(state.input_offset + 1), state.takeover.lsn)",
        killer=BUILT + "what_the_sot_has_is_written_as_of_the_takeover_and_placed_at_the_read",
    ),
    mutant(
        "rebuilt-without-place",
        "what comes after a key was read is trusted, however old (14)",
        "agents.apply",
        "dict.fromkeys(new, Ask(unknown, unknown.token, here))",
        "dict.fromkeys(new, Ask(unknown, unknown.token, None if here else None))",
        killer=BUILT + "what_the_sot_has_is_written_as_of_the_takeover_and_placed_at_the_read",
    ),
    mutant(
        "rebuilt-unsettled",
        "keys are read while what is skipped may not be visible (14)",
        "agents.rebuild",
        "        await work.until_visible(self._state.takeover.everything)\n",
        "",
        killer=BUILT + "nothing_is_read_before_what_was_in_progress_at_the_takeover_is_over",
    ),
    mutant(
        "store-unlisted",
        "keys that only the store has are left there (14)",
        "agents.rebuild",
        "            await until_available(work.replica, lambda: self._through(self._in_store))\n",
        "",
        killer=BUILT + "what_only_the_store_has_is_removed",
    ),
    mutant(
        "source-unlisted",
        "keys that the store lacks are left out (14)",
        "agents.rebuild",
        '            await until_available("sot", lambda: self._through(self._in_sot))\n',
        "",
        killer=BUILT + "what_the_sot_has_is_written_as_of_the_takeover_and_placed_at_the_read",
    ),
    mutant(
        "checked-while-rebuilt",
        "a partition is compared before all of it is known again (14)",
        "agents.checks",
        "if owner.state.takeover.pending and depth is not Depth.release:",
        "if False:",
        killer="tests/unit/agents/test_topics.py::test_a_partition_that_is_rebuilt_is_said_to_be",
    ),
)
