"""What each depth of a run can see, and what it cannot: the one place of these words."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Sight(NamedTuple):
    """One sentence each, about a run that came to a verdict."""

    sees: tuple[str, ...]
    cannot_see: tuple[str, ...]


_COPY: Final = (
    "What the mapping leaves out, rounds or cuts: that is not compared.",
    "What was committed in the source, or written to the store, after a row was looked at.",
)
_EVERY_KEY: Final = (
    "Every key that the store holds and the source does not: the store's own keys were listed.",
    "Each difference twice: a key is in drift only if two looks agree.",
)
_OF_EVERY_KEY_NOT: Final = (
    "A row that was wrong and was right again before it was looked at.",
    "Keys that are counted as superseded, skipped or failed: they are not verified.",
)

SIGHTS: Final[Mapping[str, Sight]] = MappingProxyType(
    {
        "counts": Sight(
            (
                "Whether the source, what the worker has applied, and the store hold equally many rows, with what came"
                " and went meanwhile as the tolerance.",
            ),
            (
                "The content of a single row: a wrong value, an older row or a rogue write that adds and removes none.",
                "Which rows are missing or too many, nor a missing row that another one too many makes up for.",
                "What was committed in the source, or written to the store, after it was counted.",
            ),
        ),
        "sample": Sight(
            (
                "Some keys, drawn by a seed from all keys of the source, in source, worker and store, as a full run"
                " looks at them.",
                "At 95 % confidence, that no more than the reported share of all keys is wrong.",
                "In a Postgres replica, its own keys drawn by the same seed: orphans among them.",
            ),
            (
                "Any other key of the table.",
                "In Redis and DynamoDB, keys that the store holds and the source does not.",
                *_COPY,
            ),
        ),
        "checksums": Sight(
            (
                "Every key of the source in one snapshot, against the content of the store: missing, stale and wrong"
                " rows, whoever wrote them.",
                *_EVERY_KEY,
            ),
            (
                "Between two Postgres servers, what the worker has applied, for keys whose content is equal in both.",
                "Between two Postgres servers, a difference that a sum of 64-bit hashes does not show; the next run has"
                " others.",
                *_COPY,
                *_OF_EVERY_KEY_NOT,
            ),
        ),
        "full": Sight(
            (
                "Every key of the source in one snapshot, against what the worker has applied and against the content"
                " that was read from the store: missing, stale and wrong rows, whoever wrote them.",
                *_EVERY_KEY,
            ),
            (*_COPY, *_OF_EVERY_KEY_NOT),
        ),
        "keys": Sight(
            ("The keys that were named, in source, worker and store, as a run of every key looks at them.",),
            ("Any other key of the table.", *_COPY),
        ),
    }
)
# Of a depth that is not known here nothing is claimed.
NOTHING_KNOWN: Final = Sight((), ("This version does not know what a run of this depth has looked at.",))


def sight(depth: str) -> Sight:
    """What a run of this depth can see."""
    return SIGHTS.get(depth, NOTHING_KNOWN)
