"""Why a key is in drift, as far as it can be told."""

from __future__ import annotations

import pytest

from streams.drift.cause import cause_of


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("missing", "rogue delete, eviction or expiry"),
        ("orphan", "rogue write"),
        ("stale", "rogue write"),
        ("mismatch", "rogue write"),
        ("unapplied", "refused by store"),
    ],
)
def test_a_cause_follows_from_what_the_version_table_knows(kind: str, cause: str) -> None:
    """Where it agrees with the source, the stream has delivered; where it does not, a change never came."""
    assert cause_of(kind, entry_is_right=True) == cause
    assert cause_of(kind, entry_is_right=False) == "missed change"
