"""Mutants of replicas that others write: what they have brought is judged over time, and what they fill is deleted."""

from __future__ import annotations

from tests.simulation.mutants import INVALIDATE, VERIFY, Mutant, mutant

OTHERS: tuple[Mutant, ...] = (
    mutant(
        "ahead-of-the-stream",
        "what another writer has brought before our stream is judged before that has come (decision 15)",
        "agents.others",
        "        return await owner.passed(await owner.newest_end_offset() - 1)\n",
        "        return True\n",
        killer=VERIFY.format(7_000_000),
    ),
    mutant(
        "filled-by-us",
        "a change puts its row into a cache, instead of taking the old one away (decision 16)",
        "agents.table",
        '        return Write(key, None, b"", token) if self.mapping.readers_fill else Write(key, row, line, token)\n',
        "        return Write(key, row, line, token)\n",
        killer=INVALIDATE.format(8_000_000),
        quick=True,
    ),
)
