"""Mutants of the guard: what a store takes under which token, and what a refusal means."""

from __future__ import annotations

from tests.simulation.mutants import GUARD, OVERRULE, SEEDS, SETTLE, Mutant, mutant

THE_GUARD: tuple[Mutant, ...] = (
    mutant(
        "guard-or-equal",
        "an equal token writes",
        "replicas.memory",
        "        if stored is not None and stored >= write.token:",
        "        if stored is not None and stored > write.token:",
        killer=GUARD + "an_equal_token_with_other_content_is_a_conflict",
        quick=True,
    ),
    mutant(
        "guard-off",
        "any token writes",
        "replicas.memory",
        "        if stored is not None and stored >= write.token:",
        "        if stored == write.token:",
        killer=SEEDS.format(0),
        quick=True,
    ),
    mutant(
        "tombstones-forgotten",
        "a delete takes the key's token with it",
        "replicas.memory",
        "        if row is None:\n            self._rows.pop(key, None)\n",
        "        if row is None:\n            self._rows.pop(key, None)\n            self._tokens.pop(key, None)\n",
        killer=GUARD + "a_delete_leaves_a_tombstone_that_still_guards",
    ),
    mutant(
        "dead-without-version",
        "a delete of an unknown key leaves no token",
        "replicas.memory",
        "        return self._written(write)\n\n    def _lost",
        "        if write.row is None and stored is None:\n            return APPLIED\n"
        "        return self._written(write)\n\n    def _lost",
        killer=GUARD + "a_delete_of_an_unknown_key_leaves_a_tombstone",
    ),
    mutant(
        "blind-overrule",
        "an overrule writes whatever is stored",
        "replicas.memory",
        "        with self._lock:\n            if self._tokens.get(key) != expected:",
        "        with self._lock:\n            if False:",
        killer=OVERRULE + "a_token_that_moved_is_left_alone",
    ),
    mutant(
        "conflict-as-duplicate",
        "an equal token with other content is not told",
        "replicas.memory",
        "        same = self._rows.get(write.key) == write.row",
        "        same = True",
        killer=GUARD + "an_equal_token_with_other_content_is_a_conflict",
    ),
    mutant(
        "conflict-settled",
        "a conflict is taken for done (2)",
        "replicas.settle",
        "(Outcome.applied, Outcome.duplicate)",
        "(Outcome.applied, Outcome.duplicate, Outcome.conflict)",
        killer=SETTLE + "a_conflict_is_asked_again_under_the_next_refresh",
    ),
    mutant(
        "stale-settled",
        "a larger token in the store is no suspicion (12)",
        "replicas.settle",
        "    return Suspicion(store.entry, stored)",
        "    return Settled(store.entry)",
        killer=SETTLE + "stale_by_a_record_is_a_suspicion",
    ),
)
