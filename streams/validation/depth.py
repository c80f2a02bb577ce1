"""How much a run looks at, by the names of the plan and of `validate`."""

from __future__ import annotations

from enum import StrEnum


class RunDepth(StrEnum):
    """What each can see is in docs/operations.md, Depths of a validation.

    counts: rows of all sides. sample: some keys, each as `full` does. checksums: the content of every key, compared
    where it is if both sides are Postgres; elsewhere as `full`. full: every key's SOT digest, entry and content.
    """

    counts = "counts"
    sample = "sample"
    checksums = "checksums"
    full = "full"


# Those that leave no key out.
OF_EVERY_KEY = frozenset((RunDepth.checksums, RunDepth.full))
