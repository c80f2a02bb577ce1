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
