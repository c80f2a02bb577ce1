"""Mutants of what an owner keeps: version table, changelog, offsets."""

from __future__ import annotations

from tests.simulation.mutants import FOUND, SEEDS, Mutant, mutant

KEPT: tuple[Mutant, ...] = (
    mutant(
        "commit-first",
        "the offset is committed before store and changelog (9)",
        "agents.owner",
        "            decoded = await self._applier.handle(self.state, records, self._sweep_ordered)",
        "            await self._flow.commit(self.tp, records[-1].offset)\n"
        "            decoded = await self._applier.handle(self.state, records, self._sweep_ordered)",
        killer=SEEDS.format(0),
        quick=True,
    ),
    mutant(
        "changelog-last",
        "local state is written before the changelog has acknowledged (9)",
        "agents.apply",
        "        records = state.changelog(moves, last_offset, work.suspicions)\n",
        "        records = state.changelog(moves, last_offset, work.suspicions)\n"
        "        state.commit(moves, last_offset, state.changelog_offset, records=records)\n",
        killer=SEEDS.format(0),
    ),
    mutant(
        "input-back",
        "the input offset moves back (13)",
        "versions.state",
        "        self.input_offset = max(self.input_offset, input_offset)\n",
        "        self.input_offset = input_offset\n",
        killer="tests/unit/versions/test_state.py::test_the_input_offset_never_moves_back",
    ),
    mutant(
        "lock-of-the-owner",
        "each owner of a partition has a lock of its own, also where they work on one state",
        "agents.owner",
        "        self.lock = state.lock\n",
        "        self.lock = asyncio.Lock()\n",
        killer="tests/unit/agents/test_interleavings.py::"
        "test_owners_of_one_state_do_not_move_its_entries_between_each_other",
    ),
    mutant(
        "hole-accepted",
        "an owner goes on behind records that did not reach it (13)",
        "agents.inbox",
        "        if batch.start > max(self._following, known + 1):",
        "        if False:",
        killer="tests/unit/agents/test_owner.py::test_records_that_are_lost_on_their_way_to_the_owner_end_the_worker",
        quick=True,
    ),
    mutant(
        "delivered-while-moved",
        "the flow goes on while partitions are moved to where they are read from (13)",
        "transport.consumer",
        "        self.stop_flow()\n        async with self._taking:\n",
        "        async with self._taking:\n",
        killer="tests/unit/transport/test_consumer.py::"
        "test_nothing_is_delivered_while_partitions_are_moved_nor_before_the_flow_goes_on",
    ),
    mutant(
        "delivered-unmoved",
        "what is fetched of a partition before it is moved is delivered (13)",
        "transport.consumer",
        "bool(self._is_changelog_tp(tp)) or self._sought_generation == self.app.consumer_generation_id",
        "True",
        killer="tests/unit/transport/test_consumer.py::"
        "test_what_is_fetched_before_its_partition_is_moved_is_of_anywhere",
    ),
    mutant(
        "start-at-larger",
        "a worker starts at the larger of committed and recovered (13)",
        "agents.worker",
        "        return recovered if committed is None else min(committed, recovered)",
        "        return recovered if committed is None else max(committed, recovered)",
        killer=SEEDS.format(0),
    ),
    mutant(
        "last-record-wins",
        "recovery takes a key's last record, a zombie's too (13)",
        "versions.state",
        "                if known is None or entry.token >= known.token:",
        "                if True:",
        "            if old is None or entry.token >= old.token:",
        "            if True:",
        killer="tests/unit/versions/test_state.py::test_recovery_keeps_a_keys_larger_token",
    ),
    mutant(
        "changelog-skipped",
        "what others wrote to the changelog meanwhile is never read",
        "versions.state",
        "        if last - count <= self.changelog_offset:",
        "        if True:",
        killer=FOUND + "what_others_wrote_to_the_changelog_meanwhile_is_read_at_the_next_recovery",
    ),
    mutant(
        "digest-grows",
        "a bucket digest keeps what is gone",
        "versions.state",
        '            total -= int.from_bytes(old, "big")\n',
        "",
        killer=SEEDS.format(0),
    ),
)
