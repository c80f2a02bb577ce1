"""What each depth can see is said in one place."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.checks.sight import NOTHING_KNOWN, SIGHTS, sight
from streams.validation.depth import RunDepth

OPERATIONS = Path(__file__).parents[3] / "docs/operations.md"


def test_every_depth_of_a_run_says_what_it_sees_and_what_it_does_not() -> None:
    """Also the look at single keys after a repair; of another depth nothing is claimed."""
    assert SIGHTS.keys() >= {*RunDepth, "keys"}
    assert all(each.sees and each.cannot_see for each in SIGHTS.values())
    assert sight("nosuch") is NOTHING_KNOWN
    assert not NOTHING_KNOWN.sees


@pytest.mark.parametrize("depth", SIGHTS)
def test_the_documents_say_the_same(depth: str) -> None:
    """Word for word, where the depths of a validation are."""
    _, _, text = OPERATIONS.read_text(encoding="utf-8").partition("## Depths of a validation")
    section, _, _ = text.partition("\n## ")
    assert [words for part in SIGHTS[depth] for words in part if words not in section] == []
