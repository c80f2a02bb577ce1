"""The `sample` depth: some keys, chosen by a seed, looked at as a full run looks at all.

The keys are those with the smallest seeded hashes: every key is as likely to be among them as any other, and the same
seed gives the same keys, whatever the order of the rows. Where the replica is Postgres, its own keys are chosen in the
same way beside the SOT's, so that orphans are among them; no other store is asked for its keys.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

from streams.checks.sample import wrong_share_below
from streams.replicas.base import InSql, Refused
from streams.rows.hashes import Asked, asked, sample_sql
from streams.validation.report import Report, Sampled
from streams.validation.rounds import SUSPECTS_MAX, Rounds
from streams.validation.target import Target

# Without a number in plan and command: with 1,000 keys all right, fewer than 0.3 % of all are wrong.
KEYS: int = 1_000
SEED_BITS = 63


class Sampling(NamedTuple):
    """How many keys, and the seed that chooses them; None: by the plan, and by chance."""

    keys: int | None = None
    seed: int | None = None

    def of(self, planned: int | None) -> tuple[int, int]:
        """Keys and seed, with what is not given."""
        keys = min(self.keys or planned or KEYS, SUSPECTS_MAX)
        return keys, secrets.randbits(SEED_BITS) if self.seed is None else self.seed


BY_PLAN = Sampling()


def sample(target: Target, report: Report) -> None:
    """Fill the report of the keys that its seed chooses: no run of some keys moves a mark or ends other drift."""
    said = report.sampled
    assert said is not None
    with target.sot.hashing() as source:
        keys = _chosen(source.asked, said)
    try:
        if isinstance(target.store, InSql):
            with target.store.hashing() as replica:
                keys |= _chosen(replica, said)
            said.orphans = True
    except Refused:
        pass  # the owners say what it is that the replica refuses
    try:
        Rounds(target, report).keys(sorted(keys))
    finally:
        wrong = len(report.drift)
        said.wrong_share_below = wrong_share_below(report.verified + report.absent + wrong, wrong)


def _chosen(side: Asked, said: Sampled) -> set[bytes]:
    return set(asked(side, sample_sql(side.side, said.seed, said.keys), list))
