"""What a run says in the end, in the fields of the interface document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from streams.checks.sample import CONFIDENCE
from streams.drift.cause import UNKNOWN
from streams.drift.rows import Shown
from streams.validation.depth import OF_EVERY_KEY


@dataclass(slots=True)
class Drifted:
    """A key in which replica and SOT differ, seen twice, with the evidence of the last look.

    proven: the owner has seen it twice itself.
    """

    key: bytes
    kind: str
    entry_digest: bytes | None = None
    other_digest: bytes | None = None
    token: bytes | None = None
    other_token: bytes | None = None
    columns: tuple[str, ...] = ()
    cause: str = UNKNOWN
    proven: bool = False
    evidence: str | None = None
    sot_row: Shown | None = None
    replica_row: Shown | None = None


@dataclass(slots=True)
class Sampled:
    """Of a run of some keys: how many were asked for, and the seed that chose them.

    orphans: keys of the replica were chosen, too. wrong_share_below: what they say of all, at 95 % confidence.
    """

    keys: int
    seed: int
    orphans: bool = False
    wrong_share_below: float = 1.0


@dataclass(slots=True)
class Report:
    """One run of one table × replica. Correct, drifted and could-not-check are three results.

    sot_rows, replica_rows: None until they are counted. began: when it was made, before anything was looked at.
    drift_before: end offsets of the drift topic at that moment, by partition: what is told later is not ended by it.
    """

    run: str
    table: str
    replica: str
    depth: str
    sot_rows: int | None = None
    replica_rows: int | None = None
    verified: int = 0
    # Gone from the store, which the plan allows: looked at, and no drift.
    absent: int = 0
    superseded: int = 0
    skipped: int = 0
    failed: int = 0
    fence_lsn: str = ""
    verified_through: str | None = None
    seconds: float = 0.0
    drift: list[Drifted] = field(default_factory=list)
    # The superseded ones: they moved in every round.
    moving: set[bytes] = field(default_factory=set)
    reason: str = ""
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    drift_before: Sequence[int] = ()
    # By how many rows the sides differ of which no key is known, or none that a row of the table can have.
    count_differs: int = 0
    # Of depth `sample`.
    sampled: Sampled | None = None
    # Entries that were found in a partition that is not their key's.
    astray: int = 0
    # How far it is: keys up to this one are decided, all counts and the drift above are of them. part: how often it was
    # gone on with after it was interrupted.
    after: bytes = b""
    part: int = 0
    # Of the keys up to that one, those that are looked at again at the end: somebody else may write them yet.
    open: set[bytes] = field(default_factory=set)

    @property
    def asked_as(self) -> str:
        """What owners know it by: what they still answer to an earlier part of it is not taken for this one's."""
        return f"{self.run}.{self.part}" if self.part else self.run

    @property
    def drift_found(self) -> int:
        """Keys in drift, and by how many rows the sides differ besides."""
        return len(self.drift) + self.count_differs

    def end_early(self, reason: str) -> None:
        """What was sent and not decided by now has failed."""
        self.reason = reason
        decided = self.verified + self.absent + self.drift_found + self.superseded + self.skipped + self.failed
        self.failed += max(0, (self.sot_rows or 0) - decided)

    @property
    def outcome(self) -> str:
        """Drift outweighs gaps: a run that found drift has drifted, however much it could not check."""
        if self.drift_found:
            return "drifted"
        uncovered = self.superseded or self.skipped or self.failed or self.reason
        return "incomplete" if uncovered else "correct"

    @property
    def covers_all(self) -> bool:
        """Whether every key of the table was compared and decided."""
        uncovered = self.superseded or self.skipped or self.failed or self.reason or self.count_differs
        return self.depth in OF_EVERY_KEY and not uncovered

    @property
    def coverage(self) -> dict[str, int | None]:
        """What became of the keys; all None where the source was not read: none of them was found to be anything."""
        names = ("verified", "absent", "superseded", "skipped", "failed", "drift_found")
        looked = self.sot_rows is not None
        return {name: getattr(self, name) if looked else None for name in names}

    @property
    def sentence(self) -> str:
        """The outcome, with what a person should know of it."""
        said = self.outcome + (f": {self.reason}" if self.reason else "")
        if (sampled := self.sampled) is None or self.outcome == "incomplete":
            return said
        orphans = "" if sampled.orphans else "; orphans were not looked for"
        below = f"at {CONFIDENCE:.0%} confidence fewer than {sampled.wrong_share_below:.3%} of all keys are wrong"
        return f"{said}; {below} (seed {sampled.seed}){orphans}"

    def document(self) -> dict[str, Any]:
        """The JSON of the interface document, with the run's id and the reason of an incomplete run added."""
        return {
            "run": self.run,
            "table": self.table,
            "replica": self.replica,
            "depth": self.depth,
            "outcome": self.outcome,
            "sot_rows": self.sot_rows,
            "replica_rows": self.replica_rows,
            **self.coverage,
            "fence_lsn": self.fence_lsn or None,
            "verified_through": self.verified_through,
            "seconds": round(self.seconds, 3),
            "reason": self.reason or None,
            **self._sample,
        }

    @property
    def _sample(self) -> dict[str, Any]:
        if (sampled := self.sampled) is None:
            return {}
        below = float(f"{sampled.wrong_share_below:.3g}")
        return {
            "seed": sampled.seed,
            "keys": sampled.keys,
            "orphans_looked_for": sampled.orphans,
            "wrong_share_below": below,
            "confidence": CONFIDENCE,
        }
